/** Memory that went from what its program sees while devices could reach it: by which addresses they still can. */
import type { MapEvent, MemoryPiece, PhysicalRange } from '../../base/events.ts';
import { IntervalMap } from '../../base/interval-map.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';
import type { MappedRange } from './mapping-call.ts';
import { MemoryIndex } from './memory-index.ts';

/** A range that is mapped in a domain. */
interface MappedMemory extends MappedRange, PhysicalRange {
  readonly domain: string;
}
/** A part of one that was lost, and what is known of that. */
export interface LostRange<Loss> extends MappedMemory {
  readonly loss: Loss;
}

export class LostMemory<Loss> {
  readonly #byDomain = new Map<string, IntervalMap<MappedMemory>>();
  readonly #byMemory = new MemoryIndex<MappedMemory>(({ pa, length }) => ({ start: pa, length }));
  #lost: LostRange<Loss>[] = [];

  mapped({ domain, iova, pa, length }: Omit<MapEvent, 'kind'>): void {
    if (pa === undefined) return;
    let own = this.#byDomain.get(domain.id);
    if (!own) {
      own = new IntervalMap<MappedMemory>();
      this.#byDomain.set(domain.id, own);
    }
    // A driver maps nothing twice: what was there by our account is gone.
    this.#cutOut(own, { iova, length });
    this.#add(own, { domain: domain.id, iova, pa, length });
  }
  unmapped({ domain, iova, length }: MapEvent): void {
    const own = this.#byDomain.get(domain.id);
    if (own) this.#cutOut(own, { iova, length });
    if (!this.isSome) return;
    this.#lost = this.#lost.flatMap((one) =>
      one.domain === domain.id ? outside(one, { iova, length }) : [one],
    );
  }
  /** These pages are no longer the program's: the addresses by which devices reach them. */
  lose(ranges: readonly PhysicalRange[], loss: Loss): LostRange<Loss>[] {
    const lost = ranges.flatMap((range) =>
      [...this.#byMemory.allOverlapping({ start: range.pa, length: range.length })].map(
        (mapped) => {
          const pa = range.pa > mapped.pa ? range.pa : mapped.pa;
          const end = least(range.pa + range.length, mapped.pa + mapped.length);
          const iova = mapped.iova + pa - mapped.pa;
          return { domain: mapped.domain, iova, pa, length: end - pa, loss };
        },
      ),
    );
    this.#lost.push(...lost);
    return lost;
  }
  /** What was lost of a place that DMA has reached. */
  reached({ iova, pa, length }: MemoryPiece): LostRange<Loss> | undefined {
    // The same memory by the same address: frames and addresses are used again.
    return this.#lost.find(
      (one) =>
        pa - iova === one.pa - one.iova &&
        iova < one.iova + one.length &&
        one.iova < iova + BigInt(length),
    );
  }
  get isSome(): boolean {
    return this.#lost.length > 0;
  }

  #add(own: IntervalMap<MappedMemory>, memory: MappedMemory): void {
    const { iova, length } = memory;
    const last = iova + length - 1n;
    own.insert(hiWord(iova), loWord(iova), hiWord(last), loWord(last), memory);
    this.#byMemory.add(memory);
  }
  /** What is left of a mapping that reaches out of the range stays mapped. */
  #cutOut(own: IntervalMap<MappedMemory>, range: MappedRange): void {
    const end = range.iova + range.length;
    const seek = () => own.seek(hiWord(range.iova), loWord(range.iova));
    for (let one = seek(); one && one.iova < end; one = seek()) {
      own.erase(hiWord(one.iova), loWord(one.iova));
      this.#byMemory.delete(one);
      for (const rest of outside(one, range)) this.#add(own, rest);
    }
  }
}

/** The parts of a mapping in front of a range and behind it. */
function outside<M extends MappedMemory>(one: M, { iova, length }: MappedRange): M[] {
  const end = one.iova + one.length;
  const before = { ...one, length: least(iova, end) - one.iova };
  const from = iova + length > one.iova ? iova + length : one.iova;
  const behind = { ...one, iova: from, pa: one.pa + from - one.iova, length: end - from };
  return [before, behind].filter((part) => part.length > 0n);
}
function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
