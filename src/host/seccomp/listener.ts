/**
 * The seccomp listener: receiving trapped calls and answering them.
 *
 * Request buffers are reused: a notification must not be looked at after its answer, unless it is kept.
 */
import * as libc from '../sys/libc.ts';
import { Notification, type Answer } from './notification.ts';
import { HOST_ERRNO, O_CLOEXEC } from '../sys/numbers.ts';

const RECV = 0xc0502100;
const SEND = 0xc0182101;
const ID_VALID = 0x40082102;
const ADD_FD = 0x40182103;
const SET_FLAGS = 0x40082104;
const ADD_FD_SETFD = 1;
const CONTINUE = 1;

/** The transport of calls that comes with the filter. */
export class Listener {
  readonly fd: number;
  readonly #response = Buffer.alloc(24);
  readonly #addFd = Buffer.alloc(24);
  readonly #idBytes = Buffer.alloc(8);
  #spare: Buffer | undefined;

  readonly #send = (): number => libc.ioctl(this.fd, SEND, this.#response);

  constructor(fd: number) {
    this.fd = fd;
    // The kernel wakes the two sides on one core, where it can (Linux 6.6 and later).
    libc.ioctl(fd, SET_FLAGS, 1);
  }
  /** Undefined when the caller has died meanwhile. */
  receive(): Notification | undefined {
    const request = this.#spare?.fill(0) ?? Buffer.alloc(80);
    this.#spare = undefined;
    const rc = libc.ioctl(this.fd, RECV, request);
    return rc < 0 ? undefined : new Notification(request);
  }
  close(): void {
    libc.close(this.fd);
  }
  /** False when the caller is gone. */
  answer(to: Notification, answer: Answer): boolean {
    if (answer === 'answered') return true;
    const response = this.#response.fill(0);
    response.writeBigUInt64LE(to.id, 0);
    if (answer === 'continue') response.writeUInt32LE(CONTINUE, 20);
    else if (answer < 0) response.writeInt32LE(Number(answer), 16);
    else response.writeBigInt64LE(BigInt(answer), 8);
    this.#spare = to.reclaim();
    return uninterrupted(this.#send) === 0;
  }
  /** Is the caller still there and waiting for this answer? */
  valid(call: Notification): boolean {
    this.#idBytes.writeBigUInt64LE(call.id, 0);
    return libc.ioctl(this.fd, ID_VALID, this.#idBytes) === 0;
  }
  /**
   * Give the caller a descriptor for an open file of ours: its number, or minus an errno.
   *
   * The answer is a call of its own: a signal to us during the combined one (ADDFD_FLAG_SEND) would answer 0.
   */
  addFd(to: Notification, fd: number, how: { cloexec: boolean; at?: number }): number {
    const add = this.#addFd.fill(0);
    add.writeBigUInt64LE(to.id, 0);
    add.writeUInt32LE(how.at === undefined ? 0 : ADD_FD_SETFD, 8);
    add.writeUInt32LE(fd, 12);
    add.writeUInt32LE(how.at ?? 0, 16);
    add.writeUInt32LE(how.cloexec ? O_CLOEXEC : 0, 20);
    return uninterrupted(() => libc.ioctl(this.fd, ADD_FD, add));
  }
}

/** A ptrace stop of a program is a signal to us. */
function uninterrupted(call: () => number): number {
  for (;;) {
    const rc = call();
    if (rc !== -HOST_ERRNO.EINTR) return rc;
  }
}
