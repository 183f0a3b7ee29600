/**
 * Ranges of memory, found by another range that overlaps them: each stands in the one or two cells of its own power of two
 * that it reaches into. So a search looks at a few cells for each size there is, however many ranges there are.
 */
import { fls } from '../../base/u64.ts';

/** Bytes of memory. */
export interface MemoryRange {
  readonly start: bigint;
  readonly length: bigint;
}
type Cells<R> = Map<number, Set<R>>;
/** Numbers of cells of a page are exact as numbers; smaller ranges have such as well. */
const LEAST_LG2 = 12;

/** Ranges of one memory, which may overlap. */
export class MemoryIndex<R> {
  readonly #rangeOf: (one: R) => MemoryRange;
  /** By the exponent of their cells, then by the number of the cell. */
  readonly #sizes = new Map<number, Cells<R>>();
  #count = 0;
  /** Empty: of a cell that was given up. */
  #spare: Set<R> | undefined;

  /** `rangeOf`: which memory it is; that does not change. */
  constructor(rangeOf: (one: R) => MemoryRange) {
    this.#rangeOf = rangeOf;
  }
  add(one: R): void {
    this.#count++;
    const range = this.#rangeOf(one);
    const xLg2 = cellLg2(range.length);
    const cells: Cells<R> = this.#sizes.get(xLg2) ?? new Map<number, Set<R>>();
    this.#sizes.set(xLg2, cells);
    const { first, last } = cellsSpan(range, xLg2);
    for (let n = first; n <= last; n++) {
      const there = cells.get(n);
      if (there) there.add(one);
      else {
        cells.set(n, (this.#spare ?? new Set<R>()).add(one));
        this.#spare = undefined;
      }
    }
  }
  /** It is there. */
  delete(one: R): void {
    this.#count--;
    const range = this.#rangeOf(one);
    const xLg2 = cellLg2(range.length);
    const cells = this.#sizes.get(xLg2);
    const { first, last } = cellsSpan(range, xLg2);
    for (let n = first; n <= last; n++) {
      const there = cells?.get(n);
      there?.delete(one);
      if (there?.size !== 0) continue;
      cells?.delete(n);
      this.#spare = there;
    }
  }
  /** Any that has a byte of this one. */
  overlapping(range: MemoryRange): R | undefined {
    if (this.#count === 0) return undefined;
    for (const one of this.#overlapping(range)) return one;
    return undefined;
  }
  /** All that have. */
  allOverlapping(range: MemoryRange): ReadonlySet<R> {
    return new Set(this.#overlapping(range));
  }
  /** One that reaches into two cells may come twice. */
  *#overlapping(range: MemoryRange): Generator<R> {
    for (const cell of this.#cellsNear(range)) {
      for (const one of cell) if (overlaps(this.#rangeOf(one), range)) yield one;
    }
  }
  /** Of each size those that it reaches into; of small ones these may be more than there are: then all. */
  *#cellsNear(range: MemoryRange): Generator<ReadonlySet<R>> {
    for (const [xLg2, cells] of this.#sizes) {
      const { first, last } = cellsSpan(range, xLg2);
      if (last - first >= cells.size) {
        yield* cells.values();
        continue;
      }
      for (let n = first; n <= last; n++) {
        const cell = cells.get(n);
        if (cell) yield cell;
      }
    }
  }
}

/** Of the smallest cell that is as long. */
function cellLg2(length: bigint): number {
  return length > LEAST_LENGTH ? fls(length - 1n) + 1 : LEAST_LG2;
}
const LEAST_LENGTH = 1n << BigInt(LEAST_LG2);
function cellsSpan({ start, length }: MemoryRange, xLg2: number): { first: number; last: number } {
  const shift = BigInt(xLg2);
  return { first: Number(start >> shift), last: Number((start + length - 1n) >> shift) };
}
function overlaps(a: MemoryRange, b: MemoryRange): boolean {
  return a.start < b.start + b.length && b.start < a.start + a.length;
}
