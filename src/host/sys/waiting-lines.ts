/** Lines of ours that standard error does not take yet: they are kept in order, tried again, and past a bound counted only. */
import { HOST_ERRNO } from './numbers.ts';
import { STDERR, writeAll } from './write-all.ts';
import { writeNow } from './write-now.ts';

/** Bytes. */
const MOST_KEPT = 1 << 20;
const AGAIN_MS = 50;

/** Undefined: all of it was taken, or nobody will read it. Else what is left. */
export function sayNow(bytes: Uint8Array, write = writeNow): Uint8Array | undefined {
  let rest = bytes;
  while (rest.length > 0) {
    const done = write(STDERR, rest);
    if (done === -HOST_ERRNO.EAGAIN) return rest;
    if (done < 0 && done !== -HOST_ERRNO.EINTR) return undefined;
    rest = rest.subarray(Math.max(0, done));
  }
  return undefined;
}

/** Of one thread. */
export class WaitingLines {
  readonly #write: typeof writeNow;
  #kept: Uint8Array[] = [];
  #bytes = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `write`: as standard error takes it; for tests. */
  constructor(write = writeNow) {
    this.#write = write;
  }

  say(text: string | Uint8Array): void {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    if (this.#dropped > 0 || this.#bytes + bytes.length > MOST_KEPT) {
      this.#dropped++;
      return;
    }
    this.#kept.push(bytes);
    this.#bytes += bytes.length;
    this.retry();
  }
  /** True: nothing is left. */
  retry(): boolean {
    while (this.#kept.length > 0) {
      const first = this.#kept[0]!;
      const rest = sayNow(first, this.#write);
      this.#bytes -= first.length - (rest?.length ?? 0);
      if (rest) {
        this.#kept[0] = rest;
        this.#timer ??= setInterval(() => this.retry(), AGAIN_MS).unref();
        return false;
      }
      this.#kept.shift();
      if (this.#kept.length === 0) this.#countDropped();
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    return true;
  }
  #countDropped(): void {
    const lines = this.#dropped;
    this.#dropped = 0;
    if (lines === 0) return;
    this.#kept.push(Buffer.from(`softiommu: ${lines} more of its messages found no room here\n`));
    this.#bytes += this.#kept[0]!.length;
  }

  /** The run is over: whoever reads standard error is waited for, as by any program that ends. */
  finish(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    while (this.#kept.length > 0) {
      writeAll(STDERR, this.#kept.shift()!);
      if (this.#kept.length === 0) this.#countDropped();
    }
    this.#bytes = 0;
  }
}
