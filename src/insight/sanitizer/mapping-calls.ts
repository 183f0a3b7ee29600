/** The calls by which programs have mapped memory for devices: which hold, which are undone and by whom, and which have failed. */
import type { CallSite } from '../sites/call-site.ts';
import { MemoryIndex } from './memory-index.ts';

/** A range of bytes. */
interface MappedRange {
  readonly iova: bigint;
  /** Bytes. */
  readonly length: bigint;
}
/** What may be done through a mapping. */
export interface MappingRights {
  readonly read: boolean;
  readonly write: boolean;
}
/** A call that made a mapping, or failed to. */
export interface MappingCall extends MappedRange, MappingRights {
  /** 'IOMMU_IOAS_MAP', 'VFIO_IOMMU_MAP_DMA' */
  readonly command: string;
  readonly pid: number;
  /** The IOAS or container. */
  readonly space: string;
  /** Where the memory is in the program; undefined: it is a file's. */
  readonly va: bigint | undefined;
  readonly site: CallSite | undefined;
  /** Of one that failed: the name of its errno. */
  readonly failed?: string;
  /** What undid it. */
  undone?: { readonly command: string; readonly site: CallSite | undefined };
}

/** Mappings that are gone, and failed ones, that are remembered. */
const MOST_PAST = 4096;

/** One that shows memory of a program. */
type ShownMemory = MappingCall & { readonly va: bigint };

/** All of them in a run. */
export class MappingCalls {
  readonly #live = new Map<string, Map<bigint, MappingCall>>();
  /** Those of one space by whose memory they show and what may be done to it; undefined: nobody asks. */
  readonly #byRights: Map<string, Map<string, MemoryIndex<ShownMemory>>> | undefined;
  readonly #past: MappingCall[] = [];
  #failed: MappingCall[] = [];

  /** `comparesRights`: otherRights() will be asked. */
  constructor({ comparesRights }: { readonly comparesRights: boolean }) {
    this.#byRights = comparesRights ? new Map() : undefined;
  }

  /** A mapping holds from now on. */
  add(call: MappingCall): void {
    const space = this.#live.get(call.space) ?? new Map<bigint, MappingCall>();
    this.#live.set(call.space, space);
    const before = space.get(call.iova);
    if (before) this.#hide(before);
    space.set(call.iova, call);
    this.#show(call);
    if (this.#failed.length > 0) {
      this.#failed = this.#failed.filter(
        (one) => !(one.space === call.space && overlaps(one, call)),
      );
    }
  }
  addFailed(call: MappingCall): void {
    this.#failed.push(call);
    if (this.#failed.length > MOST_PAST) this.#failed.shift();
  }
  /** A range of a space was unmapped. */
  undo(space: string, range: MappedRange, undone: MappingCall['undone']): void {
    const live = this.#live.get(space);
    if (!live) return;
    const exact = live.get(range.iova);
    const gone =
      exact?.length === range.length ? [exact] : [...live.values()].filter(within(range));
    for (const call of gone) {
      live.delete(call.iova);
      this.#hide(call);
      this.#past.push(Object.assign(call, { undone }));
    }
    while (this.#past.length > MOST_PAST) this.#past.shift();
  }
  /** Those of spaces of this name are gone with their file: what was left. */
  close(file: string): MappingCall[] {
    const left: MappingCall[] = [];
    for (const [space, calls] of this.#live) {
      if (!space.startsWith(`${file} `)) continue;
      left.push(...calls.values());
      this.#live.delete(space);
      this.#byRights?.delete(space);
    }
    this.#failed = this.#failed.filter(({ space }) => !space.startsWith(`${file} `));
    return left;
  }

  /** The newest that holds at an address. */
  liveAt(iova: bigint): MappingCall | undefined {
    const all = [...this.#live.values()].flatMap((calls) => [...calls.values()]);
    return all.findLast(covers(iova));
  }
  /** The newest that was undone. */
  undoneAt(iova: bigint): MappingCall | undefined {
    return this.#past.findLast(covers(iova));
  }
  failedAt(iova: bigint): MappingCall | undefined {
    return this.#failed.length === 0 ? undefined : this.#failed.findLast(covers(iova));
  }
  /** Does one of a space hold in a range, or reach into it? */
  someIn(space: string, range: MappedRange): boolean {
    return [...(this.#live.get(space)?.values() ?? [])].some((call) => overlaps(call, range));
  }
  get someFailed(): boolean {
    return this.#failed.length > 0;
  }
  /** One of the same space that shows the same memory with other rights. */
  otherRights(call: MappingCall): MappingCall | undefined {
    const indexes = this.#byRights?.get(call.space);
    if (!indexes || !showsMemory(call)) return undefined;
    for (const rights of ALL_RIGHTS) {
      if (rights.read === call.read && rights.write === call.write) continue;
      const other = indexes.get(keyOf(call.pid, rights))?.overlapping(call);
      if (other) return other;
    }
    return undefined;
  }
  #show(call: MappingCall): void {
    if (!this.#byRights || !showsMemory(call)) return;
    const indexes = this.#byRights.get(call.space) ?? new Map<string, MemoryIndex<ShownMemory>>();
    this.#byRights.set(call.space, indexes);
    const key = keyOf(call.pid, call);
    const index = indexes.get(key) ?? new MemoryIndex();
    indexes.set(key, index);
    index.add(call);
  }
  #hide(call: MappingCall): void {
    if (!showsMemory(call)) return;
    this.#byRights?.get(call.space)?.get(keyOf(call.pid, call))?.delete(call);
  }
}

const ALL_RIGHTS = [false, true].flatMap((read) =>
  [false, true].map((write): MappingRights => ({ read, write })),
);
function keyOf(pid: number, { read, write }: MappingRights): string {
  return `${pid} ${read} ${write}`;
}
function showsMemory(call: MappingCall): call is ShownMemory {
  return call.va !== undefined;
}

function covers(iova: bigint): (range: MappedRange) => boolean {
  return (range) => iova >= range.iova && iova - range.iova < range.length;
}
function within(outer: MappedRange): (range: MappedRange) => boolean {
  return ({ iova, length }) => iova >= outer.iova && iova + length <= outer.iova + outer.length;
}
function overlaps(a: MappedRange, b: MappedRange): boolean {
  return a.iova < b.iova + b.length && b.iova < a.iova + a.length;
}
