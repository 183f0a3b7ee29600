/**
 * Sets of IOVA ranges of an IOAS that may overlap: what is reserved, with its owner, and what is allowed (iommufd.md 3.1).
 * There are few of them and they change seldom; the holes between them are kept ready for the search.
 */
import { U64_MAX } from '../../base/u64.ts';
import { hiWord, loWord } from '../../base/word-pair.ts';
import type { Span } from './area.ts';

export interface IovaRange {
  readonly start: bigint;
  /** Inclusive. */
  readonly last: bigint;
}

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

export function spanOf(range: IovaRange): Span {
  return {
    startHi: hiWord(range.start),
    startLo: loWord(range.start),
    lastHi: hiWord(range.last),
    lastLo: loWord(range.last),
  };
}

/** A span automatic allocation may use, and what of it is not reserved. */
export interface AllowedSpan {
  readonly span: Span;
  readonly free: readonly Span[];
}

export class IovaRules {
  #reserved: ReservedRange[] = [];
  #allowed: readonly IovaRange[] = [];
  #merged: readonly IovaRange[] = [];
  #mergedSpans: readonly Span[] = [];
  #allowedSpans: readonly AllowedSpan[] | undefined;

  get allowed(): readonly IovaRange[] {
    return this.#allowed;
  }
  setAllowed(ranges: readonly IovaRange[]): void {
    this.#allowed = ranges;
    this.#allowedSpans = undefined;
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
  get reservedSpans(): readonly Span[] {
    return this.#mergedSpans;
  }
  /** IOAS_IOVA_RANGES: what is not reserved in the whole space. */
  usable(): IovaRange[] {
    return holesOf(this.#merged, 0n, U64_MAX);
  }
  /** Where automatic allocation looks: never the first page nor the last. */
  allowedSpans(): readonly AllowedSpan[] {
    this.#allowedSpans ??= this.#findAllowedSpans();
    return this.#allowedSpans;
  }

  #findAllowedSpans(): AllowedSpan[] {
    const whole = { start: 4096n, last: U64_MAX - 4096n };
    const spans: AllowedSpan[] = [];
    for (const range of this.#allowed.length > 0 ? mergeRanges(this.#allowed) : [whole]) {
      const start = range.start > whole.start ? range.start : whole.start;
      const last = range.last < whole.last ? range.last : whole.last;
      if (start > last) continue;
      const free = holesOf(this.#merged, start, last).map(spanOf);
      spans.push({ span: spanOf({ start, last }), free });
    }
    return spans;
  }
  #changed(): void {
    this.#merged = mergeRanges(this.#reserved);
    this.#mergedSpans = this.#merged.map(spanOf);
    this.#allowedSpans = undefined;
  }
}
