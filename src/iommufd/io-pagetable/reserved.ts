/**
 * Sets of IOVA ranges of an IOAS that may overlap: what is reserved, with its owner, and what is allowed (iommufd.md 3.1).
 * There are few of them and they change seldom; the holes between them are kept ready for the search.
 */
import type { IovaRange } from '../../base/iova-range.ts';
import { U64_MAX } from '../../base/u64.ts';
import { registerOf, type WordPair } from '../../base/word-pair.ts';

interface ReservedRange extends IovaRange {
  readonly owner: object | undefined;
}

export function overlaps(a: IovaRange, b: IovaRange): boolean {
  return a.start <= b.last && b.start <= a.last;
}

/** Ascending, with overlapping and adjacent ranges joined. */
export function mergeRanges(ranges: readonly IovaRange[]): IovaRange[] {
  const sorted = [...ranges].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const merged: { start: bigint; last: bigint }[] = [];
  for (const { start, last } of sorted) {
    const top = merged[merged.length - 1];
    if (top && start <= top.last + 1n) {
      if (last > top.last) top.last = last;
    } else {
      merged.push({ start, last });
    }
  }
  return merged;
}

/** What of [start, last] the merged ranges leave free, ascending. */
export function holesOf(merged: readonly IovaRange[], start: bigint, last: bigint): IovaRange[] {
  const holes: IovaRange[] = [];
  let from = start;
  for (const range of merged) {
    if (range.last < from) continue;
    if (range.start > last) break;
    if (range.start > from) holes.push({ start: from, last: range.start - 1n });
    from = range.last + 1n;
  }
  if (from <= last) holes.push({ start: from, last });
  return holes;
}

/** The same range as pairs of words, for the data path. */
export interface WordRange {
  readonly start: WordPair;
  /** Inclusive. */
  readonly last: WordPair;
}
function wordRangeOf({ start, last }: IovaRange): WordRange {
  return { start: registerOf(start), last: registerOf(last) };
}

/** A window automatic allocation may use, and what of it is not reserved. */
export interface AllowedWindow {
  readonly window: WordRange;
  readonly free: readonly WordRange[];
}

/** What may be mapped where. */
export class IovaRules {
  #reserved: ReservedRange[] = [];
  #allowed: readonly IovaRange[] = [];
  #merged: readonly IovaRange[] = [];
  #mergedWords: readonly WordRange[] = [];
  #allowedWindows: readonly AllowedWindow[] | undefined;

  get allowed(): readonly IovaRange[] {
    return this.#allowed;
  }
  setAllowed(ranges: readonly IovaRange[]): void {
    this.#allowed = ranges;
    this.#allowedWindows = undefined;
  }
  reserve(range: IovaRange, owner: object | undefined): void {
    this.#reserved.push({ ...range, owner });
    this.#changed();
  }
  /** Drop everything an owner has reserved. */
  unreserve(owner: object | undefined): void {
    const kept = this.#reserved.filter((range) => range.owner !== owner);
    if (kept.length === this.#reserved.length) return;
    this.#reserved = kept;
    this.#changed();
  }
  isReserved(range: IovaRange): boolean {
    return this.#merged.some((r) => overlaps(r, range));
  }
  /** Merged, as pairs of words. */
  get reservedWords(): readonly WordRange[] {
    return this.#mergedWords;
  }
  /** IOAS_IOVA_RANGES: what is not reserved in the whole space. */
  usable(): IovaRange[] {
    return holesOf(this.#merged, 0n, U64_MAX);
  }
  /** Where automatic allocation looks: never the first page nor the last. */
  allowedWindows(): readonly AllowedWindow[] {
    this.#allowedWindows ??= this.#findAllowedWindows();
    return this.#allowedWindows;
  }

  #findAllowedWindows(): AllowedWindow[] {
    const whole = { start: 4096n, last: U64_MAX - 4096n };
    const windows: AllowedWindow[] = [];
    for (const range of this.#allowed.length > 0 ? mergeRanges(this.#allowed) : [whole]) {
      const start = range.start > whole.start ? range.start : whole.start;
      const last = range.last < whole.last ? range.last : whole.last;
      if (start > last) continue;
      const free = holesOf(this.#merged, start, last).map(wordRangeOf);
      windows.push({ window: wordRangeOf({ start, last }), free });
    }
    return windows;
  }
  #changed(): void {
    this.#merged = mergeRanges(this.#reserved);
    this.#mergedWords = this.#merged.map(wordRangeOf);
    this.#allowedWindows = undefined;
  }
}
