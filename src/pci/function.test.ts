import { describe, expect, test } from 'vitest';
import { Bug } from '../base/bug.ts';
import { ENOTTY } from '../base/errno.ts';
import { KernelEnv } from '../base/kernel-env.ts';
import { PCI_CAP_ID_EXP, PCI_CAP_ID_MSIX, PCI_CAP_ID_VNDR, PCI_COMMAND } from '../uapi/pci-regs.ts';
import { PciDeviceFunction } from './function.ts';
import type { PciIdentity, PciRegisters } from './identity.ts';
import type { MsiMessage } from './messages.ts';

const FULL: PciIdentity = {
  vendor: 0x1234,
  device: 0x5678,
  revision: 2,
  classCode: 0x010802,
  interruptPin: 1,
  bars: [
    { index: 0, size: 2 ** 33, kind: 'mem64', prefetchable: true },
    { index: 2, size: 0x2000, kind: 'mem32' },
    { index: 3, size: 8, kind: 'io' },
  ],
  msiVectors: 4,
  msix: { vectors: 4, bar: 2, tableOffset: 0x1000, pbaOffset: 0x1800 },
  pcie: { flr: true, type: 'endpoint' },
  powerManagement: true,
  acs: 0x1d,
  ats: true,
};

function rig(identity: PciIdentity = FULL, more: Partial<PciRegisters> = {}) {
  const calls: string[] = [];
  const messages: MsiMessage[] = [];
  let lines = 0;
  const registers: PciRegisters = {
    mmioRead: (bar, offset, width) => {
      calls.push(`r${bar}:${offset}/${width}`);
      return 0x1122_3344_5566_7788n;
    },
    mmioWrite: (bar, offset, width, value) =>
      void calls.push(`w${bar}:${offset}/${width}=${value}`),
    reset: (kind) => void calls.push(`reset ${kind}`),
    ...more,
  };
  const fn = new PciDeviceFunction({
    env: new KernelEnv(),
    at: { segment: 0, bus: 2, device: 3, fn: 1 },
    identity,
    sink: { message: (message) => messages.push(message) > 0, line: () => ++lines > 0 },
    registers: () => registers,
    hotResetSet: () => undefined,
  });
  return { fn, calls, messages, lines: () => lines };
}

describe('a capability that is a window to the BARs (virtio 1.2, 4.1.4.9)', () => {
  const windowRig = () => {
    const { fn, calls } = rig({ ...FULL, windowCapability: 5 });
    fn.writeConfig(PCI_COMMAND, 2, 2);
    const at = fn.config.lastCapability;
    const aim = (bar: number, offset: number, length: number): void => {
      fn.writeConfig(at + 4, 1, bar);
      fn.writeConfig(at + 8, 4, offset);
      fn.writeConfig(at + 12, 4, length);
    };
    return { fn, calls, at, aim };
  };
  test('says its type and length, and does nothing while software only looks', () => {
    const { fn, calls, at } = windowRig();
    expect(fn.readConfig(at, 4) >>> 0).toBe(0x0514_0009);
    for (let n = 0; n < 20; n += 4) fn.readConfig(at + n, 4);
    expect(calls).toEqual([]);
  });
  test('reads and writes as many bytes of a BAR as it was told', () => {
    const { fn, calls, at, aim } = windowRig();
    aim(0, 0x20, 4);
    expect(fn.readConfig(at + 16, 4)).toBe(0x5566_7788);
    aim(0, 0x22, 2);
    expect(fn.readConfig(at + 16, 2)).toBe(0x7788);
    fn.writeConfig(at + 16, 2, 0x1234);
    aim(0, 0x27, 1);
    fn.writeConfig(at + 16, 4, 0xabcd);
    expect(calls).toEqual(['r0:32/4', 'r0:34/2', 'w0:34/2=4660', 'w0:39/1=205']);
  });
  test.for<[string, [number, number, number]]>([
    ['another width', [0, 0x20, 3]],
    ['no width', [0, 0x20, 0]],
    ['an offset that is not aligned', [0, 0x21, 2]],
    ['a BAR there is not', [5, 0x20, 4]],
    ['a BAR there cannot be', [200, 0x20, 4]],
  ])('%s is no access: the data stays', ([, where]) => {
    const { fn, calls, at, aim } = windowRig();
    aim(...where);
    fn.writeConfig(at + 16, 4, 0x4711);
    expect([fn.readConfig(at + 16, 4), calls]).toEqual([0x4711, []]);
  });
  test('finds ones where nothing answers: beyond the end, and with decoding off', () => {
    const { fn, calls, at, aim } = windowRig();
    aim(2, 0x2000, 4);
    expect(fn.readConfig(at + 16, 4) >>> 0).toBe(0xffff_ffff);
    fn.writeConfig(PCI_COMMAND, 2, 0);
    aim(0, 0x20, 4);
    expect(fn.readConfig(at + 16, 4) >>> 0).toBe(0xffff_ffff);
    expect(calls).toEqual([]);
  });
});

