/** A set of blocks as ranges that do not touch each other. */

/** From a block on to before another. */
export interface BlockRange {
  readonly start: number;
  readonly end: number;
}

/** Ranges in order. */
export class BlockRanges {
  #ranges: readonly BlockRange[] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }
  touches({ start, end }: BlockRange): boolean {
    return this.#ranges.some((range) => range.start < end && start < range.end);
  }
  add({ start, end }: BlockRange): void {
    const joined = this.#ranges.filter((range) => range.start <= end && start <= range.end);
    const whole = {
      start: Math.min(start, ...joined.map((range) => range.start)),
      end: Math.max(end, ...joined.map((range) => range.end)),
    };
    const apart = this.#ranges.filter((range) => !joined.includes(range));
    this.#ranges = [...apart, whole].sort((a, b) => a.start - b.start);
  }
  remove({ start, end }: BlockRange): void {
    if (this.isEmpty) return;
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.end <= start || end <= range.start) return [range];
      const before = { start: range.start, end: start };
      const after = { start: end, end: range.end };
      return [before, after].filter((rest) => rest.start < rest.end);
    });
  }
  clear(): void {
    this.#ranges = [];
  }
  state(): readonly BlockRange[] {
    return this.#ranges.map((range) => ({ ...range }));
  }
  restore(state: readonly BlockRange[]): void {
    this.#ranges = state.map((range) => ({ ...range }));
  }
}
