/**
 * What is remembered of the newest of many things, such as events by their numbers: the oldest is dropped for each new one.
 */

/** A map of the entries that were added last. A key is added once. */
export class NewestMap<K, V> {
  readonly #most: number;
  readonly #values = new Map<K, V>();
  /** A ring: a Map that loses its first entries finds its first one ever more slowly. */
  readonly #keys: K[] = [];
  /** Where the next key goes: in a full ring the oldest is there. */
  #at = 0;

  /** `most`: so many entries are remembered. */
  constructor(most: number) {
    this.#most = most;
  }
  get(key: K): V | undefined {
    return this.#values.get(key);
  }
  add(key: K, value: V): void {
    if (this.#keys.length === this.#most) this.#values.delete(this.#keys[this.#at]!);
    this.#keys[this.#at] = key;
    this.#at = (this.#at + 1) % this.#most;
    this.#values.set(key, value);
  }
}
