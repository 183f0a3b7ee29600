/** A vfio-pci device through its fd: info, regions, configuration space, interrupts, reset: vfio.md chapter 2. */
import { beforeEach, describe, expect, test } from 'vitest';
import {
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOTTY,
  ERANGE,
  isErrno,
} from '../../src/base/errno.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import type { DeviceOptions, PciIdentity } from '../../src/devices/port.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, EDU, machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';
import { accesses, PROBE } from '../../src/testing/devices/probe-device.ts';

const CONFIG = 7n << 40n;
const BAR0 = 0n;
const { VFIO_IRQ_SET_DATA_NONE: NONE, VFIO_IRQ_SET_DATA_BOOL: BOOL } = v;
const { VFIO_IRQ_SET_DATA_EVENTFD: EVENTFD } = v;
const { VFIO_IRQ_SET_ACTION_MASK: MASK, VFIO_IRQ_SET_ACTION_UNMASK: UNMASK } = v;
const { VFIO_IRQ_SET_ACTION_TRIGGER: TRIGGER } = v;
const INTX = 0;
const MSI = 1;
const MSIX = 2;
const ERR = 3;
const REQ = 4;

function rig(
  options: Record<string, boolean | number> = {},
  identity: Partial<PciIdentity> = {},
): { client: Client; d: number; g: number } {
  const type = {
    ...PROBE,
    identity: (o: DeviceOptions) => ({ ...PROBE.identity(o), ...identity }),
  };
  const made = createMachine(
    { devices: [{ type: 'probe', at: EDU, options }] },
    { deviceTypes: new Map([['probe', type]]) },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const client = new Client(made.machine);
  const { d, g } = client.device();
  accesses.length = 0;
  return { client, d, g };
}
const functionOf = (client: Client) => client.machine.pci.devices()[0]!.fn!;
function config(client: Client, d: number, at: number, width: number): number {
  const raw = must(client.pread(d, CONFIG + BigInt(at), width));
  return raw.reduceRight((value, byte) => value * 256 + byte, 0);
}
function setConfig(client: Client, d: number, at: number, width: number, value: number): void {
  const raw = Uint8Array.from({ length: width }, (_, n) => Math.floor(value / 256 ** n) & 0xff);
  expect(client.pwrite(d, CONFIG + BigInt(at), raw)).toBe(width);
}
function irqInfo(client: Client, d: number, index: number): [flags: number, count: number] {
  const { out } = client.call(d, v.VFIO_DEVICE_GET_IRQ_INFO, v.vfio_irq_info, { index });
  return [out.flags, out.count];
}
function findCap(client: Client, d: number, id: number): number {
  for (let at = config(client, d, 0x34, 1); at; at = config(client, d, at + 1, 1)) {
    if (config(client, d, at, 1) === id) return at;
  }
  return 0;
}
/** Read and write answer EIO, a load and a store through the mapping are a SIGBUS. */
function expectNoRegisters(client: Client, d: number, mapping: bigint): void {
  expect(client.pread(d, BAR0 + 0x10n, 4)).toBe(EIO);
  expect(client.pwrite(d, BAR0 + 0x10n, new Uint8Array(4))).toBe(EIO);
  expect(client.program.load(mapping + 0x10n, 4)).toBe(EFAULT);
  expect(client.program.store(mapping + 0x10n, 4, 1n)).toBe(EFAULT);
}
function busMaster(client: Client, d: number): void {
  setConfig(client, d, 4, 2, config(client, d, 4, 2) | 4);
}
const raise = (client: Client, d: number, vector: number): void => {
  must(client.pwrite(d, BAR0, Uint8Array.of(vector, 0, 0, 0)));
};
const intx = (client: Client, d: number, level: number): void => {
  must(client.pwrite(d, BAR0 + 8n, Uint8Array.of(level, 0, 0, 0)));
};

describe('info', () => {
  test('GET_INFO tells of a PCI device with a reset, 9 regions, 5 interrupts', () => {
    const { client, d } = rig();
    const { rc, out } = client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info);
    const { argsz, flags, num_regions, num_irqs } = out;
    expect({ rc, argsz, flags, num_regions, num_irqs }).toEqual({
      rc: 0,
      argsz: 24,
      flags: v.VFIO_DEVICE_FLAGS_RESET | v.VFIO_DEVICE_FLAGS_PCI,
      num_regions: 9,
      num_irqs: 5,
    });
    expect(client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info, { argsz: 15 }).rc).toBe(
      EINVAL,
    );
    expect(client.plain(d, v.VFIO_DEVICE_GET_INFO, 0n)).toBe(EFAULT);
  });
  const below = (type: string, ...devices: object[]) => [{ type, at: '0000:00:01.0', devices }];
  const edu = (at: string, pcie = false) => ({ type: 'edu', at, options: { pcie } });
  const behindPci = (...devices: object[]) => below('pci-bridge', ...devices);
  test.for([
    ['conventional, on the root bus', [edu(EDU)], EDU, undefined],
    ['PCIe with FLR, on the root bus', [edu(EDU, true)], EDU, 'flr\n'],
    [
      'PCIe with FLR, alone below its port',
      below('root-port', edu('0000:01:00.0', true)),
      '0000:01:00.0',
      'flr bus\n',
    ],
    [
      'conventional, alone behind its bridge',
      behindPci(edu('0000:01:04.0')),
      '0000:01:04.0',
      'bus\n',
    ],
    [
      'conventional, with a neighbour',
      behindPci(edu('0000:01:04.0'), edu('0000:01:05.0')),
      '0000:01:04.0',
      undefined,
    ],
  ] as const)(
    'a function can be reset by what it has (2.3, 2.7): %s',
    ([, devices, at, methods]) => {
      const client = new Client(machineOf({ devices: devices as MachineInput['devices'] }));
      const { d } = client.device(v.VFIO_TYPE1v2_IOMMU, at);
      const { out } = client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info);
      const files = `/sys/bus/pci/devices/${at}`;
      expect([
        out.flags,
        client.plain(d, v.VFIO_DEVICE_RESET),
        client.text(`${files}/reset_method`),
        must(client.program.readdir(files)).includes('reset'),
      ]).toEqual(methods === undefined ? [2, EINVAL, ENOENT, false] : [3, 0, methods, true]);
    },
  );
  test.for([
    [0, 7, 0x4000n, 0n],
    [1, 0, 0n, 1n],
    [2, 7 | 8, 0x1000n, 2n],
    [3, 3, 0x20n, 3n],
    [4, 3, 0x100n, 4n],
    [5, 0, 0n, 5n],
    [6, 0, 0n, 6n],
    [7, 3, 4096n, 7n],
  ] as const)('region %i is told as the device has it', ([index, flags, size, place]) => {
    const { client, d } = rig();
    const { out } = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index });
    expect([out.flags, out.size, out.offset]).toEqual([flags, size, place << 40n]);
  });
  test('the BAR of the MSI-X table says that it can be mapped', () => {
    const { client, d } = rig();
    const type = v.vfio_region_info;
    const short = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, type, { index: 2 }).out;
    expect([short.argsz, short.cap_offset]).toEqual([40, 0]);
    const long = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, type, { index: 2, argsz: 40 });
    expect(long.out.cap_offset).toBe(32);
    expect([...long.all.subarray(32, 40)]).toEqual([3, 0, 1, 0, 0, 0, 0, 0]);
  });
  test('there is no VGA region and none behind it', () => {
    const { client, d } = rig();
    for (const index of [8, 9, 0xffff_ffff]) {
      const { rc } = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index });
      expect(rc).toBe(EINVAL);
    }
  });
  test.for([
    [INTX, 7, 1],
    [MSI, 9, 4],
    [MSIX, 1, 8],
    [ERR, 9, 1],
    [REQ, 9, 1],
  ])('interrupt index %i is told as the device has it', ([index, flags, count]) => {
    const { client, d } = rig();
    expect(irqInfo(client, d, index!)).toEqual([flags, count]);
  });
  test('MSI-X that is not there cannot grow (2.5)', () => {
    const client = new Client(machineOf());
    expect(irqInfo(client, client.device().d, MSIX)).toEqual([9, 0]);
  });
  test('a device without a pin has no INTx, and index 5 does not exist', () => {
    const { client, d } = rig({ pin: 0 });
    const type = v.vfio_irq_info;
    const { rc, out } = client.call(d, v.VFIO_DEVICE_GET_IRQ_INFO, type, { index: INTX });
    expect([rc, out.count]).toEqual([0, 0]);
    expect(client.call(d, v.VFIO_DEVICE_GET_IRQ_INFO, type, { index: 5 }).rc).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index: INTX })).toBe(EINVAL);
  });
  test('unknown requests are ENOTTY, and so are ATTACH and graphics on a group fd', () => {
    const { client, d } = rig();
    for (const cmd of [0x3bff, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, v.VFIO_DEVICE_QUERY_GFX_PLANE]) {
      expect(client.plain(d, cmd)).toBe(ENOTTY);
    }
  });
});

