/**
 * A descriptor of ours that a program's thread needs for what it does for us, and is to have no longer than that.
 *
 * It is made and handed over when the thread has been taken and its trapped call is not yet answered, and the thread closes it
 * when it has done what it was to do. So a thread that cannot be had is given none. One is left in a program only
 * where the thread cannot close it: its own filter ends the script, or its tracer swallows the signal that it was to go on with.
 */
import { Shortage } from '../../base/shortage.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';
import { orShortage } from '../sys/shortage.ts';
import { handOver } from './hand-over.ts';
import { ours, type Hand, type Script } from './in-thread.ts';
import type { FdInstaller, Notification } from './notification.ts';

/** One such descriptor. */
export class HandedOver implements Hand {
  readonly #make: () => number;
  readonly #given: () => void;
  #fd = -HOST_ERRNO.EBADF;

  /**
   * `make`: an open file of ours, or minus an errno; may throw Shortage. `given`: the program has it, so that what it was made
   * of must live.
   */
  constructor(make: () => number, given: () => void = () => undefined) {
    this.#make = make;
    this.#given = given;
  }
  /** Its number in the program; minus an errno: the program has none. */
  get fd(): number {
    return this.#fd;
  }

  /** To the thread that waits in this call. */
  give(transport: FdInstaller, call: Notification): void {
    const made = orShortage(this.#make);
    if (made instanceof Shortage) this.#fd = -made.errno.number;
    else if (made < 0) this.#fd = made;
    else this.#fd = handOver(transport, call, made, true);
    if (this.#fd >= 0) this.#given();
  }
  /** It is the program's from now on. */
  keep(): number {
    const fd = this.#fd;
    this.#fd = -HOST_ERRNO.EBADF;
    return fd;
  }
  *close(): Script<number> {
    const fd = this.keep();
    return fd < 0 ? 0 : yield* ours(NR.close, fd);
  }
}
