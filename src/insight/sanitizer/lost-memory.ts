/** Memory that went from what its program sees while devices could reach it: by which addresses they still can. */
import type { MapEvent, MemoryPiece, PhysicalRange } from '../../base/events.ts';
import { MemoryIndex } from './memory-index.ts';

/** A range that is mapped in a domain. */
interface MappedMemory extends PhysicalRange {
  readonly domain: string;
  readonly iova: bigint;
}
/** A part of one that was lost, and what is known of that. */
export interface LostRange<Loss> extends MappedMemory {
  readonly loss: Loss;
}

export class LostMemory<Loss> {
  readonly #byDomain = new Map<string, Map<bigint, MappedMemory>>();
  readonly #byMemory = new MemoryIndex<MappedMemory>(({ pa, length }) => ({ start: pa, length }));
  #lost: LostRange<Loss>[] = [];

  mapped({ domain, iova, pa, length }: MapEvent): void {
    if (pa === undefined) return;
    const own = this.#byDomain.get(domain.id) ?? new Map<bigint, MappedMemory>();
    this.#byDomain.set(domain.id, own);
    const memory = { domain: domain.id, iova, pa, length };
    own.set(iova, memory);
    this.#byMemory.add(memory);
  }
  unmapped({ domain, iova, length }: MapEvent): void {
    const own = this.#byDomain.get(domain.id);
    const exact = own?.get(iova);
    const gone =
      exact?.length === length
        ? [exact]
        : [...(own?.values() ?? [])].filter((one) => isWithin(one, { iova, length }));
    for (const one of gone) {
      own!.delete(one.iova);
      this.#byMemory.delete(one);
    }
    this.#lost = this.#lost.filter(
      (one) => one.domain !== domain.id || !isWithin(one, { iova, length }),
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
}

type IovaRange = Pick<MappedMemory, 'iova' | 'length'>;
function isWithin(inner: IovaRange, outer: IovaRange): boolean {
  return inner.iova >= outer.iova && inner.iova + inner.length <= outer.iova + outer.length;
}
function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