describe('configuration space', () => {
  test('the header says what the function is', () => {
    const { fn } = rig();
    expect(fn.name).toBe('0000:02:03.1');
    expect(fn.requesterId).toBe(0x0219);
    expect(fn.readConfig(0, 4)).toBe(0x5678_1234);
    expect(fn.readConfig(8, 4)).toBe(0x0108_0202);
    expect(fn.readConfig(4094, 4) >>> 16).toBe(0xffff);
  });
  test('only writable bits of configuration space change', () => {
    const { fn } = rig();
    fn.writeConfig(0, 4, 0xffff_ffff);
    fn.writeConfig(PCI_COMMAND, 2, 0xffff);
    expect(fn.readConfig(0, 4)).toBe(0x5678_1234);
    expect(fn.command).toBe(0x0547);
  });
  test('BARs size, also above 4 GiB', () => {
    const { fn } = rig();
    for (let at = 0x10; at < 0x28; at += 4) fn.writeConfig(at, 4, 0xffff_ffff);
    const read = [0x10, 0x14, 0x18, 0x1c, 0x20].map((at) => fn.readConfig(at, 4));
    expect(read).toEqual([0x0000_000c, 0xffff_fffe, 0xffff_e000, 0xffff_fff9, 0]);
    fn.bars[0]!.assign(0x40_0000_0000);
    expect(fn.bars[0]!.address).toBe(0x40_0000_0000);
    expect(fn.bars[0]!.window.pfn).toBe(0x400_0000);
  });
  test('vendor-specific capabilities say their length, and several have one id', () => {
    const vendorCapabilities = [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(0x77)];
    const { fn } = rig({ ...FULL, vendorCapabilities });
    const first = fn.config.capability(PCI_CAP_ID_VNDR);
    const second = fn.readConfig(first + 1, 1);
    expect(fn.readConfig(first, 4) & 0xffff_00ff).toBe(0x0108_0009);
    expect(fn.readConfig(first + 4, 4)).toBe(0x0504_0302);
    expect(fn.readConfig(second, 4) >>> 0).toBe(0x7704_0009);
    fn.writeConfig(second + 2, 2, 0xffff);
    expect(fn.readConfig(second + 2, 2)).toBe(0x7704);
  });
  test('both chains of capabilities are linked and end', () => {
    const { fn } = rig();
    const ids: number[] = [];
    for (let at = fn.readConfig(0x34, 1); at; at = fn.readConfig(at + 1, 1))
      ids.push(fn.readConfig(at, 1));
    expect(ids).toEqual([1, 5, 0x11, 0x10]);
    const extended: number[] = [];
    for (let at = 0x100; at; at = fn.readConfig(at, 4) >>> 20) extended.push(fn.readConfig(at, 2));
    expect(extended).toEqual([0x0d, 0x0f]);
  });
  test('BARs that cannot be are Bugs', () => {
    for (const bars of [
      [{ index: 0, size: 0x3000, kind: 'mem32' as const }],
      [{ index: 5, size: 0x1000, kind: 'mem64' as const }],
      [{ index: 0, size: 2, kind: 'io' as const }],
    ]) {
      expect(() => rig({ ...FULL, bars })).toThrow(Bug);
    }
  });
});

