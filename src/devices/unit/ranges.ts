/** A set of numbers as ranges that do not touch each other: blocks, sectors. */

/** From a number on to before another. */
export interface NumberRange {
  readonly start: number;
  readonly end: number;
}

/** Ranges in order. */
export class NumberRanges {
  #ranges: readonly NumberRange[] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }
  touches(range: NumberRange): boolean {
    return this.within(range).length > 0;
  }
  /** The parts of a range that are in the set. */
  within({ start, end }: NumberRange): readonly NumberRange[] {
    return this.#ranges
      .filter((range) => range.start < end && start < range.end)
      .map((range) => ({ start: Math.max(start, range.start), end: Math.min(end, range.end) }));
  }
  add({ start, end }: NumberRange): void {
    const joined = this.#ranges.filter((range) => range.start <= end && start <= range.end);
    const whole = {
      start: Math.min(start, ...joined.map((range) => range.start)),
      end: Math.max(end, ...joined.map((range) => range.end)),
    };
    const apart = this.#ranges.filter((range) => range.start > end || start > range.end);
    this.#ranges = [...apart, whole].sort((a, b) => a.start - b.start);
  }
  remove({ start, end }: NumberRange): void {
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
  /** A copy. */
  state(): readonly NumberRange[] {
    return this.#ranges.map((range) => ({ ...range }));
  }
  restore(state: readonly NumberRange[]): void {
    this.#ranges = state.map((range) => ({ ...range }));
  }
}