describe('configuration space (2.11)', () => {
  test('all of configuration space is read at once, and beyond it is EFAULT', () => {
    const { client, d } = rig();
    const all = must(client.pread(d, CONFIG, 4096));
    expect(all.length).toBe(4096);
    expect([all[0], all[1], all[2], all[3]]).toEqual([0x36, 0x1b, 0xcd, 0xab]);
    expect(client.pread(d, CONFIG + 4095n, 2)).toBe(EFAULT);
    expect(client.pwrite(d, CONFIG + 4096n, Uint8Array.of(1))).toBe(EFAULT);
  });
  test('a fresh device has decode on, bus mastering off and INTx open', () => {
    const { client, d } = rig();
    expect(config(client, d, 4, 2) & 0x407).toBe(3);
  });
  test('BARs size as hardware does, and the device does not move', () => {
    const { client, d } = rig();
    const before = functionOf(client).bars[0]!.address;
    const masks = [0xffff_c00c, 0xffff_ffff, 0xffff_f000, 0xffff_ffe1, 0xffff_ff00, 0];
    for (const [n, mask] of masks.entries()) {
      setConfig(client, d, 0x10 + 4 * n, 4, 0xffff_ffff);
      expect(config(client, d, 0x10 + 4 * n, 4), `BAR ${n}`).toBe(mask);
    }
    setConfig(client, d, 0x10, 4, 0x1234_5678);
    expect(config(client, d, 0x10, 4)).toBe(0x1234_400c);
    setConfig(client, d, 0x13, 1, 0xab);
    expect(config(client, d, 0x10, 4)).toBe(0xab34_400c);
    expect(functionOf(client).bars[0]!.address).toBe(before);
    setConfig(client, d, 0x30, 4, 0xffff_ffff);
    expect(config(client, d, 0x30, 4)).toBe(0);
  });
  test('ids, class and the capability pointer are read-only', () => {
    const { client, d } = rig();
    for (const at of [0, 2, 8, 0x0e, 0x2c, 0x34, 0x3d, 0x3e]) {
      const before = config(client, d, at, 1);
      setConfig(client, d, at, 1, 0xff ^ before);
      expect(config(client, d, at, 1), at.toString(16)).toBe(before);
    }
    setConfig(client, d, 0x3c, 1, 0x0b);
    expect(config(client, d, 0x3c, 1)).toBe(0x0b);
  });
  test('turning memory decode off is EIO for read and SIGBUS for a mapping, until it is on again', () => {
    const { client, d } = rig();
    const at = must(client.program.mmap(0x1000, { fd: d, offset: BAR0 }));
    must(client.program.store(at + 0x10n, 4, 0x55n) ?? 0);
    setConfig(client, d, 4, 2, config(client, d, 4, 2) & ~2);
    expectNoRegisters(client, d, at);
    const later = must(client.program.mmap(0x1000, { fd: d, offset: BAR0 }));
    expect(client.program.load(later + 0x10n, 4)).toBe(EFAULT);
    setConfig(client, d, 4, 2, config(client, d, 4, 2) | 2);
    expect(client.program.load(at + 0x10n, 4)).toBe(0x55n);
    expect(client.program.load(later + 0x10n, 4)).toBe(0x55n);
  });
  test('a virtual function has no memory decode of its own: it answers always, and shows what was written', () => {
    const { client, d } = rig({}, { virtual: true });
    const { config: raw } = functionOf(client);
    const at = must(client.program.mmap(0x1000, { fd: d, offset: BAR0 }));
    expect([config(client, d, 4, 2) & 2, raw.read(4, 2) & 3]).toEqual([2, 0]);
    setConfig(client, d, 4, 2, config(client, d, 4, 2) & ~2);
    expect([config(client, d, 4, 2) & 2, raw.read(4, 2) & 3]).toEqual([0, 0]);
    must(client.program.store(at + 0x10n, 4, 0x55n) ?? 0);
    expect(client.program.load(at + 0x10n, 4)).toBe(0x55n);
    expect(client.pread(d, BAR0 + 0x10n, 4)).toEqual(Uint8Array.of(0x55, 0, 0, 0));
    setConfig(client, d, 4, 2, config(client, d, 4, 2) | 2);
    expect([config(client, d, 4, 2) & 2, raw.read(4, 2) & 3]).toEqual([2, 0]);
  });
  test('a device that lost its BARs behind our back gets them again with memory decode', () => {
    const { client, d } = rig();
    const fn = functionOf(client);
    const before = fn.bars[0]!.address;
    fn.reset('bus');
    expect(fn.bars[0]!.address).toBe(0);
    setConfig(client, d, 4, 2, 3);
    expect(fn.bars[0]!.address).toBe(before);
    expect(isErrno(client.pread(d, BAR0 + 0x10n, 4))).toBe(false);
  });
  test.for([
    [1, true, { d1: true }, 1],
    [1, false, { d2: true }, 0],
    [2, true, { d2: true }, 2],
    [2, false, { d1: true }, 0],
    [2, false, true, 0],
    [3, true, true, 3],
  ] as const)(
    'D%i is taken (%s) where the PM capability announces it: %j',
    ([state, , powerManagement, becomes]) => {
      const { client, d } = rig({}, { powerManagement });
      const pm = findCap(client, d, 1);
      setConfig(client, d, pm + 4, 2, state);
      expect(config(client, d, pm + 4, 2) & 3).toBe(becomes);
      expect(functionOf(client).powerState).toBe(becomes);
    },
  );
  test('power states reach the device, D3 stops memory, and PME cannot be set', () => {
    const { client, d } = rig();
    const pm = findCap(client, d, 1);
    const at = must(client.program.mmap(0x1000, { fd: d, offset: BAR0 }));
    setConfig(client, d, pm + 4, 2, 0x8103);
    expect(config(client, d, pm + 4, 2) & 0x8103).toBe(3);
    expectNoRegisters(client, d, at);
    setConfig(client, d, pm + 4, 2, 0);
    expect(client.pread(d, BAR0 + 0x10n, 4)).toHaveLength(4);
    expect(isErrno(client.program.load(at + 0x10n, 4))).toBe(false);
  });
  test('MSI enable in configuration space does not stick while MSI is not set up', () => {
    const { client, d } = rig();
    const msi = findCap(client, d, 5);
    setConfig(client, d, msi + 2, 2, 0x21);
    expect(config(client, d, msi + 2, 2) & 0x71).toBe(0);
    const fds = [client.eventfd(), client.eventfd()];
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: MSI }, fds)).toBe(0);
    setConfig(client, d, msi + 2, 2, 0x21);
    expect(config(client, d, msi + 2, 2) & 0x71).toBe(0x11);
  });
  test('writes to the MSI-X capability are ignored', () => {
    const { client, d } = rig();
    const msix = findCap(client, d, 0x11);
    setConfig(client, d, msix + 2, 2, 0xc000);
    expect(config(client, d, msix + 2, 2)).toBe(7);
  });
  test('FLR through DevCtl resets the device and reads 0, and configuration stays', () => {
    const { client, d } = rig();
    const exp = findCap(client, d, 0x10);
    must(client.pwrite(d, BAR0 + 0x10n, Uint8Array.of(9)));
    busMaster(client, d);
    accesses.length = 0;
    setConfig(client, d, exp + 8, 2, config(client, d, exp + 8, 2) | 0x8000);
    expect(accesses).toContain('reset');
    expect(config(client, d, exp + 8, 2) & 0x8000).toBe(0);
    expect(config(client, d, 4, 2) & 7).toBe(7);
    expect(must(client.pread(d, BAR0 + 0x10n, 1))[0]).toBe(0);
  });
  test('of the extended capabilities ATS and PRI are seen, PASID is not', () => {
    const { client, d } = rig();
    const ids: number[] = [];
    for (let at = 0x100; at; at = config(client, d, at, 4) >>> 20) {
      ids.push(config(client, d, at, 2));
    }
    expect(ids).toContain(0x0f);
    expect(ids).toContain(0x13);
    expect(ids).not.toContain(0x1b);
    expect(functionOf(client).config.extendedCapability(0x1b)).toBeGreaterThan(0);
  });
  test('ATS cannot be switched by a user', () => {
    const { client, d } = rig();
    const ats = functionOf(client).config.extendedCapability(0x0f);
    const before = config(client, d, ats + 6, 2);
    setConfig(client, d, ats + 6, 2, before ^ 0x8000);
    expect(config(client, d, ats + 6, 2)).toBe(before);
  });
  test('a conventional function has 256 bytes', () => {
    const { client, d } = rig({ conventional: true });
    expect(client.pread(d, CONFIG, 256)).toHaveLength(256);
    expect(client.pread(d, CONFIG + 256n, 1)).toBe(EFAULT);
  });
});

