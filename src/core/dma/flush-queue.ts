/**
 * Deferred invalidation for DMA_FQ domains (core.md 10.3): unmapped IOVAs and their tables wait in a ring until one flush
 * of everything serves them all. Until then a device may still reach the old pages; after it, never.
 */
import type { Clock } from '../../base/clock.ts';

/** One ring of 256 entries flushed after 10 ms; for devices whose flush is dear, 32768 after a second. */
export const FQ_SIZE = { perCpu: 256, single: 32768 } as const;
const FQ_TIMEOUT_NS = { perCpu: 10_000_000, single: 1_000_000_000 } as const;
export type FqKind = keyof typeof FQ_SIZE;

interface Entry {
  readonly pfn: number;
  readonly pages: number;
  readonly freelist: readonly number[];
  /** Flushes started when it was queued. */
  readonly counter: number;
}

/** What a queue needs of the domain it serves. */
export interface FqHost {
  readonly clock: Clock;
  flushAll(): void;
  freeIova(pfn: number, pages: number): void;
  freeTables(frames: readonly number[]): void;
}

export class FlushQueue {
  readonly kind: FqKind;
  readonly #host: FqHost;
  #ring: Entry[] = [];
  #flushesStarted = 0;
  #flushesFinished = 0;
  #timer: Disposable | undefined;

  constructor(kind: FqKind, host: FqHost) {
    this.kind = kind;
    this.#host = host;
  }
  /** Entries that wait for a flush or, after one, for their memory to be given back. */
  get length(): number {
    return this.#ring.length;
  }
  /** @kernel queue_iova */
  queue(pfn: number, pages: number, freelist: readonly number[]): void {
    this.#freeFlushed();
    if (this.#ring.length >= FQ_SIZE[this.kind] - 1) {
      this.#flush();
      this.#freeFlushed();
    }
    this.#ring.push({ pfn, pages, freelist, counter: this.#flushesStarted });
    this.#timer ??= this.#host.clock.after(FQ_TIMEOUT_NS[this.kind], () => this.#onTimer());
  }
  /** The domain goes: nobody is left whose translations could be stale. */
  destroy(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    for (const entry of this.#ring) this.#host.freeTables(entry.freelist);
    this.#ring = [];
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#flush();
    this.#freeFlushed();
  }
  /** @kernel fq_flush_iotlb */
  #flush(): void {
    this.#flushesStarted++;
    this.#host.flushAll();
    this.#flushesFinished++;
  }
  /** @kernel fq_ring_free */
  #freeFlushed(): void {
    let count = 0;
    for (const entry of this.#ring) {
      if (entry.counter >= this.#flushesFinished) break;
      this.#host.freeTables(entry.freelist);
      this.#host.freeIova(entry.pfn, entry.pages);
      count++;
    }
    if (count > 0) this.#ring.splice(0, count);
  }
}
