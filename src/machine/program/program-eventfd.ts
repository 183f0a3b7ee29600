/** An eventfd of an in-process program (eventfd(2)): a counter that devices add to and the program reads. */
import { EAGAIN, EINVAL, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Eventfd } from '../../base/task.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';

export class ProgramEventfd implements Eventfd {
  readonly id: string;
  nonblocking = false;
  #count: bigint;
  readonly #listeners = new Set<() => void>();
  readonly #wait = new WaitQueue();

  constructor(id: string, initial: bigint) {
    this.id = id;
    this.#count = initial;
  }
  get count(): bigint {
    return this.#count;
  }
  signal(): void {
    this.#count += 1n;
    this.#wait.wakeAll();
  }
  listen(run: () => void): Disposable {
    this.#listeners.add(run);
    return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
  }
  /** Memory of the library: references need no counting. */
  get(): this {
    return this;
  }
  put(): void {
    // nothing to release
  }

  read(into: Uint8Array): Outcome<Result<number>> {
    if (into.length < 8) return refuse(EINVAL, 'an eventfd is read eight bytes at a time');
    if (this.#count === 0n) {
      return this.nonblocking ? refuse(EAGAIN, 'the counter is zero') : this.#wait;
    }
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, this.#count, true);
    this.#count = 0n;
    return 8;
  }
  /** The program itself adds: an unmask eventfd hears it. */
  write(from: Uint8Array): Result<number> {
    if (from.length < 8) return refuse(EINVAL, 'an eventfd is written eight bytes at a time');
    this.#count += new DataView(from.buffer, from.byteOffset).getBigUint64(0, true);
    this.#wait.wakeAll();
    for (const run of [...this.#listeners]) run();
    return 8;
  }
}
