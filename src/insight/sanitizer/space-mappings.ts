/** The mappings that hold in one IOAS or container, by address and by memory. */
import { IntervalMap } from '../../base/interval-map.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';
import type { MappedRange, MappingCall, MappingRights } from './mapping-call.ts';
import { MemoryIndex, type MemoryRange } from './memory-index.ts';

/** A mapping whose memory has an address. */
type MemoryMapping = MappingCall & { readonly va: bigint };

export class SpaceMappings {
  readonly #byIova = new IntervalMap<MappingCall>();
  /** By memory, for each process and kind of rights: those of the same are never compared. Undefined: nobody asks. */
  readonly #byRights: Map<string, MemoryIndex<MemoryMapping>> | undefined;

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
    if (!this.#byRights || !hasMemory(call)) return;
    const key = keyOf(call.pid, call);
    const index = this.#byRights.get(key) ?? new MemoryIndex(memoryOf);
    this.#byRights.set(key, index);
    index.add(call);
  }
  delete(call: MappingCall): void {
    this.#byIova.erase(hiWord(call.iova), loWord(call.iova));
    if (hasMemory(call)) this.#byRights?.get(keyOf(call.pid, call))?.delete(call);
  }
  at(iova: bigint): MappingCall | undefined {
    return this.#byIova.find(hiWord(iova), loWord(iova));
  }
  /** Those that lie in a range or reach into it, in order. */
  in({ iova, length }: MappedRange): MappingCall[] {
    const found: MappingCall[] = [];
    let call = this.#byIova.seek(hiWord(iova), loWord(iova));
    for (; call !== undefined && call.iova < iova + length; call = this.#byIova.next()) {
      found.push(call);
    }
    return found;
  }
  all(): MappingCall[] {
    return [...this.#byIova.values()];
  }
  /** One that shows some of the same memory with other rights. */
  otherRights(call: MappingCall): MappingCall | undefined {
    if (!this.#byRights || !hasMemory(call)) return undefined;
    for (const rights of ALL_RIGHTS) {
      if (rights.read === call.read && rights.write === call.write) continue;
      const other = this.#byRights.get(keyOf(call.pid, rights))?.overlapping(memoryOf(call));
      if (other) return other;
    }
    return undefined;
  }
}

function hasMemory(call: MappingCall): call is MemoryMapping {
  return call.va !== undefined;
}
function memoryOf({ va, length }: MemoryMapping): MemoryRange {
  return { start: va, length };
}
const ALL_RIGHTS = [false, true].flatMap((read) =>
  [false, true].map((write): MappingRights => ({ read, write })),
);
function keyOf(pid: number, { read, write }: MappingRights): string {
  return `${pid} ${read} ${write}`;
}
