/** Memory behind a BAR inside of this process: a page costs nothing until something is written to it. */
import { BAR_PAGE, checkPages, type BarMemory } from './bar-memory.ts';
import { bugOn } from './bug.ts';

/** Pages in a map. Nobody can map them. */
export class SparseMemory implements BarMemory {
  readonly length: number;
  /** By number. */
  readonly #pages = new Map<number, Uint8Array>();

  constructor(length: number) {
    this.length = length;
  }
  read(offset: number, into: Uint8Array): void {
    this.#pieces(offset, into.length, (page, at, from, to) => {
      const bytes = this.#pages.get(page)?.subarray(at, at + to - from);
      if (bytes) into.set(bytes, from);
      else into.fill(0, from, to);
    });
  }
  write(offset: number, from: Uint8Array): void {
    this.#pieces(offset, from.length, (page, at, start, end) => {
      let bytes = this.#pages.get(page);
      if (!bytes) this.#pages.set(page, (bytes = new Uint8Array(BAR_PAGE)));
      bytes.set(from.subarray(start, end), at);
    });
  }
  /** `run` is given a page, where in it, and which bytes of the whole. */
  #pieces(
    offset: number,
    length: number,
    run: (page: number, at: number, from: number, to: number) => void,
  ): void {
    bugOn(offset < 0 || offset + length > this.length, 'an access beyond the memory of a BAR');
    for (let done = 0; done < length;) {
      const page = Math.floor((offset + done) / BAR_PAGE);
      const at = (offset + done) % BAR_PAGE;
      const part = Math.min(BAR_PAGE - at, length - done);
      run(page, at, done, done + part);
      done += part;
    }
  }
  clear(): void {
    this.#pages.clear();
  }
  pages(): Map<number, Uint8Array> {
    const used = [...this.#pages].filter(([, bytes]) => bytes.some((byte) => byte !== 0));
    used.sort(([a], [b]) => a - b);
    return new Map(used.map(([page, bytes]) => [page * BAR_PAGE, bytes.slice()]));
  }
  fill(pages: ReadonlyMap<number, Uint8Array>): void {
    checkPages(pages, this.length);
    this.clear();
    for (const [offset, bytes] of pages) this.#pages.set(offset / BAR_PAGE, bytes.slice());
  }
  /** Whoever has it mapped calls for each access in any case. */
  lend(): void {
    // nobody can map a page of it
  }
}
