/**
 * Ranges of memory, found by another range that overlaps one: each stands in the one or two cells of its own power of two
 * that it reaches into. So a search looks at a few cells for each size there is, however many ranges there are.
 */

/** Bytes of memory. */
interface MemoryRange {
  readonly va: bigint;
  readonly length: bigint;
}

/** Ranges of one memory, which may overlap. */
export class MemoryIndex<R extends MemoryRange> {
  /** By the exponent of their cells, then by the number of the cell. */
  readonly #sizes = new Map<number, Map<bigint, Set<R>>>();

  add(range: R): void {
    const xLg2 = cellLg2(range.length);
    const cells = this.#sizes.get(xLg2) ?? new Map<bigint, Set<R>>();
    this.#sizes.set(xLg2, cells);
    for (const cell of cellsOf(range, xLg2)) {
      const there = cells.get(cell);
      if (there) there.add(range);
      else cells.set(cell, new Set([range]));
    }
  }
  delete(range: R): void {
    const xLg2 = cellLg2(range.length);
    const cells = this.#sizes.get(xLg2);
    for (const cell of cellsOf(range, xLg2)) {
      const there = cells?.get(cell);
      there?.delete(range);
      if (there?.size === 0) cells?.delete(cell);
    }
    if (cells?.size === 0) this.#sizes.delete(xLg2);
  }
  /** Any that has a byte of this one. */
  overlapping(range: MemoryRange): R | undefined {
    for (const [xLg2, cells] of this.#sizes) {
      const found = inCells(cells, range, xLg2);
      if (found) return found;
    }
    return undefined;
  }
}

function inCells<R extends MemoryRange>(
  cells: ReadonlyMap<bigint, ReadonlySet<R>>,
  range: MemoryRange,
  xLg2: number,
): R | undefined {
  const { first, last } = cellsSpan(range, xLg2);
  // Of a range that is much larger than they are, their cells are more than there are ranges.
  const isMany = last - first >= BigInt(cells.size);
  for (const cell of isMany ? cells.keys() : numbers(first, last)) {
    for (const one of cells.get(cell) ?? []) if (overlaps(one, range)) return one;
  }
  return undefined;
}
/** Of the smallest cell that is as long. */
function cellLg2(length: bigint): number {
  return (length - 1n).toString(2).length;
}
function cellsSpan({ va, length }: MemoryRange, xLg2: number): { first: bigint; last: bigint } {
  return { first: va >> BigInt(xLg2), last: (va + length - 1n) >> BigInt(xLg2) };
}
function cellsOf(range: MemoryRange, xLg2: number): Iterable<bigint> {
  const { first, last } = cellsSpan(range, xLg2);
  return numbers(first, last);
}
function* numbers(first: bigint, last: bigint): Generator<bigint> {
  for (let n = first; n <= last; n++) yield n;
}
function overlaps(a: MemoryRange, b: MemoryRange): boolean {
  return a.va < b.va + b.length && b.va < a.va + a.length;
}
