/** The mappings that hold in one IOAS or container, by address and by memory. */
import { IntervalMap } from '../../base/interval-map.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';
import type { MappedRange, MappingCall, MappingRights } from './mapping-call.ts';
import { MemoryIndex, type MemoryRange } from './memory-index.ts';

/** A mapping whose memory has an address. */
type MemoryMapping = MappingCall & { readonly va: bigint };

export class SpaceMappings {
  readonly #byIova = new IntervalMap<MappingCall>();
  /** By memory, for each process and its kinds of rights: those of the same are never compared. Undefined: nobody asks. */
  readonly #byRights: Map<number, MemoryIndex<MemoryMapping>[]> | undefined;

  /** `comparesRights`: otherRights() will be asked. */
  constructor(comparesRights: boolean) {
    this.#byRights = comparesRights ? new Map() : undefined;
  }

  /** It holds from now on: what was there by our account is gone, or the kernel would have refused. */
  add(call: MappingCall): void {
    for (const old of this.in(call)) this.delete(old);
    const { iova, length } = call;
    const last = iova + length - 1n;
    this.#byIova.insert(hiWord(iova), loWord(iova), hiWord(last), loWord(last), call);
    if (this.#byRights && hasMemory(call)) this.#indexOf(this.#byRights, call).add(call);
  }
  delete(call: MappingCall): void {
    this.#byIova.erase(hiWord(call.iova), loWord(call.iova));
    if (this.#byRights && hasMemory(call)) this.#indexOf(this.#byRights, call).delete(call);
  }
  #indexOf(
    byRights: Map<number, MemoryIndex<MemoryMapping>[]>,
    call: MemoryMapping,
  ): MemoryIndex<MemoryMapping> {
    let indexes = byRights.get(call.pid);
    if (!indexes) {
      indexes = KINDS.map(() => new MemoryIndex(memoryOf));
      byRights.set(call.pid, indexes);
    }
    return indexes[kindOf(call)]!;
  }
  at(iova: bigint): MappingCall | undefined {
    return this.#byIova.find(hiWord(iova), loWord(iova));
  }
  /** Those that lie in a range or reach into it, in order. */
  in({ iova, length }: MappedRange): readonly MappingCall[] {
    let call = this.#byIova.seek(hiWord(iova), loWord(iova));
    const end = iova + length;
    if (call === undefined || call.iova >= end) return NONE;
    const found: MappingCall[] = [];
    for (; call !== undefined && call.iova < end; call = this.#byIova.next()) found.push(call);
    return found;
  }
  all(): MappingCall[] {
    return [...this.#byIova.values()];
  }
  /** One that shows some of the same memory with other rights. */
  otherRights(call: MappingCall): MappingCall | undefined {
    const indexes = this.#byRights?.get(call.pid);
    if (!indexes || !hasMemory(call)) return undefined;
    const own = kindOf(call);
    for (const kind of KINDS) {
      const other = kind === own ? undefined : indexes[kind]!.overlapping(memoryOf(call));
      if (other) return other;
    }
    return undefined;
  }
}

const NONE: readonly MappingCall[] = [];
function hasMemory(call: MappingCall): call is MemoryMapping {
  return call.va !== undefined;
}
function memoryOf({ va, length }: MemoryMapping): MemoryRange {
  return { start: va, length };
}
/** Kinds of rights, as numbers: none, reading, writing, both. */
const KINDS = [0, 1, 2, 3];
function kindOf({ read, write }: MappingRights): number {
  return (read ? 1 : 0) + (write ? 2 : 0);
}