describe('read, write and mmap of BARs (2.14)', () => {
  test('an access is split into naturally aligned pieces of up to 8 bytes', () => {
    const { client, d } = rig();
    must(client.pread(d, BAR0 + 0x11n, 0x1e));
    expect(accesses).toEqual([
      'r0:11/1',
      'r0:12/2',
      'r0:14/4',
      'r0:18/8',
      'r0:20/8',
      'r0:28/4',
      'r0:2c/2',
      'r0:2e/1',
    ]);
  });
  test('read and write without an offset begin at BAR 0 and go on where they ended', () => {
    const { client, d } = rig();
    must(client.pwrite(d, 0x20n, Uint8Array.of(1, 2, 3, 4)));
    accesses.length = 0;
    const plain = new Uint8Array(0x20);
    expect(client.program.read(d, plain)).toBe(0x20);
    const next = new Uint8Array(4);
    expect(client.program.read(d, next)).toBe(4);
    expect([...next]).toEqual([1, 2, 3, 4]);
    expect(client.program.write(d, Uint8Array.of(9, 9, 9, 9))).toBe(4);
    expect([...must(client.pread(d, 0x24n, 4))]).toEqual([9, 9, 9, 9]);
    expect(accesses.at(-2)).toBe('w0:24/4');
  });
  test('an access is cut at the end of a region, and beyond it or in none is EINVAL', () => {
    const { client, d } = rig();
    expect(client.pread(d, BAR0 + 0x3ffcn, 16)).toHaveLength(4);
    expect(client.pread(d, BAR0 + 0x4000n, 1)).toBe(EINVAL);
    for (const index of [1n, 5n, 6n, 8n, 9n, 0x10n, 0x20n]) {
      expect(client.pread(d, index << 40n, 4), `${index}`).toBe(EINVAL);
    }
    expect(client.pwrite(d, 6n << 40n, Uint8Array.of(1))).toBe(EINVAL);
    expect(client.pread(d, 0x20n << 40n, 0)).toHaveLength(0);
  });
  test('a ROM is read to its image and 0xff after it, not beyond its size, and never written', () => {
    const { client, d } = rig({ rom: true });
    const type = v.vfio_region_info;
    const { out } = client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, type, { index: 6 });
    expect([out.size, out.flags]).toEqual([2048n, 1]);
    expect([...must(client.pread(d, 6n << 40n, 5))]).toEqual([0x55, 0xaa, 1, 0xff, 0xff]);
    expect(client.pread(d, (6n << 40n) + 2048n, 1)).toBe(EINVAL);
    expect(client.pwrite(d, 6n << 40n, Uint8Array.of(1))).toBe(EINVAL);
  });
  test('the MSI-X table reads as ones and takes no writes, but is there in a mapping', () => {
    const { client, d } = rig();
    const bar2 = 2n << 40n;
    expect([...must(client.pread(d, bar2, 4))]).toEqual([255, 255, 255, 255]);
    expect(client.pwrite(d, bar2, Uint8Array.of(1, 2, 3, 4))).toBe(4);
    const at = must(client.program.mmap(0x1000, { fd: d, offset: bar2 }));
    expect(client.program.load(at + 12n, 4)).toBe(1n);
    expect(client.program.load(at, 4)).toBe(0n);
  });
  test('I/O, small BARs, configuration and what is beyond the end cannot be mapped', () => {
    const { client, d } = rig();
    for (const [offset, length] of [
      [3n << 40n, 0x1000],
      [4n << 40n, 0x1000],
      [CONFIG, 0x1000],
      [1n << 40n, 0x1000],
      [0x10n << 40n, 0x1000],
      [BAR0, 0x5000],
      [BAR0 + 0x4000n, 0x1000],
    ] as const) {
      expect(client.program.mmap(length, { fd: d, offset }), offset.toString(16)).toBe(EINVAL);
    }
    const device = client.machine.vfio.devices().next().value!;
    const request = { offset: BAR0, length: 0x1000n, read: true, write: true, exec: false };
    expect(device.ops.mmap!(client.program, { ...request, shared: false })).toBe(EINVAL);
  });
});

