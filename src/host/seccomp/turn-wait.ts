/** What the loop waits on: the listener, whose wake-up is quickest when it is waited on itself, and one descriptor for all else. */
import { HostError, syscall } from '../sys/ffi.ts';
import { POLLIN } from '../sys/libc.ts';
import { HOST_ERRNO, NR } from '../sys/numbers.ts';

/** The descriptors besides the listener. */
export interface Others {
  /** Readable while any of them is. */
  readonly fd: number;
  /** The inotify that tells of the last closes of our files, which is one of them. */
  readonly closes: number;
}
/** What the end of a wait is for. */
export interface Ready {
  /** A call waits to be received. */
  readonly call: boolean;
  /** No program is left. */
  readonly ended: boolean;
  readonly others: boolean;
}

const ENTRY = 8;
/** Of struct pollfd: where what is wanted and, above it, what is ready stands. */
const EVENTS = 4;

/** Two entries of poll(2), and a third by itself for closes. */
export class TurnWait {
  readonly entries = Buffer.alloc(2 * ENTRY);
  readonly closes = Buffer.alloc(ENTRY);
  #isListening = true;

  constructor(listener: number, others: Others) {
    [listener, others.fd].forEach((fd, n) => setEntry(this.entries.subarray(n * ENTRY), fd));
    setEntry(this.closes, others.closes);
  }
  /** A call, and nothing else of the listener, as the 32 bits that its entry has from EVENTS on. */
  static readonly aCall = (POLLIN << 16) | POLLIN;
  /** Where they stand. */
  get listenerEvents(): Buffer {
    return this.entries.subarray(EVENTS);
  }
  /** Is the listener waited on? Not any more when no program is left. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** poll(2) for so many milliseconds, -1: for ever. */
  poll(timeoutMs: number): Ready {
    return this.ready(syscall(NR.poll, this.entries, 2, timeoutMs));
  }
  /** What a poll of the entries has found. HostError: it cannot be made. */
  ready(count: number): Ready {
    if (count === -HOST_ERRNO.EINTR || count === 0) return NOTHING;
    if (count < 0) throw new HostError(`softiommu cannot wait any more (errno ${-count})`);
    const listener = this.#events(0);
    const ended = listener !== 0 && (listener & POLLIN) === 0;
    if (ended) this.#stopListening();
    return { call: (listener & POLLIN) !== 0, ended, others: this.#events(1) !== 0 };
  }
  #events(entry: number): number {
    return this.entries.readUInt16LE(entry * ENTRY + EVENTS + 2);
  }
  /** An entry with a negative descriptor is passed over. */
  #stopListening(): void {
    this.#isListening = false;
    setEntry(this.entries, -1);
  }
}
/** The end of a wait that has come by time, or by a signal. */
export const NOTHING: Ready = { call: false, ended: false, others: false };

function setEntry(entry: Buffer, fd: number): void {
  entry.writeInt32LE(fd, 0);
  entry.writeInt32LE(POLLIN, EVENTS);
}