describe('windows', () => {
  test('a window answers nothing while decode is off or beyond its end', () => {
    const { fn, calls } = rig();
    const { window } = fn.bars[2]!;
    expect(window.load(0, 4)).toBe(0xffff_ffffn);
    window.store(0, 4, 1n);
    expect(calls).toEqual([]);
    fn.writeConfig(PCI_COMMAND, 2, 2);
    expect(window.load(0, 4)).toBe(0x5566_7788n);
    expect(window.load(0x1ffe, 4)).toBe(0xffff_ffffn);
    window.store(8, 2, 7n);
    expect(calls).toEqual(['r2:0/4', 'w2:8/2=7']);
  });
  test('I/O decode is a switch of its own', () => {
    const { fn } = rig();
    fn.writeConfig(PCI_COMMAND, 2, 2);
    expect(fn.bars[3]!.window.load(0, 1)).toBe(0xffn);
    fn.writeConfig(PCI_COMMAND, 2, 1);
    expect(fn.bars[3]!.window.load(0, 1)).toBe(0x88n);
  });
});

describe('MSI-X', () => {
  const ENABLE = 0x8000;
  const MASK_ALL = 0x4000;
  /** With both vectors programmed and the capability on. */
  function enabled() {
    const { fn, messages } = rig();
    fn.writeConfig(PCI_COMMAND, 2, 6);
    const control = fn.config.capability(PCI_CAP_ID_MSIX) + 2;
    fn.writeConfig(control, 2, ENABLE);
    for (const n of [0, 1]) fn.msix!.program(n, message(n), false);
    return { fn, messages, control, window: fn.bars[2]!.window };
  }
  const message = (n: number) => ({ addressLo: 0xfee0_0000, addressHi: 0, data: 0x1000 + n });

  test('a masked vector of MSI-X waits in the pending bits and is sent when unmasked', () => {
    const { fn, messages, window } = enabled();
    window.store(0x1000 + 16 + 12, 4, 1n);
    fn.raise(1);
    expect(messages).toEqual([]);
    expect(window.load(0x1800, 8)).toBe(2n);
    window.store(0x1800, 8, 0n);
    expect(window.load(0x1800, 8)).toBe(2n);
    window.store(0x1000 + 16 + 12, 4, 0n);
    expect(messages).toEqual([message(1)]);
    expect(window.load(0x1800, 8)).toBe(0n);
  });
  test('the function mask of MSI-X holds everything back', () => {
    const { fn, messages, control } = enabled();
    fn.writeConfig(control, 2, ENABLE | MASK_ALL);
    fn.raise(0);
    expect(messages).toEqual([]);
    fn.writeConfig(control, 2, ENABLE);
    expect(messages).toEqual([message(0)]);
  });
  test('a message goes where its entry says, whoever wrote that', () => {
    const { fn, messages, window } = enabled();
    window.store(0x1000, 4, 0x1000n);
    fn.raise(0);
    expect(messages).toEqual([{ ...message(0), addressLo: 0x1000 }]);
  });
});

describe('reset', () => {
  test('FLR puts everything back to power-on', () => {
    const { fn, calls } = rig();
    fn.bars[2]!.assign(0x8000_0000);
    fn.writeConfig(PCI_COMMAND, 2, 7);
    const exp = fn.config.capability(PCI_CAP_ID_EXP);
    fn.writeConfig(exp + 8, 2, 0x8000);
    expect(calls).toEqual(['reset flr']);
    expect([fn.command, fn.bars[2]!.address, fn.readConfig(exp + 8, 2)]).toEqual([0, 0, 0x2810]);
  });
  test('the kernel keeps configuration over it, and a function without a method is ENOTTY', () => {
    const { fn } = rig();
    fn.bars[2]!.assign(0x8000_0000);
    expect(fn.resetFunction()).toBeUndefined();
    expect(fn.bars[2]!.address).toBe(0x8000_0000);
    const stuck = rig({ ...FULL, pcie: { flr: false, type: 'endpoint' } });
    expect(stuck.fn.resetFunction()).toBe(ENOTTY);
  });
  test('D3 stops decode, mastering and messages', () => {
    const { fn } = rig();
    fn.writeConfig(PCI_COMMAND, 2, 7);
    const pm = fn.config.capability(1);
    fn.writeConfig(pm + 4, 2, 3);
    expect([fn.memoryEnabled, fn.ioEnabled, fn.busMaster]).toEqual([false, false, false]);
    fn.writeConfig(pm + 4, 2, 0);
    expect(fn.busMaster).toBe(true);
  });
});