describe('SET_IRQS: checks of every call (2.6)', () => {
  test.for([
    ['argsz 19', { argsz: 19 }, EINVAL],
    ['index 5', { index: 5 }, EINVAL],
    ['start and count that wrap', { start: 1, count: 0xffff_fffe }, EINVAL],
    ['an unknown flag', { flags: NONE | TRIGGER | 0x40 }, EINVAL],
    ['start beyond', { start: 8 }, EINVAL],
    ['count beyond', { start: 7, count: 2 }, EINVAL],
    ['no data flag', { flags: TRIGGER }, EINVAL],
    ['two data flags', { flags: NONE | BOOL | TRIGGER }, EINVAL],
    ['no room for eventfds', { flags: EVENTFD | TRIGGER, count: 1 }, EINVAL],
    ['no room for bools', { flags: BOOL | TRIGGER, count: 1 }, EINVAL],
    ['no action', { flags: NONE }, ENOTTY],
    ['two actions', { flags: NONE | TRIGGER | MASK }, ENOTTY],
    ['an action of another index', { flags: NONE | MASK }, ENOTTY],
    ['MSI-X unmask', { flags: NONE | UNMASK }, ENOTTY],
    ['ERR mask', { flags: NONE | MASK, index: ERR }, ENOTTY],
    ['disable of what is off', {}, EINVAL],
  ] as const)('SET_IRQS is refused: %s', ([, given, errno]) => {
    const { client, d } = rig();
    const values = { flags: NONE | TRIGGER, index: MSIX, start: 0, count: 0, ...given };
    expect(client.call(d, v.VFIO_DEVICE_SET_IRQS, v.vfio_irq_set, values).rc).toBe(errno);
  });
  test('data of SET_IRQS that cannot be read is EFAULT', () => {
    const { client, d } = rig();
    const page = client.memory(0x1000);
    const at = page + 0x1000n - 20n;
    const set = v.vfio_irq_set.view(new Uint8Array(20));
    Object.assign(set, { argsz: 24, flags: EVENTFD | TRIGGER, index: MSIX, start: 0, count: 1 });
    client.put(at, set.bytes);
    expect(client.plain(d, v.VFIO_DEVICE_SET_IRQS, at)).toBe(EFAULT);
  });
});

