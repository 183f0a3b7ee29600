/**
 * Runs that move in one step, with the slow way as the oracle: while somebody listens to everything, each run moves before the
 * next address is translated. Both must leave the same memory, the same answer and the same number of bytes moved; and whoever
 * listens to DMA alone is told the same places of what has succeeded.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EFAULT, type Status } from '../../base/errno.ts';
import type { Stamped } from '../../base/events.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import type { RemappingUnit } from '../../core/contract/remapping-unit.ts';
import { PciDeviceFunction } from '../../pci/function.ts';
import { Ram } from '../../pt/ram.ts';
import { done } from '../../testing/base/must.ts';
import { PCI_COMMAND } from '../../uapi/pci-regs.ts';
import { FilePages, MachineMm, MappedObjects } from '../memory/mm.ts';
import { MachineMemory } from '../memory/physical-memory.ts';
import type {
  ManyPlaces,
  ObjectMemory,
  PlaceList,
  ProcessMemory,
} from '../memory/process-memory.ts';
import { DmaPort } from './dma-port.ts';
import { InterruptController } from './interrupt-controller.ts';

const PAGE = 4096;
const PAGES = 6;
const MASTER = 4;

/** Pages in a row, some of which cannot be reached; what is copied in one step is counted. */
class Store implements ManyPlaces {
  readonly bytes = new Uint8Array(PAGES * PAGE);
  readonly broken = new Set<number>();
  steps = 0;

  #isThere(at: number, length: number): boolean {
    for (let page = Math.floor(at / PAGE); page * PAGE < at + length; page++) {
      if (this.broken.has(page)) return false;
    }
    return true;
  }
  move(at: number, bytes: Uint8Array, write: boolean): Status<'EFAULT'> {
    if (!this.#isThere(at, bytes.length)) return EFAULT;
    const here = this.bytes.subarray(at, at + bytes.length);
    if (write) here.set(bytes);
    else bytes.set(here);
    return undefined;
  }
  copy({ bytes, places, lengths }: PlaceList, write: boolean): number {
    this.steps++;
    let moved = 0;
    for (const [n, place] of places.entries()) {
      const part = bytes.subarray(moved, moved + lengths[n]!);
      if (this.move(place, part, write)) break;
      moved += part.length;
    }
    return moved;
  }
}

function processMemory(store: Store): ProcessMemory {
  const line = { readable: true, writable: true, shared: false, object: undefined };
  return {
    alive: true,
    vma: () => ({ ...line, start: 0, end: PAGES, objectOffset: 0, huge: false }),
    hasPage: () => true,
    read: (addr, into) => store.move(Number(addr), into, false),
    write: (addr, from) => store.move(Number(addr), from, true),
    many: store,
  };
}
function objectMemory(store: Store, isGathered: boolean): ObjectMemory {
  return {
    object: isGathered ? '00:01:1' : '00:01:2',
    size: () => BigInt(PAGES * PAGE),
    read: (offset, into) => store.move(Number(offset), into, false),
    write: (offset, from) => store.move(Number(offset), from, true),
    ...(isGathered && { many: store }),
  };
}

/** Granule n of the bus is page n of: private memory, an object, one that is read only, one without a fast way, RAM. */
const AREAS = ['private', 'object', 'read-only', 'slow', 'ram'] as const;
const GRANULES = AREAS.length * PAGES;

function rig(heard: 'nothing' | 'DMA' | 'everything') {
  const stores = AREAS.map(() => new Store());
  const memory = new MachineMemory(new Ram(PAGES * PAGE));
  const objects = new MappedObjects();
  const pfns = new Float64Array(GRANULES);
  const mm = new MachineMm(1, { memory: processMemory(stores[0]!), frames: memory, objects });
  done(mm.pin(0, PAGES, true, pfns, 0));
  for (const [at, writable] of [
    [1, true],
    [2, false],
    [3, true],
  ] as const) {
    const file = objectMemory(stores[at]!, at !== 3);
    const own = at === 2 ? { ...file, object: '00:01:3' } : file;
    const pages = new FilePages({ memory: own, frames: memory, objects });
    done(pages.pin(0, PAGES, writable, pfns, at * PAGES));
  }
  for (let n = 0; n < PAGES; n++) pfns[4 * PAGES + n] = n;
  const unit: RemappingUnit = {
    name: 'fake',
    granuleLg2: 12,
    messages: undefined,
    translate: (_id, _pasid, iovaG) => pfns[iovaG] ?? -1,
    request: () => ({ outcome: 'unsupported', outG: 0, prot: 0, sizeLg2: 0 }),
    message: () => undefined,
    requestPage: () => false,
    explain: () => ({ tables: [], walk: [] }),
  };
  const env = new KernelEnv();
  const fn: PciDeviceFunction = new PciDeviceFunction({
    env,
    at: { segment: 0, bus: 0, device: 3, fn: 0 },
    identity: { vendor: 1, device: 1, revision: 0, classCode: 0, interruptPin: 0, bars: [] },
    sink: { message: () => false, line: () => false },
    registers: () => undefined,
    hotResetSet: () => undefined,
  });
  fn.writeConfig(PCI_COMMAND, 2, MASTER);
  const bus = { env, memory, controller: new InterruptController() };
  const dma = new DmaPort({ bus, fn, requesterId: 0x18, unit });
  const told: unknown[] = [];
  const hear = ({ event }: Stamped): void => {
    if (event.kind === 'dma' && event.ok) told.push(event.pieces);
  };
  if (heard === 'everything') env.trace.listen(hear);
  else if (heard === 'DMA')
    env.trace.listenTo({ events: new Set(['dma']), calls: () => false, enters: false }, hear);
  const ram = (): Uint8Array => {
    const all = new Uint8Array(PAGES * PAGE);
    expect(memory.read(0, 0, all)).toBeUndefined();
    return all;
  };
  return { dma, stores, ram, told };
}