test('INTx is level: STATUS shows it, INTX_DISABLE holds it back, clearing that delivers it', () => {
  const { fn, lines } = rig();
  fn.writeConfig(PCI_COMMAND, 2, 0x400);
  fn.setIntx(true);
  expect([lines(), fn.readConfig(6, 2) & 8]).toEqual([0, 8]);
  fn.writeConfig(PCI_COMMAND, 2, 0);
  expect(lines()).toBe(1);
  fn.setIntx(false);
  expect(fn.readConfig(6, 2) & 8).toBe(0);
});

test('a bridge has a type 1 header with its buses', () => {
  const { fn } = rig({
    vendor: 0x1b36,
    device: 0xc,
    revision: 0,
    classCode: 0x060400,
    interruptPin: 0,
    bars: [],
    bridge: { primary: 0, secondary: 1, subordinate: 4 },
    pcie: { flr: false, type: 'root-port' },
  });
  expect(fn.readConfig(0x0e, 1)).toBe(1);
  expect(fn.readConfig(0x18, 4) & 0xff_ffff).toBe(0x04_01_00);
  expect((fn.readConfig(fn.config.capability(PCI_CAP_ID_EXP) + 2, 2) >> 4) & 15).toBe(4);
});

describe('stores of 64 bytes', () => {
  const line = BigInt(`0x${Array.from({ length: 8 }, (_, n) => `${n}`.repeat(16)).join('')}`);
  function opened(more: Partial<PciRegisters> = {}) {
    const made = rig(FULL, more);
    made.fn.writeConfig(PCI_COMMAND, 2, 7);
    return made;
  }
  test('are eight of 8 bytes to a device that knows no others', () => {
    const { fn, calls } = opened();
    fn.bars[0]!.window.store(0x40, 64, line);
    expect(calls).toHaveLength(8);
    expect(calls[0]).toBe(`w0:64/8=8608480567731124087`);
    expect(calls[7]).toBe('w0:120/8=0');
  });
  test('are one to a device that does, lowest byte first', () => {
    const seen: [number, number, Uint8Array][] = [];
    const { fn, calls } = opened({ mmioWrite64: (...access) => void seen.push(access) });
    fn.bars[0]!.window.store(0x40, 64, line);
    expect(calls).toEqual([]);
    expect(seen.map(([bar, at]) => [bar, at])).toEqual([[0, 0x40]]);
    expect([seen[0]![2].length, seen[0]![2][0], seen[0]![2][63]]).toEqual([64, 0x77, 0]);
  });
  test('reach the MSI-X table', () => {
    const { fn, calls } = opened();
    fn.bars[2]!.window.store(0x1000, 64, 0xfee0_0000n | (0x21n << 64n));
    expect(fn.msix!.message(0)).toEqual({ addressLo: 0xfee0_0000, addressHi: 0, data: 0x21 });
    expect(calls).toEqual([]);
  });
});

test('a device has registers of its own in configuration space', () => {
  const register = { offset: 0x180, writable: 0xff00, clear: 0x0f };
  const { fn } = rig({ ...FULL, configRegisters: [register] });
  fn.config.force(0x180, 4, 0x1_000f);
  fn.writeConfig(0x180, 4, 0xffff_ff05);
  expect(fn.readConfig(0x180, 4)).toBe(0x1_ff0a);
  fn.reset('flr');
  expect(fn.readConfig(0x180, 4)).toBe(0);
  expect(() => rig({ ...FULL, configRegisters: [{ offset: 0x182 }] })).toThrow(Bug);
});
