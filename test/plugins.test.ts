/** One plugin for each kind of thing that a plugin may add, in examples/plugins: what it adds works, by the suites. */
import { describe, expect, test } from 'vitest';
import { Machine } from 'softiommu';
import type { Plugin } from 'softiommu/plugin';
import { FORMATS } from 'softiommu/pt';
import { deviceCases, iommuCases, testDevice } from 'softiommu/testing';
import { containedIommu } from '../src/plugin/contained-iommu.ts';
import { shapeProblem } from '../src/plugin/shape.ts';

async function plugin(name: string): Promise<Plugin> {
  const file = (await import(`../examples/plugins/${name}.mjs`)) as { default: Plugin };
  expect(shapeProblem(file.default)).toBeUndefined();
  return file.default;
}

test('a device passes the suite, and counts', async () => {
  const { devices = [] } = await plugin('device');
  for (const { run } of deviceCases(devices[0]!, { programs: 50 })) run();
  using rig = testDevice(devices[0]!, { start: 7 });
  expect([rig.driver.load(0), rig.driver.load(0)]).toEqual([7n, 8n]);
});
test('a preset is a machine', async () => {
  const { presets = {} } = await plugin('preset');
  const machine = new Machine(presets['two-edus']!.machine);
  expect(machine.devices.map(({ groupId }) => groupId)).toEqual([0, 1]);
});
describe('an IOMMU', () => {
  test('passes the suite', async () => {
    const { iommus = [] } = await plugin('iommu');
    const told: string[] = [];
    const type = containedIommu(iommus[0]!, 'plain', (text) => told.push(text));
    const noCaches = 'it looks into the table itself';
    const reasons = { noCaches, noPasids: 'it has none' };
    for (const one of iommuCases(type, reasons)) if (one.skip === undefined) one.run();
    expect(told).toEqual([]);
  });
  test('has page tables of the format of another plugin', async () => {
    const [{ iommus = [] }, { formats = [] }] = [await plugin('iommu'), await plugin('format')];
    const machineWith = (format: string) =>
      new Machine(
        { iommus: [{ type: 'plain', format }], devices: [{ type: 'edu', at: '0000:00:04.0' }] },
        {
          iommuTypes: new Map([['plain', iommus[0]!]]),
          formats: new Map(formats.map((one) => [one.name, one])),
        },
      );
    const machine = machineWith('twig');
    expect(machine.topology()).toContain('plain0: plain, page tables of twig');
    const device = machine.device('0000:00:04.0');
    const [domain, memory] = [device.allocDomain(), device.allocMemory(4096)];
    device.claim();
    device.attach(domain);
    domain.map(0x1000n, memory);
    const steps = domain.kernel.pt!.walk(0x1000n);
    // V, L, R, W, and where the memory is.
    expect(Array.isArray(steps) && steps.at(-1)!.entry).toBe(memory.pa | 0xfn);
    expect(() => machineWith('none')).toThrow('there is no format none: amdv1,');
    expect(FORMATS.has('twig')).toBe(false);
  });
});

test('the library loads no plugins, and says what to give it', () => {
  expect(() => new Machine({ plugins: ['mine.mjs'] })).toThrow(
    "plugins.0: plugins are loaded by softiommu's commands only; give the types of 'mine.mjs' in deviceTypes and iommuTypes",
  );
});
