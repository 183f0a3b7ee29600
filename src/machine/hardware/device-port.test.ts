import { describe, expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import { EFAULT } from '../../base/errno.ts';
import type { TraceEvent } from '../../base/events.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import {
  unanswered,
  type PageRequest,
  type RemappingUnit,
  type UnitAnswer,
  type UnitRequest,
} from '../../core/contract/remapping-unit.ts';
import type { ConfigSwitch, DevicePort } from '../../devices/port.ts';
import { hostServices } from '../../devices/host-turns.ts';
import { Wires } from '../../devices/wires.ts';
import { PciDeviceFunction } from '../../pci/function.ts';
import type { PciIdentity } from '../../pci/identity.ts';
import { IOMMU_READ } from '../../pt/page-table.ts';
import { PCI_COMMAND } from '../../uapi/pci-regs.ts';
import { devicePort } from './device-port.ts';
import { DmaPort } from './dma-port.ts';
import { InterruptController } from './interrupt-controller.ts';

const IDENTITY: PciIdentity = {
  vendor: 0x1234,
  device: 0x5678,
  revision: 0,
  classCode: 0,
  interruptPin: 1,
  bars: [],
  pcie: { flr: true, type: 'endpoint' },
  powerManagement: true,
  msiVectors: 1,
  ats: true,
  pri: true,
};
const RID = 0x0018;
const MASTER = 4;

/** A unit that adds 0x1000 to every granule below 0x100 and answers translation requests as told. */
function fakeUnit(answer: Partial<UnitAnswer> = {}) {
  const requests: UnitRequest[] = [];
  const pages: [PageRequest, (code: number) => void][] = [];
  const unit: RemappingUnit = {
    name: 'fake',
    granuleLg2: 12,
    messages: undefined,
    translate: (_id, _pasid, iovaG) => (iovaG < 0x100 ? iovaG + 0x1000 : -1),
    request(request) {
      requests.push(request);
      return { outcome: 'translated', outG: 0, prot: 0, sizeLg2: 0, ...answer };
    },
    message: () => undefined,
    requestPage: (request, respond) => pages.push([request, respond]) > 0,
    explain: () => ({ tables: [], walk: [] }),
  };
  return { unit, requests, pages };
}

function rig(unit?: RemappingUnit, identity: PciIdentity = IDENTITY) {
  const transfers: [pfn: number, offset: number, length: number][] = [];
  const move = (pfn: number, offset: number, bytes: Uint8Array): undefined => {
    transfers.push([pfn, offset, bytes.length]);
  };
  const memory: PhysicalMemory = {
    read: move,
    write: move,
    addPin: () => undefined,
    unpin: () => undefined,
    pins: () => 0,
    isCompound: () => false,
  };
  const env = new KernelEnv();
  const fn: PciDeviceFunction = new PciDeviceFunction({
    env,
    at: { segment: 0, bus: 0, device: 3, fn: 0 },
    identity,
    sink: { message: (message) => dma.message(message), line: () => false },
    registers: () => undefined,
    hotResetSet: () => undefined,
  });
  const bus = { env, memory, controller: new InterruptController() };
  const dma: DmaPort = new DmaPort({ bus, fn, requesterId: RID, unit });
  const { clock } = env;
  const wires = new Wires(clock);
  const host = hostServices({ given: {}, clock, plug: (name) => wires.plug('', name) }, []);
  const port: DevicePort = devicePort(fn, dma, host);
  fn.writeConfig(PCI_COMMAND, 2, MASTER);
  return { fn, port, transfers };
}

