/** Shared address spaces and page requests on the intel driver: core.md 9.2, 9.3, 10.1; formats.md 7, 11.1. */
import { describe, expect, it } from 'vitest';
import { intelRig, words64, type IntelRig } from '../../../testing/drivers/intel-rig.ts';
import { must } from '../../../testing/base/must.ts';
import { EINVAL, ENODEV, ENOSPC, EOPNOTSUPP } from '../../../base/errno.ts';
import type { Device, DeviceConfig } from '../../../core/contract/device.ts';
import type { SvaMm, SvaWatcher } from '../../../core/contract/driver.ts';
import {
  mmPasidDrop,
  svaBindDevice,
  svaInvalidateKvaRange,
  svaUnbindDevice,
} from '../../../core/sva/sva.ts';
import { createPageTable } from '../../../pt/create.ts';
import { newGather } from '../../../pt/gather.ts';
import { x86_64 } from '../../../pt/formats/x86-64.ts';
import { FRAME_WORDS } from '../../../pt/ram.ts';
import { toIntelDevice } from './domain.ts';
import type { IntelUnitConfig } from './driver.ts';
import type { PageGroupResponse } from '../../unit/ats.ts';
import { PageRequestQueue } from '../unit/page-requests.ts';
import { handlePageRequests } from './prq.ts';
import { PRS_PPR, PRS_PRO, REG_PQA, REG_PQH, REG_PQT, REG_PRS } from '../registers.ts';
import { pasidEntry, scalableContext } from '../words.ts';

const UNIT: IntelUnitConfig = { pageRequests: true };
const PRI = { pasidBits: 20, ats: true, pci: { isVf: false, hasPri: true } };
const PASID = 1;
const READ = 1;
const WRITE = 2;
/** Granules of the test process: [first, last] and where they lie; the second half may only be read. */
const VMA = { first: 0x7f_0000, last: 0x7f_000f, target: 0x9_0000 };

interface TestMm extends SvaMm {
  alive: boolean;
  readonly faults: [addr: bigint, perm: number][];
  unmap(iovaG: number): void;
  exit(): void;
}

