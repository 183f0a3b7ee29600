/**
 * The log of the memory a device writes, page by page, while somebody asks for it (vfio.md 2.10).
 *
 * What is written with a PASID has addresses of another address space, and is not in it.
 */
import { EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';

/** Addresses, both inclusive. */
export interface LoggedRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** Smallest and largest page that a log can be kept by: 4 KiB, 1 GiB. */
const SMALLEST_LG2 = 12;
const LARGEST_LG2 = 30;

/** What to log. */
type Watch = (run: ((iova: bigint, length: number) => void) | undefined) => void;

export class DmaLog {
  readonly #watch: Watch;
  /** Undefined: it is off. */
  #ranges: readonly LoggedRange[] | undefined;
  #lg2 = SMALLEST_LG2;
  /** Numbers of pages that were written. */
  readonly #pages = new Set<number>();

  /** `watch`: be told of every write of the device, or of none any more. */
  constructor(watch: Watch) {
    this.#watch = watch;
  }
  /** Bytes of a page of the log: the wanted one, or the nearest that can be had. */
  start(ranges: readonly LoggedRange[], pageSize: bigint): bigint {
    const wanted = pageSize.toString(2).length - 1;
    this.#lg2 = Math.min(Math.max(wanted, SMALLEST_LG2), LARGEST_LG2);
    this.#ranges = ranges;
    this.#pages.clear();
    this.#watch((iova, length) => this.#mark(iova, length));
    return 1n << BigInt(this.#lg2);
  }
  get isOn(): boolean {
    return this.#ranges !== undefined;
  }
  stop(): void {
    this.#ranges = undefined;
    this.#pages.clear();
    this.#watch(undefined);
  }
  /**
   * Each written page that touches these addresses, once: the log forgets it. EINVAL: the log is off.
   */
  take({ first, last }: LoggedRange, page: (range: LoggedRange) => void): Status<'EINVAL'> {
    if (!this.#ranges) return refuse(EINVAL, 'DMA is not logged', { first, last });
    const shift = BigInt(this.#lg2);
    const from = Number(first >> shift);
    const to = Number(last >> shift);
    for (const written of this.#writtenBetween(from, to)) {
      this.#pages.delete(written);
      const start = BigInt(written) << shift;
      page({ first: start, last: start + (1n << shift) - 1n });
    }
    return undefined;
  }

  #writtenBetween(from: number, to: number): number[] {
    if (to - from >= this.#pages.size) {
      return [...this.#pages].filter((page) => page >= from && page <= to);
    }
    const out: number[] = [];
    for (let page = from; page <= to; page++) if (this.#pages.has(page)) out.push(page);
    return out;
  }
  #mark(iova: bigint, length: number): void {
    if (length === 0) return;
    const last = iova + BigInt(length) - 1n;
    const shift = BigInt(this.#lg2);
    for (const range of this.#ranges ?? []) {
      if (range.last < iova || range.first > last) continue;
      const from = Number((iova > range.first ? iova : range.first) >> shift);
      const to = Number((last < range.last ? last : range.last) >> shift);
      for (let page = from; page <= to; page++) this.#pages.add(page);
    }
  }
}
