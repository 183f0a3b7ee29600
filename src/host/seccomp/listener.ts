/**
 * The seccomp listener: receiving trapped calls and answering them.
 *
 * Request buffers are reused: a notification must not be looked at after its answer, unless it is kept. There are two ways
 * from one call to the next: one system call after the other, and a list of steps (next-call.ts), which is quicker. The first
 * is what goes on where a list has ended, and the measure of the second in tests.
 */
import { callers } from '../sys/callers.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, O_CLOEXEC } from '../sys/numbers.ts';
import { LISTENER } from '../sys/listener-ioctls.ts';
import { NextCall } from './next-call.ts';
import { CallBytes, Notification, type Answer } from './notification.ts';
import { NOTHING, TurnWait, type Others, type Ready } from './turn-wait.ts';

const ADD_FD_SETFD = 1;
const CONTINUE = 1;
/** Words of struct seccomp_notif_resp: id and val of 64 bits; error and flags of 32. */
const RESPONSE = { id: 0, value: 1, error: 4, flags: 5, size: 24 } as const;

/** The transport of calls that comes with the filter. */
export class Listener {
  readonly fd: number;
  readonly #response = Buffer.alloc(RESPONSE.size);
  readonly #response64 = new BigInt64Array(this.#response.buffer, this.#response.byteOffset, 3);
  readonly #response32 = new Int32Array(this.#response.buffer, this.#response.byteOffset, 6);
  readonly #addFd = Buffer.alloc(24);
  readonly #idBytes = Buffer.alloc(8);
  readonly #wait: TurnWait;
  readonly #next: NextCall | undefined;
  #spare: CallBytes | undefined;
  /** Received by the list, together with something else. */
  #received: Notification | undefined;
  /** The response is an answer that has not been sent. */
  #isOwed = false;

  readonly #send = (): number => libc.ioctl(this.fd, LISTENER.send, this.#response);

  constructor(fd: number, others: Others, how: { readonly inSteps: boolean }) {
    this.fd = fd;
    this.#wait = new TurnWait(fd, others);
    if (how.inSteps) this.#next = new NextCall(fd, this.#response, this.#wait);
    callers.begin(fd, how);
    // The kernel wakes the two sides on one core, where it can (Linux 6.6 and later).
    libc.ioctl(fd, LISTENER.setFlags, 1);
  }

  wait(timeoutMs: number): Notification | Ready {
    const next = this.#next;
    if (!next || !this.#wait.isListening) {
      this.flush();
      return this.#wait.poll(timeoutMs);
    }
    const request = this.#emptyRequest();
    const owed = this.#isOwed;
    this.#isOwed = false;
    const found = next.run(owed, timeoutMs, request);
    if (found === 'call') return asked(request);
    if (found === 'late call') {
      this.#received = asked(request);
      return { ...NOTHING, call: true, others: true };
    }
    this.#spare = request;
    return found === 'gone' ? NOTHING : this.#wait.ready(found);
  }
  receive(): Notification | undefined {
    this.flush();
    const received = this.#received;
    this.#received = undefined;
    if (received) return received;
    const request = this.#emptyRequest();
    const rc = libc.ioctl(this.fd, LISTENER.receive, request.bytes);
    if (rc >= 0) return asked(request);
    this.#spare = request;
    return undefined;
  }
  /** The kernel wants it to be all zero. */
  #emptyRequest(): CallBytes {
    const request = this.#spare ?? new CallBytes();
    this.#spare = undefined;
    request.u64.fill(0n);
    return request;
  }
  close(): void {
    this.flush();
    libc.close(this.fd);
  }
  answer(to: Notification, answer: Answer): boolean {
    this.flush();
    if (answer === 'answered') return true;
    this.#fill(to, answer);
    return uninterrupted(this.#send) === 0;
  }
  answerSoon(to: Notification, answer: Answer): void {
    if (!this.#next) this.answer(to, answer);
    else {
      this.flush();
      if (answer === 'answered') return;
      this.#fill(to, answer);
      this.#isOwed = true;
    }
  }
  flush(): void {
    if (!this.#isOwed) return;
    this.#isOwed = false;
    uninterrupted(this.#send);
  }
  #fill(to: Notification, answer: Exclude<Answer, 'answered'>): void {
    const [u64, i32] = [this.#response64, this.#response32];
    const goesOn = answer === 'continue';
    const isErrno = !goesOn && answer < 0;
    u64[RESPONSE.id] = to.id;
    u64[RESPONSE.value] = goesOn || isErrno ? 0n : BigInt(answer);
    i32[RESPONSE.error] = isErrno ? Number(answer) : 0;
    i32[RESPONSE.flags] = goesOn ? CONTINUE : 0;
    this.#spare = to.reclaim();
    callers.answered(to.tid, to.id);
  }
  /** Is the caller still there and waiting for this answer? */
  valid(call: Notification): boolean {
    this.flush();
    this.#idBytes.writeBigUInt64LE(call.id, 0);
    return libc.ioctl(this.fd, LISTENER.isValid, this.#idBytes) === 0;
  }
  /**
   * Give the caller a descriptor for an open file of ours: its number, or minus an errno.
   *
   * The answer is a call of its own: a signal to us during the combined one (ADDFD_FLAG_SEND) would answer 0.
   */
  addFd(to: Notification, fd: number, how: { cloexec: boolean; at?: number }): number {
    this.flush();
    const add = this.#addFd.fill(0);
    add.writeBigUInt64LE(to.id, 0);
    add.writeUInt32LE(how.at === undefined ? 0 : ADD_FD_SETFD, 8);
    add.writeUInt32LE(fd, 12);
    add.writeUInt32LE(how.at ?? 0, 16);
    add.writeUInt32LE(how.cloexec ? O_CLOEXEC : 0, 20);
    return uninterrupted(() => libc.ioctl(this.fd, LISTENER.addFd, add));
  }
}

function asked(request: CallBytes): Notification {
  const call = new Notification(request);
  callers.waits(call.tid, call.id);
  return call;
}

/** A ptrace stop of a program is a signal to us. */
function uninterrupted(call: () => number): number {
  for (;;) {
    const rc = call();
    if (rc !== -HOST_ERRNO.EINTR) return rc;
  }
}
