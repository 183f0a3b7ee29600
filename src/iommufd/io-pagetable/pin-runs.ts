/**
 * The pinned pages of one pages object: runs of consecutive pages in consecutive frames, each with the number of its
 * holders. A page is pinned once, however many areas and accesses hold it (iommufd.md 3.4).
 */
import { Bug } from '../../base/bug.ts';

export interface PinRun {
  /** Page index inside the pages object. */
  index: number;
  count: number;
  pfn: number;
  holders: number;
}

export class PinRuns {
  /** Ascending, disjoint. */
  readonly runs: PinRun[];

  constructor(runs: PinRun[] = []) {
    this.runs = runs;
  }

  /** Position of the first run that ends after `index`. */
  #position(index: number): number {
    const runs = this.runs;
    let at = 0;
    let length = runs.length;
    while (length > 0) {
      const half = length >> 1;
      const run = runs[at + half]!;
      if (run.index + run.count <= index) {
        at += half + 1;
        length -= half + 1;
      } else {
        length = half;
      }
    }
    return at;
  }
  /** Frame of one page, or -1. */
  pfn(index: number): number {
    const run = this.runs[this.#position(index)];
    return run && run.index <= index ? run.pfn + (index - run.index) : -1;
  }
  /** The stretches of [first, last] that nobody holds, ascending. */
  *gaps(first: number, last: number): IterableIterator<{ first: number; last: number }> {
    let from = first;
    for (let at = this.#position(first); at < this.runs.length; at++) {
      const run = this.runs[at]!;
      if (run.index > last) break;
      if (run.index > from) yield { first: from, last: run.index - 1 };
      from = run.index + run.count;
    }
    if (from <= last) yield { first: from, last };
  }
  /** Add runs pinned just now (holders 0) that fill gaps. */
  add(fresh: readonly PinRun[]): void {
    for (const run of fresh) this.runs.splice(this.#position(run.index), 0, run);
  }
  /** One more holder for every page of the range, all of which are pinned. */
  hold(first: number, last: number): void {
    for (let at = this.#cut(first, last); at < this.runs.length; at++) {
      const run = this.runs[at]!;
      if (run.index > last) return;
      run.holders++;
    }
  }
  /** One holder less; `drop` gets what nobody holds any more. */
  release(first: number, last: number, drop: (run: PinRun) => void): void {
    const from = this.#cut(first, last);
    let kept = from;
    let at = from;
    for (; at < this.runs.length; at++) {
      const run = this.runs[at]!;
      if (run.index > last) break;
      if (run.holders === 0) throw new Bug('a page was released too often');
      if (--run.holders === 0) drop(run);
      else this.runs[kept++] = run;
    }
    if (kept < at) this.runs.splice(kept, at - kept);
  }
  /** The one run there is, when one holder holds exactly that range. */
  only(first: number, last: number): PinRun | undefined {
    const run = this.runs[0];
    if (this.runs.length !== 1 || run?.holders !== 1) return undefined;
    return run.index === first && run.count === last - first + 1 ? run : undefined;
  }
  /** Pages in consecutive frames from `index` on, at most `limit`; 0 when the page is not pinned. */
  consecutive(index: number, limit: number): number {
    const { runs } = this;
    let at = this.#position(index);
    let run = runs[at];
    if (!run || run.index > index) return 0;
    let count = run.index + run.count - index;
    while (count < limit) {
      const next = runs[++at];
      if (next?.index !== index + count || next.pfn !== run.pfn + run.count) break;
      count += next.count;
      run = next;
    }
    return Math.min(count, limit);
  }

  /** Make run borders at first and after last; the result is the position of the first run inside. */
  #cut(first: number, last: number): number {
    this.#splitAt(last + 1);
    return this.#splitAt(first);
  }
  #splitAt(index: number): number {
    const at = this.#position(index);
    const run = this.runs[at];
    if (!run || run.index >= index) return at;
    const left = index - run.index;
    this.runs.splice(at + 1, 0, {
      index,
      count: run.count - left,
      pfn: run.pfn + left,
      holders: run.holders,
    });
    run.count = left;
    return at + 1;
  }
}
