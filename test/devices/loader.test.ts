/** A device of one's own is one file (loader.ts) and one row (deviceTypes below), and has everything a port has. */
import { describe, expect, test } from 'vitest';
import { blockOf } from '../../src/devices/index.ts';
import { Machine, MachineDescriptionError } from '../../src/index.ts';
import { FakePort, plugInto } from '../../src/testing/index.ts';
import { PCI_COMMAND } from '../../src/uapi/pci-regs.ts';
import { loader, LOADER_REG as REG } from './loader.ts';

const AT = '0000:01:00.0';
const DISK = Uint8Array.from({ length: 4096 }, (_, n) => n & 0xff);
const HOST = { blocks: new Map([['disk0', blockOf(DISK)]]) };
const TYPES = new Map([['loader', loader]]);

function machineWith(options: Record<string, string> = {}, host: object = HOST): Machine {
  const devices = [{ type: 'loader', at: AT, options }];
  const description = { devices: [{ type: 'root-port', at: '0000:00:01.0', devices }] };
  return new Machine(description, { deviceTypes: TYPES, host });
}

/** A machine with a loader that may write two pages, and what drives it. */
function rig() {
  const machine = machineWith();
  const device = machine.device(AT);
  const { slot, irqs, fn } = device.kernel;
  const domain = device.allocDomain();
  const memory = device.allocMemory(8192);
  device.claim();
  device.attach(domain);
  domain.map(0x10000n, memory);
  device.busMaster = true;
  fn.writeConfig(PCI_COMMAND, 2, fn.command | 2);
  let interrupts = 0;
  expect(irqs.allocVectors('msi', 1)).toBe(1);
  irqs.request(0, () => interrupts++);
  const { window } = fn.bars[0]!;
  const load = (first: bigint, second: bigint): void => {
    window.store(REG.sector, 4, 1n);
    window.store(REG.first, 8, first);
    window.store(REG.second, 8, second);
    window.store(REG.bytes, 4, 512n);
  };
  const read = (register: keyof typeof REG): bigint => window.load(REG[register], 4);
  const close = (): void => {
    irqs.freeVectors();
    device.detach(domain);
    device.release();
    domain.free();
    memory.free();
    machine.close();
  };
  return { machine, slot, fn, memory, window, load, read, close, interrupts: () => interrupts };
}

describe('a device of one file and one row', () => {
  test('completes in a turn of its own, by a scatter list through the IOMMU, with a message', () => {
    const { machine, memory, load, read, close, interrupts } = rig();
    load(0x11000n, 0x10100n);
    expect([read('status'), interrupts()]).toEqual([1n, 0]);
    machine.advance(0);
    expect([read('status'), interrupts()]).toEqual([2n, 1]);
    expect(memory.bytes.slice(0x1000, 0x1100)).toEqual(DISK.slice(512, 768));
    expect(memory.bytes.slice(0x100, 0x200)).toEqual(DISK.slice(768, 1024));
    close();
  });
  test('what lies before a refused piece has moved', () => {
    const { machine, memory, load, read, close } = rig();
    load(0x10000n, 0x9_0000n);
    machine.advance(0);
    expect([read('status'), memory.bytes[255]]).toEqual([3n, 0xff]);
    close();
  });
  test('a reset forgets work at the host that has not ended', () => {
    const { machine, fn, memory, load, read, close, interrupts } = rig();
    load(0x10000n, 0x10100n);
    expect(fn.resetFunction()).toBeUndefined();
    machine.advance(0);
    expect([read('status'), interrupts(), memory.bytes[1]]).toEqual([0n, 0, 0]);
    close();
  });
  test('may ask where its pages are, since the driver of its IOMMU has switched ATS on', () => {
    const { machine, slot, fn, load, read, close } = rig();
    expect(fn.atsEnabled).toBe(true);
    const { unit } = slot.dma;
    load(0x10000n, 0x11000n);
    machine.advance(0);
    expect([read('status'), read('asked')]).toEqual([2n, 0n]);
    const asked = unit!.request({
      requesterId: fn.requesterId,
      pasid: -1,
      iovaG: 0x10,
      access: 'ats',
    });
    expect(asked.outcome).toBe('translated');
    close();
    expect(fn.atsEnabled).toBe(false);
  });
  test('hears when software makes it bus master', () => {
    const { fn, read, close } = rig();
    expect(read('mastered')).toBe(1n);
    fn.writeConfig(PCI_COMMAND, 2, 2);
    fn.writeConfig(PCI_COMMAND, 2, 6);
    expect(read('mastered')).toBe(2n);
    close();
  });
  test('its registers have names in the event stream', () => {
    const { machine, window, close } = rig();
    const names: unknown[] = [];
    using _ = machine.trace(({ event }) => event.kind === 'mmio' && names.push(event.register));
    window.load(REG.status, 4);
    window.load(0x40, 4);
    expect(names).toEqual(['status', undefined]);
    close();
  });
  test('is told when the machine ends', () => {
    const { slot, close } = rig();
    close();
    expect(slot.model).toMatchObject({ closed: true });
  });
});

describe('what a device needs of the host', () => {
  const problems = (make: () => unknown): string => {
    try {
      make();
    } catch (error) {
      if (error instanceof MachineDescriptionError) return error.message;
      throw error;
    }
    return 'none';
  };
  test('is asked for when the machine is made, by name', () => {
    expect(problems(() => machineWith({ disk: 'big' }))).toBe(
      "devices.0.devices.0.options: no block device 'big' is given to the machine; given: disk0",
    );
    expect(problems(() => machineWith({}, {}))).toMatch(/'disk0'.*given: none/);
  });
  test('and nothing else can be had: a Bug of the model', () => {
    const port = new FakePort({ host: HOST }, [{ kind: 'block', name: 'other' }]);
    expect(() => port.host.block('disk0')).toThrow(/did not say that it needs/);
    expect(() => port.host.block('other')).toThrow(/did not say that it needs/);
    expect(() => port.host.chardev('disk0')).toThrow(/did not say that it needs/);
  });
  test('a load beyond the end of the disk fails', () => {
    const { device, port } = plugInto(loader, {}, { host: HOST });
    device.mmioWrite(0, REG.sector, 4, 8n);
    device.mmioWrite(0, REG.bytes, 4, 512n);
    port.clock.advance(0);
    expect([device.mmioRead(0, REG.status, 4), port.messages]).toEqual([3n, [0]]);
  });
});