describe.each([
  ['MSI', MSI, 4],
  ['MSI-X', MSIX, 8],
] as const)('%s', (_, index, vectors) => {
  let client: Client;
  let d: number;
  beforeEach(() => {
    ({ client, d } = rig());
    busMaster(client, d);
  });
  test('a vector of the device adds one to its eventfd, others are left alone', () => {
    const fds = Array.from({ length: vectors }, () => client.eventfd());
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, fds)).toBe(0);
    raise(client, d, 2);
    raise(client, d, 2);
    expect(client.counter(fds[2]!)).toBe(2n);
    raise(client, d, 0);
    expect(client.counter(fds[0]!)).toBe(1n);
  });
  test('bus mastering off drops messages', () => {
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd])).toBe(0);
    setConfig(client, d, 4, 2, 3);
    raise(client, d, 0);
    busMaster(client, d);
    raise(client, d, 0);
    expect(client.counter(fd)).toBe(1n);
  });
  test('NONE and BOOL trigger what has an eventfd', () => {
    const [a, b] = [client.eventfd(), client.eventfd()];
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [a, -1, b])).toBe(0);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index, count: 3 })).toBe(0);
    expect(client.setIrqs(d, { flags: BOOL | TRIGGER, index }, [0, 1, 1], 1)).toBe(0);
    expect(client.counter(a)).toBe(1n);
    expect(client.counter(b)).toBe(2n);
  });
  test('count 0 disables once; a vector of a disabled index is EINVAL', () => {
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index, count: 1 })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [-1])).toBe(0);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(0);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(EINVAL);
  });
  test('a bad fd undoes the enable, and the vectors before it', () => {
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd, 99])).toBe(EBADF);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd, d])).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd, -1])).toBe(0);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd, 99])).toBe(EBADF);
    raise(client, d, 0);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index, count: 1 })).toBe(0);
    expect(client.program.close(fd)).toBeUndefined();
  });
  test('another kind of interrupt is EINVAL while it is on', () => {
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [-1])).toBe(0);
    const other = index === MSI ? MSIX : MSI;
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: other }, [-1])).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [-1])).toBe(EINVAL);
  });
  test('nothing to enable with is ERANGE, and too few vectors is their number', () => {
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index, count: 0 })).toBe(ERANGE);
    client.machine.pci.devices()[0]!.irqs.available = 2;
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [-1, -1, -1])).toBe(2);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [-1, -1])).toBe(0);
  });
  test('later vectors can be added to MSI-X only', () => {
    const [a, b] = [client.eventfd(), client.eventfd()];
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [a])).toBe(0);
    const rc = client.setIrqs(d, { flags: EVENTFD | TRIGGER, index, start: 3 }, [b]);
    expect(rc).toBe(index === MSI ? EINVAL : 0);
    if (index === MSI) return;
    raise(client, d, 3);
    expect(client.counter(b)).toBe(1n);
  });
  test('interrupts survive a reset of the device', () => {
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index }, [fd])).toBe(0);
    expect(client.plain(d, v.VFIO_DEVICE_RESET)).toBe(0);
    raise(client, d, 0);
    expect(client.counter(fd)).toBe(1n);
  });
});