describe('transfers', () => {
  test('without a unit move as a whole', () => {
    const { port, transfers } = rig();
    expect(port.dma.read(0x1_0800n, new Uint8Array(0x4000))).toBeUndefined();
    expect(transfers).toEqual([[0x10, 0x800, 0x4000]]);
  });
  test('of no bytes touch nothing', () => {
    const { port, transfers } = rig();
    expect(port.dma.write(0x1_0800n, new Uint8Array(0))).toBeUndefined();
    expect(transfers).toEqual([]);
  });
  test('of a list go piece by piece, as far as they are not refused', () => {
    const { port, transfers } = rig(fakeUnit().unit);
    const list = [
      { at: 0x5000n, length: 16 },
      { at: 0x2ff8n, length: 16 },
      { at: 0x10_0000n, length: 16 },
      { at: 0x1000n, length: 16 },
    ];
    expect(port.dma.write(list, new Uint8Array(64))).toBe(EFAULT);
    expect(transfers).toEqual([
      [0x1005, 0, 16],
      [0x1002, 0xff8, 16],
    ]);
  });
  test('of a list are one event, with its places and with the pieces that reached memory', () => {
    const { fn, port } = rig(fakeUnit().unit);
    const told: TraceEvent[] = [];
    using _ = fn.env.trace.listen(({ event }) => void told.push(event));
    const list = [
      { at: 0x5000n, length: 16 },
      { at: 0x2ff8n, length: 16 },
      { at: 0x10_0000n, length: 16 },
    ];
    expect(port.dma.write(list, new Uint8Array(48))).toBe(EFAULT);
    expect(told.filter(({ kind }) => kind === 'dma')).toMatchObject([
      {
        ...{ write: true, iova: 0x5000n, length: 48, list, ok: false },
        pieces: [
          { iova: 0x5000n, pa: 0x100_5000n, length: 16 },
          { iova: 0x2ff8n, pa: 0x100_2ff8n, length: 16 },
        ],
      },
    ]);
  });
  test('of a list that does not add up are a Bug of the model', () => {
    const { port } = rig();
    expect(() => port.dma.read([{ at: 0n, length: 8 }], new Uint8Array(16))).toThrow(Bug);
  });
});

test.for([0x1234n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 0x1801n, 2n ** 64n - 1n])(
  'a transfer at %d asks for that granule, and begins at that byte of it',
  (at) => {
    const asked: number[] = [];
    const unit: RemappingUnit = {
      ...fakeUnit().unit,
      translate: (_id, _pasid, iovaG) => (asked.push(iovaG), 0x1000),
    };
    const { port, transfers } = rig(unit);
    expect(port.dma.read(at, new Uint8Array(1))).toBeUndefined();
    expect(asked).toEqual([Number(at >> 12n)]);
    expect(transfers).toEqual([[0x1000, Number(at & 0xfffn), 1]]);
  },
);

describe('translation requests', () => {
  test('are made when the function lets them, and answered with a range', () => {
    const { unit, requests } = fakeUnit({ outG: 0x1234, prot: IOMMU_READ, sizeLg2: 2 });
    const { fn, port } = rig(unit);
    expect([port.ats!.enabled, port.ats!.translate(0x5678_9n)]).toEqual([false, EFAULT]);
    fn.enableAts(true);
    const found = port.ats!.translate(0x4_6abcn, { pasid: 7, noWrite: true });
    expect(requests).toEqual([
      { requesterId: RID, pasid: 7, iovaG: 0x46, access: 'ats', noWrite: true },
    ]);
    expect(found).toEqual({
      iova: 0x4_4000n,
      address: 0x123_2000n,
      length: 0x4000n,
      read: true,
      write: false,
    });
  });
  test('of what is not mapped are answered: neither right', () => {
    const { fn, port } = rig(fakeUnit(unanswered('empty')).unit);
    fn.enableAts(true);
    expect(port.ats!.translate(0x1000n)).toMatchObject({ read: false, write: false });
  });
  test.for(['unsupported', 'aborted'] as const)('that the unit calls %s are EFAULT', (outcome) => {
    const { fn, port } = rig(fakeUnit(unanswered(outcome)).unit);
    fn.enableAts(true);
    expect(port.ats!.translate(0x1000n)).toBe(EFAULT);
  });
  test('without a unit, or without bus mastering, are EFAULT', () => {
    const { fn, port } = rig();
    fn.enableAts(true);
    expect(port.ats!.translate(0x1000n)).toBe(EFAULT);
    const other = rig(fakeUnit().unit);
    other.fn.enableAts(true);
    other.fn.writeConfig(PCI_COMMAND, 2, 0);
    expect(other.port.ats!.translate(0x1000n)).toBe(EFAULT);
  });
  test('are no business of a function without the capability', () => {
    expect(rig(undefined, { ...IDENTITY, ats: false }).port.ats).toBeUndefined();
  });
});

