/** A type of IOMMU is one file and one row: nothing of the machine knows its name. */
import { describe, expect, test } from 'vitest';
import { Machine, MachineDescriptionError } from 'softiommu';
import { tinyType } from './tiny-iommu.ts';

const TINY = { iommuTypes: new Map([[tinyType.type, tinyType]]) };
const EDU = '0000:00:04.0';

function machineWith(...iommus: { type: string; [option: string]: number | string | boolean }[]) {
  return new Machine({ iommus, devices: [{ type: 'edu', at: EDU }] }, TINY);
}

function problemsOf(...iommus: Parameters<typeof machineWith>): string {
  try {
    machineWith(...iommus);
    return 'none';
  } catch (error) {
    if (error instanceof MachineDescriptionError) return error.message;
    throw error;
  }
}

/** A device of the machine on a domain that maps one page at 0x10000. */
function attached(machine: Machine) {
  const device = machine.device(EDU);
  const memory = device.allocMemory(4096);
  const domain = device.allocDomain();
  device.claim();
  device.attach(domain);
  domain.map(0x1_0000n, memory);
  device.busMaster = true;
  return { device, memory, domain };
}

describe('a type of IOMMU the library does not know', () => {
  test('translates the DMA of a device', () => {
    const machine = machineWith({ type: 'tiny' });
    const { device, memory, domain } = attached(machine);
    device.dmaWrite(0x1_0010n, Uint8Array.of(1, 2, 3));
    expect([...memory.bytes.subarray(0x10, 0x13)]).toEqual([1, 2, 3]);
    expect([...device.dmaRead(0x1_0011n, 2)]).toEqual([2, 3]);
    expect(() => device.dmaRead(0x2_0000n, 1)).toThrow('EFAULT');
    expect(device.explain(0x1_0010n)).toMatchObject({ pa: memory.pa + 0x10n });
    device.detach(domain);
    expect(() => device.dmaRead(0x1_0010n, 1)).toThrow('EFAULT');
    device.release();
    domain.free();
    machine.close();
  });
  test('is given the options of its entry', () => {
    const { device } = attached(machineWith({ type: 'tiny', readOnly: true }));
    expect(device.dmaRead(0x1_0000n, 1)).toHaveLength(1);
    expect(() => device.dmaWrite(0x1_0000n, Uint8Array.of(1))).toThrow('EFAULT');
  });
  test('stands beside the others, with names of its own', () => {
    const machine = machineWith(
      { type: 'intel' },
      { type: 'tiny', generation: 2 },
      { type: 'tiny' },
    );
    expect(machine.topology()).toContain('tiny0: tiny, generation 2\ntiny1: tiny, generation 1\n');
  });
  test('has its texts in sysfs', () => {
    const machine = machineWith({ type: 'tiny', generation: 3 });
    const program = machine.program();
    expect(program.readText('/sys/class/iommu/tiny0/tiny/generation')).toBe('3\n');
  });
});

describe('an entry of a description that its type does not allow', () => {
  test('names the types there are', () => {
    expect(problemsOf({ type: 'big' })).toBe(
      "iommus.0.type: 'big' is not allowed; allowed: intel, mock, tiny",
    );
  });
  test('names the option, and what it takes', () => {
    expect(problemsOf({ type: 'tiny', colour: 1 })).toBe(
      "iommus.0.colour: unknown key 'colour'; allowed: type, name, readOnly, generation",
    );
    expect(problemsOf({ type: 'tiny', readOnly: 1 })).toBe(
      'iommus.0.readOnly: 1 is not allowed; allowed: true, false',
    );
    expect(problemsOf({ type: 'tiny', generation: 4 })).toBe(
      'iommus.0.generation: 4 is not allowed; allowed: whole numbers from 1 to 3',
    );
  });
});