const piece = fc.record({
  at: fc.nat({ max: (GRANULES + 1) * PAGE }),
  length: fc.oneof(fc.nat({ max: 80 }), fc.nat({ max: 3 * PAGE })),
});
const transfer = fc.record({
  pieces: fc.array(piece, { maxLength: 40 }),
  isList: fc.boolean(),
  write: fc.boolean(),
  /** A page that cannot be reached from now on, or can again. */
  turned: fc.option(fc.record({ area: fc.nat({ max: 3 }), page: fc.nat({ max: PAGES - 1 }) })),
  seed: fc.nat({ max: 255 }),
});

test('moved in one step or one after the other, a transfer leaves the same memory and the same answer', () => {
  const steps = { silent: 0, chosen: 0 };
  fc.assert(
    fc.property(fc.array(transfer, { maxLength: 12 }), (transfers) => {
      const rigs = [rig('nothing'), rig('DMA'), rig('everything')] as const;
      for (const { pieces, isList, write, turned, seed } of transfers) {
        const list = pieces.map(({ at, length }) => ({ at: BigInt(at), length }));
        const target = isList ? list : (list[0]?.at ?? 0n);
        const total = isList
          ? list.reduce((sum, { length }) => sum + length, 0)
          : (list[0]?.length ?? 0) * 3;
        const outcomes = rigs.map(({ dma, stores }) => {
          const broken = turned && stores[turned.area]!.broken;
          if (broken && !broken.delete(turned.page)) broken.add(turned.page);
          const bytes = new Uint8Array(total).map((_, n) => n * 7 + seed);
          const rc = write ? dma.write(target, bytes) : dma.read(target, bytes);
          // What a refused read leaves in the bytes beyond those it has moved is nobody's business.
          return [rc, dma.moved, Buffer.from(bytes.subarray(0, dma.moved)).toString('base64')];
        });
        expect(outcomes[0]).toEqual(outcomes[2]);
        expect(outcomes[1]).toEqual(outcomes[2]);
      }
      const [silent, chosen, slow] = rigs;
      expect(chosen.told).toEqual(slow.told);
      for (const fast of [silent, chosen]) {
        for (const [n, store] of fast.stores.entries()) {
          expect(Buffer.from(store.bytes).equals(slow.stores[n]!.bytes)).toBe(true);
          expect(slow.stores[n]!.steps).toBe(0);
        }
        expect(Buffer.from(fast.ram()).equals(slow.ram())).toBe(true);
        const own = fast.stores.reduce((sum, store) => sum + store.steps, 0);
        steps[fast === silent ? 'silent' : 'chosen'] += own;
      }
    }),
    { numRuns: 100 },
  );
  expect(steps.silent).toBeGreaterThan(0);
  expect(steps.chosen).toBe(steps.silent);
});

test('a ring walk of 32 commands, each in a page of its own, is one step', () => {
  const { dma, stores } = rig('nothing');
  const list = Array.from({ length: 32 }, (_, n) => ({
    at: BigInt((PAGES + (n % PAGES)) * PAGE + n * 64),
    length: 64,
  }));
  const bytes = new Uint8Array(32 * 64).fill(5);
  expect(dma.write(list, bytes)).toBeUndefined();
  expect([stores[1]!.steps, dma.moved]).toEqual([1, 2048]);
  expect(stores[1]!.bytes.filter((byte) => byte === 5).length).toBe(2048);
});
