/** A timer of the host as a descriptor (timerfd): readable when its time has come. */
import { syscall } from './ffi.ts';
import { close, read } from './libc.ts';
import { NR, O_CLOEXEC, O_NONBLOCK } from './numbers.ts';
import { notShort } from './shortage.ts';

const CLOCK_MONOTONIC = 1;

/** Its time comes once, when it is told to. */
export class Timer {
  readonly fd: number;
  readonly #count = Buffer.alloc(8);
  /** struct itimerspec */
  readonly #times = Buffer.alloc(32);

  /** Throws Shortage. */
  constructor() {
    this.fd = notShort(syscall(NR.timerfd_create, CLOCK_MONOTONIC, O_CLOEXEC | O_NONBLOCK));
  }
  /** Its time comes in so many nanoseconds, more than 0 and less than a second; earlier wishes are forgotten. */
  in(ns: number): void {
    this.#times.writeBigInt64LE(BigInt(ns), 24);
    syscall(NR.timerfd_settime, this.fd, 0, this.#times, 0);
  }
  /** It is not readable before its time has come once more. */
  read(): void {
    read(this.fd, this.#count);
  }
  close(): void {
    close(this.fd);
  }
}