/** A process whose pages are put into its page table on first use. */
function processOf(rig: IntelRig, levels: 4 | 5 = 4): TestMm {
  const watchers = new Set<SvaWatcher>();
  const table = must(
    createPageTable(x86_64, rig.ram, {
      vaLg2: levels === 5 ? 57 : 48,
      oaLg2: 52,
      features: ['sign-extend'],
      iotlbSync: () => undefined,
    }),
  );
  const mm: TestMm = {
    id: 1,
    alive: true,
    usable: true,
    faults: [],
    pageTable: table,
    handleFault(addr, perm) {
      mm.faults.push([addr, perm]);
      const page = Number(addr >> 12n);
      const writable = page <= VMA.first + 7;
      if (page < VMA.first || page > VMA.last || (perm === WRITE && !writable)) return false;
      if (table.lookup(page) >= 0) return true;
      const prot = writable ? READ | WRITE : READ;
      return table.map(page, VMA.target + page - VMA.first, 1, prot) === undefined;
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    invalidateSecondaryTlbs(startG, lastG) {
      for (const watcher of watchers) watcher.invalidate(startG, lastG);
    },
    unmap(iovaG) {
      table.unmap(iovaG, 1, newGather());
      mm.invalidateSecondaryTlbs!(iovaG, iovaG);
    },
    exit() {
      mm.alive = false;
      for (const watcher of watchers) watcher.release();
    },
  };
  return mm;
}

interface Scene {
  readonly rig: IntelRig;
  readonly dev: Device;
  readonly mm: TestMm;
  readonly responses: PageGroupResponse[];
  /** One request, the last of its group; then everything that waits is done. False: it was not accepted. */
  ask(
    iovaG: number,
    perm: number,
    more?: { last?: boolean; pasid?: number; priv?: boolean },
  ): boolean;
  run(): void;
}

function scene(config: Partial<DeviceConfig> = {}, unit: IntelUnitConfig = UNIT): Scene {
  const rig = intelRig(unit);
  const dev = rig.device(4, { ...PRI, ...config });
  const responses: PageGroupResponse[] = [];
  const { requesterId } = toIntelDevice(dev);
  const run = (): void => rig.core.env.clock.advance(1);
  return {
    rig,
    dev,
    mm: processOf(rig),
    responses,
    run,
    ask(iovaG, perm, { last = true, pasid = PASID, priv = false } = {}) {
      const group = 7;
      const request = {
        requesterId,
        pasid,
        iovaG,
        read: (perm & READ) !== 0,
        write: (perm & WRITE) !== 0,
        privileged: priv,
        last,
        group,
      };
      return rig.handle.unit.requestPage(request, (code) =>
        responses.push({ requesterId, pasid, group, code }),
      );
    },
  };
}
const bind = (s: Scene) => must(svaBindDevice(s.dev, s.mm));
const dma = (s: Scene, iovaG: number, write = false) => s.rig.dma(s.dev, iovaG, write, PASID);

describe('an address space shared with a device', () => {
  it('a shared address space is the first stage of its PASID, with domain id 1', () => {
    const s = scene();
    bind(s);
    const table = toIntelDevice(s.dev).pasidTable!;
    expect([table.get(PASID, 'pgtt'), table.get(PASID, 'did')]).toEqual([1, 1]);
    expect([table.get(PASID, 'fsptptr'), table.get(PASID, 'fspm')]).toEqual([
      s.mm.pageTable!.topPfn,
      0,
    ]);
    expect(table.get(PASID, 'pwsnp')).toBe(1);
    const explained = s.rig.handle.unit.explain(4 << 3, PASID, 0n, false).tables;
    const context = Number(explained.find(({ name }) => name === 'context entry')!.pa / 4n);
    expect(scalableContext.pre.get(s.rig.ram.words, context)).toBe(1);
  });

  it('a shared address space of five levels says so in FSPM', () => {
    const s = scene({}, { ...UNIT, widths: [48, 57], firstStage5: true });
    must(svaBindDevice(s.dev, processOf(s.rig, 5)));
    expect(toIntelDevice(s.dev).pasidTable!.get(PASID, 'fspm')).toBe(1);
  });

  it('a shared address space shows its pages at the addresses of the process once they are asked for', () => {
    const s = scene();
    bind(s);
    expect(dma(s, VMA.first)).toBe(-1);
    expect(s.ask(VMA.first, READ)).toBe(true);
    expect(s.responses).toEqual([]);
    s.run();
    expect(s.responses).toEqual([{ requesterId: 4 << 3, pasid: PASID, group: 7, code: 0 }]);
    expect(s.mm.faults).toEqual([[BigInt(VMA.first) << 12n, READ]]);
    expect(dma(s, VMA.first)).toBe(VMA.target);
    expect(s.rig.faults()).toEqual([]);
  });

  it('a group of page requests is answered once, when its last request came', () => {
    const s = scene();
    bind(s);
    expect(s.ask(VMA.first, READ, { last: false })).toBe(true);
    s.run();
    expect(s.responses).toEqual([]);
    expect(s.ask(VMA.first + 1, READ | WRITE)).toBe(true);
    s.run();
    expect(s.responses.map(({ code }) => code)).toEqual([0]);
    expect([dma(s, VMA.first), dma(s, VMA.first + 1, true)]).toEqual([VMA.target, VMA.target + 1]);
  });

  it.each([
    ['an address the process has not', VMA.last + 1, READ],
    ['a write to what may be read only', VMA.last, WRITE],
  ])('a page request for %s is answered INVALID', (_name, iovaG, perm) => {
    const s = scene();
    bind(s);
    expect(s.ask(iovaG, perm)).toBe(true);
    s.run();
    expect(s.responses.map(({ code }) => code)).toEqual([1]);
    expect(dma(s, iovaG, perm === WRITE)).toBe(-1);
  });
});

describe('what was cached of a shared address space', () => {
  it('what was cached of a shared address space is forgotten by the unit and by the TLB of the device where the process unmaps', () => {
    const s = scene();
    bind(s);
    s.ask(VMA.first, READ);
    s.ask(VMA.first + 1, READ);
    s.run();
    expect([dma(s, VMA.first), dma(s, VMA.first + 1)]).toEqual([VMA.target, VMA.target + 1]);
    s.mm.unmap(VMA.first);
    expect([dma(s, VMA.first), dma(s, VMA.first + 1)]).toEqual([-1, VMA.target + 1]);
  });

  it('what was cached of a shared address space is blocked in silence after the process ended, until it is unbound', () => {
    const s = scene();
    const handle = bind(s);
    s.ask(VMA.first, READ);
    s.run();
    expect(dma(s, VMA.first)).toBe(VMA.target);
    s.mm.exit();
    mmPasidDrop(s.rig.core, s.mm);
    const at = toIntelDevice(s.dev).pasidTable!.find(PASID)!;
    expect(words64(s.rig.ram, at, 8)).toEqual([2n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    expect([dma(s, VMA.first), s.rig.faults()]).toEqual([-1, []]);
    svaUnbindDevice(handle);
    expect(pasidEntry.fpd.get(s.rig.ram.words, at)).toBe(0);
    expect(dma(s, VMA.first)).toBe(-1);
    expect(s.rig.faults().map(({ code }) => code)).toEqual([0x59]);
  });

  it('what was cached of a shared address space is told of changes of the kernel’s own addresses while it is bound', () => {
    const s = scene();
    const handle = bind(s);
    s.ask(VMA.first, READ);
    s.run();
    const top = s.rig.handle.unit.explain(4 << 3, PASID, BigInt(VMA.first) << 12n, false).walk;
    expect(dma(s, VMA.first)).toBe(VMA.target);
    s.rig.ram.words[Number(top[3]!.entryPa / 4n)] = 0;
    expect(dma(s, VMA.first)).toBe(VMA.target);
    svaInvalidateKvaRange(s.rig.core, VMA.first, VMA.first);
    expect(dma(s, VMA.first)).toBe(-1);
    svaUnbindDevice(handle);
    expect(() => svaInvalidateKvaRange(s.rig.core, 0, 1)).not.toThrow();
  });
});

describe('sharing is refused', () => {
  it.each([
    ['ENOSPC without PASIDs', { ...UNIT, pageRequests: false, pasidBits: 0 }, {}, ENOSPC],
    ['EINVAL without a first stage', { ...UNIT, firstStage: false }, {}, EINVAL],
    ['EINVAL without ATS', UNIT, { ats: false }, EINVAL],
    ['ENODEV without page requests of the unit', {}, {}, ENODEV],
    [
      'ENODEV without page requests of the device',
      UNIT,
      { pci: { isVf: false, hasPri: false } },
      ENODEV,
    ],
  ] as const)('sharing is refused: %s', (_name, unit, device, errno) => {
    const s = scene(device, unit);
    expect(svaBindDevice(s.dev, s.mm)).toBe(errno);
    expect(toIntelDevice(s.dev).faultCapable).toBe(0);
  });
  it('sharing a process of five levels on a unit of four is EINVAL', () => {
    const s = scene();
    expect(svaBindDevice(s.dev, processOf(s.rig, 5))).toBe(EINVAL);
  });
  it('sharing a process without a page table in RAM is EOPNOTSUPP', () => {
    const s = scene();
    const bare = { id: 2, alive: true, usable: true, handleFault: () => true };
    expect(svaBindDevice(s.dev, bare)).toBe(EOPNOTSUPP);
  });
});

describe('page requests', () => {
  it('page requests are not taken from a device that may not ask', () => {
    const s = scene();
    expect(s.ask(VMA.first, READ)).toBe(false);
    const handle = bind(s);
    expect(s.ask(VMA.first, READ)).toBe(true);
    s.run();
    svaUnbindDevice(handle);
    expect(s.ask(VMA.first, READ)).toBe(false);
    expect(s.dev.iommu!.faultParam).toBeUndefined();
  });
  it('page requests that wait while the device is unbound are answered INVALID', () => {
    const s = scene();
    const handle = bind(s);
    expect(s.ask(VMA.first, READ)).toBe(true);
    svaUnbindDevice(handle);
    s.run();
    expect(s.responses.map(({ code }) => code)).toEqual([1]);
  });
  it('page requests for a PASID nobody shares are answered INVALID', () => {
    const s = scene();
    bind(s);
    expect(s.ask(VMA.first, READ, { pasid: 9 })).toBe(true);
    expect(s.responses).toEqual([{ requesterId: 4 << 3, pasid: 9, group: 7, code: 1 }]);
  });
});

describe('page requests of other kinds', () => {
  it('page requests with privilege are answered INVALID and reach nobody', () => {
    const s = scene();
    bind(s);
    expect(s.ask(VMA.first, READ, { priv: true })).toBe(true);
    s.run();
    expect([s.responses.map(({ code }) => code), s.mm.faults]).toEqual([[1], []]);
  });
  it('page requests that only mark the end of a PASID are dropped', () => {
    const s = scene();
    bind(s);
    expect(s.ask(0, 0)).toBe(true);
    s.run();
    expect([s.responses, s.mm.faults]).toEqual([[], []]);
  });
  it('a device may ask again while it is given an answer', () => {
    const s = scene();
    bind(s);
    const { requesterId } = toIntelDevice(s.dev);
    const forbidden = { requesterId, pasid: PASID, iovaG: VMA.first, privileged: true };
    const codes: [group: number, code: number][] = [];
    const ask = (group: number): void => {
      const request = { ...forbidden, read: true, write: false, last: true, group };
      s.rig.handle.unit.requestPage(request, (code) => {
        codes.push([group, code]);
        if (group < 3) ask(group + 1);
      });
    };
    ask(1);
    expect(codes).toEqual([1, 2, 3].map((group) => [group, 1]));
  });
  it('page requests are a fault, 0x47, where the context entry does not allow them', () => {
    const s = scene();
    bind(s);
    const explained = s.rig.handle.unit.explain(4 << 3, PASID, 0n, false).tables;
    const context = Number(explained.find(({ name }) => name === 'context entry')!.pa / 4n);
    scalableContext.pre.set(s.rig.ram.words, context, 0);
    s.rig.handle.instance.queue.contextGlobal();
    expect(s.ask(VMA.first, READ)).toBe(false);
    expect(s.rig.faults().map(({ code }) => code)).toEqual([0x47]);
  });
});

describe('the page request queue', () => {
  it('the page request queue has records of 32 bytes, whose head and tail go round', () => {
    const s = scene();
    bind(s);
    const { unit, instance } = s.rig.handle;
    for (let n = 0; n < 200; n++) expect(s.ask(VMA.first, WRITE)).toBe(true);
    const tail = (200 * 32) % 4096;
    expect([unit.read32(REG_PQH), unit.read32(REG_PQT)]).toEqual([tail, tail]);
    const at = instance.prqPfn * FRAME_WORDS + (tail - 32) / 4;
    const page = BigInt(VMA.first) << 12n;
    expect(words64(s.rig.ram, at, 4)).toEqual([
      (BigInt(PASID) << 32n) | (BigInt(4 << 3) << 16n) | 0x101n,
      page | (7n << 3n) | 0b110n,
      0n,
      0n,
    ]);
  });
  it('the page request queue loses requests while it is full, and the driver says so', () => {
    const s = scene();
    const regs = new Int32Array(1024);
    regs[REG_PQA / 4] = must(s.rig.ram.alloc()) << 12;
    let interrupts = 0;
    const queue = new PageRequestQueue(regs, s.rig.ram, () => interrupts++);
    const request = { requesterId: 8, pasid: -1, iovaG: 1, read: true, write: false, last: true };
    const nobody = () => undefined;
    for (let n = 0; n < 127; n++) expect(queue.put({ ...request, group: n }, nobody)).toBe(true);
    expect(queue.put({ ...request, group: 127 }, nobody)).toBe(false);
    expect([interrupts, regs[REG_PRS / 4]]).toEqual([1, PRS_PPR | PRS_PRO]);
    regs[REG_PQH / 4] = regs[REG_PQT / 4]!;
    expect(queue.put({ ...request, group: 127 }, nobody)).toBe(false);
    handlePageRequests(s.rig.handle.instance, {
      read32: (offset) => regs[offset / 4]!,
      write32: (_offset, value) => {
        queue.writeStatus(value);
      },
    });
    const logged = s.rig.events.filter((event) => event.kind === 'log').map(({ text }) => text);
    expect(logged).toContain('dmar0: page request queue overflow');
    expect(queue.put({ ...request, group: 127 }, nobody)).toBe(true);
  });
});