describe('page requests', () => {
  const wish = { read: true, write: false, last: true, group: 3 };
  const page = { at: 0x5123n, ...wish };
  test('are made when the function lets them, and the answer comes back', () => {
    const { unit, pages } = fakeUnit();
    const { fn, port } = rig(unit);
    const answers: number[] = [];
    const ask = (): boolean => port.ats!.requestPage(page, (code) => answers.push(code));
    expect([port.ats!.pagesEnabled, ask(), pages.length]).toEqual([false, false, 0]);
    fn.enablePageRequests(true);
    expect([port.ats!.pagesEnabled, ask()]).toEqual([true, true]);
    const [request, respond] = pages[0]!;
    expect(request).toEqual({ requesterId: RID, pasid: -1, iovaG: 5, ...wish });
    respond(15);
    expect(answers).toEqual([15]);
  });
  test('nobody takes without a unit', () => {
    const { fn, port } = rig();
    fn.enablePageRequests(true);
    expect(port.ats!.requestPage(page, () => undefined)).toBe(false);
  });
});

describe('switches of configuration space', () => {
  const PM_CONTROL = 4;
  test.for<[ConfigSwitch, (fn: PciDeviceFunction, on: boolean) => void]>([
    ['busMaster', (fn, on) => fn.writeConfig(PCI_COMMAND, 2, on ? 4 : 0)],
    ['memoryDecode', (fn, on) => fn.writeConfig(PCI_COMMAND, 2, on ? 6 : 4)],
    ['ioDecode', (fn, on) => fn.writeConfig(PCI_COMMAND, 2, on ? 5 : 4)],
    ['power', (fn, on) => fn.writeConfig(fn.config.capability(1) + PM_CONTROL, 2, on ? 0 : 3)],
    ['messages', (fn, on) => fn.writeConfig(fn.config.capability(5) + 2, 2, on ? 1 : 0)],
    ['ats', (fn, on) => fn.enableAts(on)],
    ['pageRequests', (fn, on) => fn.enablePageRequests(on)],
  ])('%s is heard when it changes, until it is no longer wanted', ([what, flip]) => {
    const { fn, port } = rig();
    flip(fn, false);
    const heard: boolean[] = [];
    const watch = port.config.watch(what, (on) => heard.push(on));
    for (const on of [true, true, false, true]) {
      flip(fn, on);
      expect(port.config.is(what)).toBe(on);
    }
    watch[Symbol.dispose]();
    flip(fn, false);
    expect(heard).toEqual([true, false, true]);
  });
  test('a reset that keeps configuration is heard as off and on', () => {
    const { fn, port } = rig();
    const heard: boolean[] = [];
    port.config.watch('busMaster', (on) => heard.push(on));
    expect(fn.resetFunction()).toBeUndefined();
    expect(heard).toEqual([false, true]);
  });
  test('ATS and page requests stay as they are when configuration of another time comes back', () => {
    const { fn } = rig();
    const saved = fn.config.bytes.slice();
    fn.enableAts(true);
    fn.enablePageRequests(true);
    fn.restoreConfig(saved);
    expect([fn.atsEnabled, fn.pageRequestsEnabled]).toEqual([true, true]);
  });
});