describe('INTx', () => {
  test('INTx fires once and stays masked until it is unmasked, and a line still up fires again', () => {
    const { client, d } = rig();
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [fd])).toBe(0);
    intx(client, d, 1);
    expect(client.counter(fd)).toBe(1n);
    expect(client.setIrqs(d, { flags: NONE | UNMASK, index: INTX, count: 1 })).toBe(0);
    expect(client.counter(fd)).toBe(1n);
    intx(client, d, 0);
    expect(client.setIrqs(d, { flags: BOOL | UNMASK, index: INTX }, [1], 1)).toBe(0);
    intx(client, d, 1);
    expect(client.counter(fd)).toBe(1n);
  });
  test('MASK holds INTx back, and so does virtual INTX_DISABLE, and what waited fires when it is cleared', () => {
    const { client, d } = rig();
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [fd])).toBe(0);
    expect(client.setIrqs(d, { flags: NONE | MASK, index: INTX, count: 1 })).toBe(0);
    setConfig(client, d, 4, 2, 0x403);
    intx(client, d, 1);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index: INTX, count: 1 })).toBe(0);
    setConfig(client, d, 4, 2, 0x003);
    expect(client.counter(fd)).toBe(1n);
    expect(config(client, d, 4, 2) & 0x400).toBe(0);
  });
  test('an eventfd can unmask INTx, a second one is EBUSY, and a bad one is refused', () => {
    const { client, d } = rig();
    const fd = client.eventfd();
    const unmask = client.eventfd();
    const arm = { flags: EVENTFD | UNMASK, index: INTX };
    expect(client.setIrqs(d, arm, [unmask])).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [fd])).toBe(0);
    expect(client.setIrqs(d, arm, [99])).toBe(EBADF);
    expect(client.setIrqs(d, arm, [d])).toBe(EINVAL);
    expect(client.setIrqs(d, arm, [unmask])).toBe(0);
    expect(client.setIrqs(d, arm, [unmask])).toBe(EBUSY);
    intx(client, d, 1);
    intx(client, d, 0);
    expect(client.counter(fd)).toBe(1n);
    must(client.program.write(unmask, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)));
    intx(client, d, 1);
    expect(client.counter(fd)).toBe(1n);
    expect(client.setIrqs(d, arm, [-1])).toBe(0);
    expect(client.setIrqs(d, arm, [unmask])).toBe(0);
  });
  test('INTx wants something to trigger and a descriptor of its own, and no eventfd masks it', () => {
    const { client, d } = rig();
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index: INTX, count: 1 })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: NONE | MASK, index: INTX, count: 1 })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [99])).toBe(EBADF);
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: INTX }, [-1])).toBe(0);
    expect(client.setIrqs(d, { flags: EVENTFD | MASK, index: INTX }, [-1])).toBe(ENOTTY);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index: INTX })).toBe(0);
  });
});

