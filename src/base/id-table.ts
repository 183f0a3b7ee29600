/**
 * Lowest-free ids with reserve / publish / abort: the kernel's xarray as iommufd and the core use it.
 *
 * A reserved id is taken but not found; publish makes it visible; abort gives it back at once, so that the next
 * allocation gets the same id. A tombstone stays taken and is never found again.
 */
import { ENOSPC, type Result } from './errno.ts';
import { Bug, bugOn } from './bug.ts';
import { refuse } from './refuse.ts';

const RESERVED = Symbol('reserved');
const TOMBSTONE = Symbol('tombstone');

/** Objects by number, the lowest free number first; `first` and `last` are inclusive. @kernel xa_alloc */
export class IdTable<T extends object> {
  readonly first: number;
  readonly last: number;
  readonly #slots = new Map<number, T | typeof RESERVED | typeof TOMBSTONE>();
  #lowest: number;

  constructor(first = 1, last = 0x7fff_ffff) {
    this.first = first;
    this.last = last;
    this.#lowest = first;
  }

  /** Take the lowest free id without making it visible. */
  reserve(): Result<number, 'ENOSPC'> {
    let id = this.#lowest;
    while (this.#slots.has(id)) id++;
    if (id > this.last) return refuse(ENOSPC, 'every id is taken', { last: this.last });
    this.#slots.set(id, RESERVED);
    this.#lowest = id + 1;
    return id;
  }
  publish(id: number, object: T): void {
    bugOn(this.#slots.get(id) !== RESERVED, `id ${id} published without being reserved`);
    this.#slots.set(id, object);
  }
  /** Give back a reserved id. */
  abort(id: number): void {
    bugOn(this.#slots.get(id) !== RESERVED, `id ${id} aborted without being reserved`);
    this.#free(id);
  }
  remove(id: number): T {
    const object = this.get(id);
    if (object === undefined) throw new Bug(`id ${id} removed but not published`);
    this.#free(id);
    return object;
  }
  /** Keep the id taken for ever, with nothing behind it. */
  bury(id: number): void {
    bugOn(this.get(id) === undefined, `id ${id} buried but not published`);
    this.#slots.set(id, TOMBSTONE);
  }
  get(id: number): T | undefined {
    const slot = this.#slots.get(id);
    return typeof slot === 'symbol' ? undefined : slot;
  }
  isTaken(id: number): boolean {
    return this.#slots.has(id);
  }
  /** Taken ids of any kind: reserved, published and buried. */
  get size(): number {
    return this.#slots.size;
  }
  /** Published objects in ascending order of id. */
  *entries(): IterableIterator<[number, T]> {
    for (const id of [...this.#slots.keys()].sort((a, b) => a - b)) {
      const object = this.get(id);
      if (object !== undefined) yield [id, object];
    }
  }

  #free(id: number): void {
    this.#slots.delete(id);
    if (id < this.#lowest) this.#lowest = id;
  }
}
