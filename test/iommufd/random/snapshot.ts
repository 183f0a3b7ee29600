/** A state as labelled values in a fixed order: two states compare exactly, and the first difference tells its name. */
export class Snapshot {
  readonly #labels: string[] = [];
  readonly #values: unknown[] = [];
  #length = 0;

  /** Values are numbers, bigints, strings, booleans: what `===` compares. */
  add(label: string, value: unknown): void {
    this.#labels[this.#length] = label;
    this.#values[this.#length++] = value;
  }
  clear(): void {
    this.#length = 0;
  }
  /** The first difference, with what comes before it; undefined when there is none. */
  differenceTo(later: Snapshot): string | undefined {
    const length = Math.max(this.#length, later.#length);
    for (let n = 0; n < length; n++) {
      const same = this.#labels[n] === later.#labels[n] && this.#values[n] === later.#values[n];
      if (same && n < this.#length && n < later.#length) continue;
      return `was ${this.#around(n)}\nnow ${later.#around(n)}`;
    }
    return undefined;
  }
  #around(at: number): string {
    const from = Math.max(0, at - 8);
    const to = Math.min(this.#length, at + 4);
    const parts: string[] = [];
    for (let n = from; n < to; n++) {
      const text = `${this.#labels[n]!}=${String(this.#values[n])}`;
      parts.push(n === at ? `>>${text}<<` : text);
    }
    return parts.join(' ');
  }
}

/** Numbers for objects that have no names, in the order they are met. */
export class Names {
  readonly #numbers = new Map<object, number>();
  of(object: object | undefined): number {
    if (!object) return 0;
    let number = this.#numbers.get(object);
    if (number === undefined) this.#numbers.set(object, (number = this.#numbers.size + 1));
    return number;
  }
}