describe('ERR and REQ', () => {
  test.for([ERR, REQ])('index %i has one eventfd, which NONE and BOOL trigger', (index) => {
    const { client, d } = rig();
    const fd = client.eventfd();
    const set = { flags: EVENTFD | TRIGGER, index };
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index, count: 1 })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(EINVAL);
    expect(client.setIrqs(d, { flags: BOOL | TRIGGER, index }, [1], 1)).toBe(0);
    expect(client.setIrqs(d, { flags: BOOL | TRIGGER, index, count: 0 })).toBe(EINVAL);
    expect(client.setIrqs(d, set, [-2])).toBe(EINVAL);
    expect(client.setIrqs(d, set, [99])).toBe(EBADF);
    expect(client.setIrqs(d, set, [fd])).toBe(0);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index, count: 1 })).toBe(0);
    expect(client.setIrqs(d, { flags: BOOL | TRIGGER, index }, [1], 1)).toBe(0);
    expect(client.counter(fd)).toBe(2n);
    expect(client.setIrqs(d, { flags: NONE | TRIGGER, index })).toBe(0);
    expect(client.setIrqs(d, set, [-1])).toBe(0);
  });
  test('unbinding asks for the device every ten seconds and waits for the last close', () => {
    const { client, d } = rig();
    const told: boolean[] = [];
    using _ = client.machine.env.trace.listen(({ event }) => {
      if (event.kind === 'interrupt' && event.index === 'req') told.push(event.delivered);
    });
    const fd = client.eventfd();
    expect(client.setIrqs(d, { flags: EVENTFD | TRIGGER, index: REQ }, [fd])).toBe(0);
    const device = client.machine.vfio.devices().next().value!;
    const { vfio, env } = client.machine;
    expect(vfio.unregisterDevice(device.dev)).toBe(device.closed);
    expect(client.counter(fd)).toBe(1n);
    env.clock.advance(25e9);
    expect(client.counter(fd)).toBe(2n);
    expect(told).toEqual([true, true, true]);
    client.program.exit();
    expect(vfio.unregisterDevice(device.dev)).toBeUndefined();
    expect(vfio.unregisterDevice(device.dev)).toBe(ENODEV);
    expect([...vfio.nodes()].map((node) => node.path)).toEqual(['vfio/vfio']);
  });
});

