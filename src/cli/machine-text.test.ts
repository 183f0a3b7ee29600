import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSince, RELEASES } from '../base/kernel-release.ts';
import { parseDescription } from '../machine/description/description-check.ts';
import type { MachineDescription } from '../machine/description/description.ts';
import { DRIVER_NAMES } from '../machine/description/names.ts';
import { PRESETS } from '../machine/description/presets.ts';
import { TRAIT_NAMES } from '../machine/description/releases.ts';
import { KNOWN_TYPES } from '../machine/machine.ts';
import { printedMachine } from './topology-text.ts';
import { parseMachineText, resolveMachine } from './machine-file.ts';
import { machineText } from './machine-text.ts';

function parse(input: unknown): MachineDescription {
  const checked = parseDescription(input, KNOWN_TYPES);
  if ('problems' in checked) throw new Error(JSON.stringify(checked.problems));
  return checked.description;
}
function print(machine: MachineDescription): string {
  return machineText(machine, { source: 'a test', schema: './m.json', types: KNOWN_TYPES });
}
function readBack(text: string): MachineDescription {
  return parse(parseMachineText(text, 'printed').input);
}

describe('a printed machine is read back as the same machine', () => {
  test.each(Object.keys(PRESETS))('preset:%s is read back as it was printed', (name) => {
    const machine = resolveMachine({ machine: `preset:${name}` });
    expect(readBack(print(machine))).toEqual(machine);
  });
  test('a machine with devices and IOMMUs of the command line is read back as it was printed', () => {
    const choice = {
      device: ['edu,bdf=0000:00:05.0,driver=none,dma_mask_bits=0x20'],
      iommu: ['intel,width=39,name=left'],
    };
    const text = printedMachine(choice);
    expect(readBack(text)).toEqual(resolveMachine(choice));
    expect(text).toContain('preset:default --device edu,bdf=0000:00:05.0,');
  });
  test('whatever is in a machine is read back as it was printed', () => {
    fc.assert(
      fc.property(machines(), (input) => {
        const machine = parse(input);
        expect(readBack(print(machine))).toEqual(machine);
      }),
    );
  });
});

/** Slots of one bus, with texts that YAML could take for something else. */
function machines(): fc.Arbitrary<unknown> {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('yes', 'null', '12', '0x10', '# a', '1:30', ' - b', '"', '1.0'),
  );
  const region = fc.integer({ min: 0, max: 2 ** 30 }).chain((pfn) =>
    fc.record(
      {
        start: fc.constantFrom(pfn * 4096, `0x${(pfn * 4096).toString(16)}`),
        last: fc.constant(pfn * 4096 + 0xfff),
        relaxable: fc.boolean(),
      },
      { requiredKeys: ['start', 'last'] },
    ),
  );
  const device = fc.record(
    {
      type: fc.constant('edu'),
      driver: fc.constantFrom(...DRIVER_NAMES.filter((name) => name !== 'pcieport')),
      iommu: fc.constantFrom('none', 'dmar0'),
      options: fc.record(
        { dma_mask_bits: fc.integer({ min: 20, max: 52 }), pcie: fc.boolean() },
        { requiredKeys: [] },
      ),
      acs: fc.boolean(),
      directRegions: fc.array(region, { maxLength: 2 }),
      aliases: fc.constantFrom([], ['1f.7']),
    },
    { requiredKeys: ['type'] },
  );
  const slot = (n: number): string => `0000:00:${(n + 1).toString(16).padStart(2, '0')}.0`;
  return fc.record(
    {
      name: text,
      kernel: fc.record(
        {
          version: fc.constantFrom(...RELEASES.filter((release) => isSince(release, '6.2'))),
          with: fc.subarray(TRAIT_NAMES.filter((name) => name.endsWith('-default'))),
          without: fc.subarray([...TRAIT_NAMES]),
        },
        { requiredKeys: [] },
      ),
      ramMiB: fc.integer({ min: 1, max: 2048 }),
      iommus: fc.constantFrom([{ type: 'intel' }], [{ type: 'intel' }, { type: 'mock' }]),
      devices: fc
        .array(device, { maxLength: 6 })
        .map((all) => all.map((each, n) => ({ ...each, at: slot(n) }))),
    },
    { requiredKeys: [] },
  );
}

describe('what is printed explains itself', () => {
  const text = printedMachine({ machine: 'preset:not-viable' });
  test('the first line of a printed machine tells an editor the schema', () => {
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/schema\/machine\.schema\.json\n/);
  });
  test('a key that was not given is printed as a comment with the value it has', () => {
    expect(text).toContain('    # name: dmar0\n');
    expect(text).toContain('          # dma_mask_bits: 28 # bus address bits');
  });
  test('a printed machine without one of its comments is the same machine, with that key', () => {
    const changed = text.replace('# driver: vfio-pci', 'driver: vfio-pci');
    const [port] = readBack(changed).devices;
    expect(port?.devices[0]?.driver).toBe('vfio-pci');
  });
});
