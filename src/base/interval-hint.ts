/**
 * Where an IntervalMap need not look again for a free place.
 *
 * The bounds in the tree are sizes: a million holes of the right size at the wrong alignment all look promising. A long
 * search leaves a hint: below this address nothing fits a request of this size and alignment. Inserting never makes
 * room, so only erasing takes a hint back, to the hole it made.
 */
import { less, type GapRequest } from './interval-gap.ts';

interface Hint {
  spanHi: number;
  spanLo: number;
  offset: number;
  /** The search began here: what lies below is not known. */
  firstHi: number;
  firstLo: number;
  /** And found nothing below this. */
  fromHi: number;
  fromLo: number;
}

export class GapHints {
  /** By exponent of the alignment. */
  readonly #byAlign: (Hint | undefined)[] = [];
  readonly #all: Hint[] = [];

  get any(): boolean {
    return this.#all.length > 0;
  }
  /** The hint that holds for a request: for one as large or larger, from the same place or a later one on. */
  find(want: GapRequest): Hint | undefined {
    const hint = this.#byAlign[want.alignLg2];
    if (hint?.offset !== want.offset) return undefined;
    if (less(want.spanHi, want.spanLo, hint.spanHi, hint.spanLo)) return undefined;
    return less(want.firstHi, want.firstLo, hint.firstHi, hint.firstLo) ? undefined : hint;
  }
  /** A search for `want`, begun at its start or at the hint it was given, found nothing below an address. */
  record(want: GapRequest, fromHi: number, fromLo: number): void {
    const used = this.find(want);
    const { spanHi, spanLo, offset } = want;
    const firstHi = used ? used.firstHi : want.firstHi;
    const firstLo = used ? used.firstLo : want.firstLo;
    let hint = this.#byAlign[want.alignLg2];
    if (!hint) {
      hint = { spanHi, spanLo, offset, firstHi, firstLo, fromHi, fromLo };
      this.#byAlign[want.alignLg2] = hint;
      this.#all.push(hint);
      return;
    }
    Object.assign(hint, { spanHi, spanLo, offset, firstHi, firstLo, fromHi, fromLo });
  }
  /** There is a new hole, or a larger one, that begins here. */
  holeAt(hi: number, lo: number): void {
    for (const hint of this.#all) {
      if (!less(hi, lo, hint.fromHi, hint.fromLo)) continue;
      hint.fromHi = hi;
      hint.fromLo = lo;
    }
  }
}