describe('reset and low power', () => {
  test('RESET clears the device and keeps configuration', () => {
    const { client, d } = rig();
    busMaster(client, d);
    setConfig(client, d, 0x10, 4, 0x8000_0000);
    must(client.pwrite(d, BAR0 + 0x10n, Uint8Array.of(7)));
    expect(client.plain(d, v.VFIO_DEVICE_RESET)).toBe(0);
    expect(must(client.pread(d, BAR0 + 0x10n, 1))[0]).toBe(0);
    expect(config(client, d, 4, 2) & 7).toBe(7);
    expect(config(client, d, 0x10, 4)).toBe(0x8000_000c);
  });
  test('a new open starts with a reset device and bus mastering off', () => {
    const { client, d, g } = rig();
    busMaster(client, d);
    must(client.pwrite(d, BAR0 + 0x10n, Uint8Array.of(7)));
    expect(client.program.close(d)).toBeUndefined();
    expect(functionOf(client).busMaster).toBe(false);
    const again = must(client.deviceFd(g, EDU));
    expect(config(client, again, 4, 2) & 4).toBe(0);
    expect(must(client.pread(again, BAR0 + 0x10n, 1))[0]).toBe(0);
  });
  test('on the root bus there is no hot reset', () => {
    const { client, d } = rig();
    const info = v.vfio_pci_hot_reset_info;
    expect(client.call(d, v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info).rc).toBe(ENODEV);
    expect(client.call(d, v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info, { argsz: 11 }).rc).toBe(
      EINVAL,
    );
    const type = v.vfio_pci_hot_reset;
    expect(client.call(d, v.VFIO_DEVICE_PCI_HOT_RESET, type, { flags: 1 }).rc).toBe(EINVAL);
    expect(client.call(d, v.VFIO_DEVICE_PCI_HOT_RESET, type, { count: 0 }).rc).toBe(EINVAL);
    expect(client.call(d, v.VFIO_DEVICE_PCI_HOT_RESET, type, { count: 1 }).rc).toBe(ENODEV);
  });
  const GET = v.VFIO_DEVICE_FEATURE_GET;
  const SET = v.VFIO_DEVICE_FEATURE_SET;
  const PROBE_FLAG = v.VFIO_DEVICE_FEATURE_PROBE;
  test.for([
    [0 | SET, ENOTTY],
    [1 | GET, ENOTTY],
    [2 | SET, ENOTTY],
    [6 | SET, ENOTTY],
    [11 | GET, EINVAL],
    [12 | SET | PROBE_FLAG, EINVAL],
    [3 | SET | PROBE_FLAG, 0],
    [3 | GET | PROBE_FLAG, EINVAL],
    [3 | GET, EINVAL],
    [3, EINVAL],
    [3 | GET | SET, EINVAL],
    [3 | SET | 0x8_0000, EINVAL],
    [4 | SET, EINVAL],
    [5 | SET, 0],
  ] as const)('the feature flags %i are answered as on Linux', ([flags, answer]) => {
    const { client, d } = rig();
    const type = v.vfio_device_feature;
    expect(client.call(d, v.VFIO_DEVICE_FEATURE, type, { flags }).rc).toBe(answer);
    expect(client.call(d, v.VFIO_DEVICE_FEATURE, type, { flags, argsz: 7 }).rc).toBe(EINVAL);
  });
  test('in low power a mapping is SIGBUS, and another access wakes and tells', () => {
    const { client, d } = rig();
    const at = must(client.program.mmap(0x1000, { fd: d, offset: BAR0 }));
    const fd = client.eventfd();
    const data = new Uint8Array(Int32Array.of(fd, 0).buffer);
    const type = v.vfio_device_feature;
    const enter = (tail: Uint8Array) =>
      client.call(d, v.VFIO_DEVICE_FEATURE, type, { flags: 4 | SET }, tail).rc;
    expect(enter(new Uint8Array(Int32Array.of(-1, 0).buffer))).toBe(EINVAL);
    expect(enter(new Uint8Array(Int32Array.of(99, 0).buffer))).toBe(EBADF);
    expect(enter(data)).toBe(0);
    expect(enter(data)).toBe(EINVAL);
    expect(client.program.load(at, 4)).toBe(EFAULT);
    expect(config(client, d, 0, 2)).toBe(0x1b36);
    expect(client.counter(fd)).toBe(1n);
    expect(isErrno(client.program.load(at + 0x10n, 4))).toBe(false);
  });
});
