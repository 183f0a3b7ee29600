/**
 * The data fd of a migration: read to save a device's state, written to restore it (vfio.md 2.10).
 *
 * It can be read or written in pieces of any size. When its part is over it is a dead file: ENODEV.
 */
import {
  EINVAL,
  ENODEV,
  ENOMEM,
  ENOMSG,
  ENOTTY,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import {
  OpenFile,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  type FileOps,
  type UserBuffer,
} from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import { sameBytes } from '../../base/same-bytes.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import { VFIO_MIG_GET_PRECOPY_INFO, vfio_precopy_info } from '../../uapi/vfio.ts';
import { copyToUser, readArg } from '../ioctl.ts';

const NAME = 'anon_inode:[vfio-migration]';
/** Bytes of a stream that are kept; no state is longer. */
const LONGEST = 2 ** 30;
/** Most bytes one read or write moves. */
const LONGEST_TRANSFER = 1 << 24;

/** What a saving stream asks of its device while that runs. */
export interface SavingSource {
  /** The device's state now, where it is worth sending before the device stops. */
  early(): Uint8Array | undefined;
  /** DEVICE_FEATURE 12 was set: `flags` of the answer mean something. */
  tellsFlags(): boolean;
}

/** The state of a device on its way out. */
export class SavingStream {
  readonly wakes = new WaitQueue();
  readonly #source: SavingSource;
  #phase: 'running' | 'stopped' | 'over' = 'running';
  /** Not read yet, in order. */
  readonly #chunks: Uint8Array[] = [];
  /** Of them, bytes of the first part, and of changes since. */
  #left = { initial: 0, dirty: 0 };
  /** What was last taken of the device. */
  #latest: Uint8Array | undefined;

  constructor(source: SavingSource, head: Uint8Array) {
    this.#source = source;
    this.#append(head, 'initial');
  }
  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }
  get isReadable(): boolean {
    return !this.isEmpty || this.#phase !== 'running';
  }
  /** The device runs: what it is now can be read before it stops. */
  begin(): void {
    this.#take('initial');
  }
  /** It has stopped: this is its state, and the end. */
  finish(image: Uint8Array): void {
    this.#append(image, 'dirty');
    this.#phase = 'stopped';
    this.wakes.wakeAll();
  }
  end(): void {
    this.#phase = 'over';
    this.#chunks.length = 0;
    this.#left = { initial: 0, dirty: 0 };
    this.wakes.wakeAll();
  }

  /** ENOMSG: nothing before the device stops or changes. ENODEV: the device went on without it. */
  read(into: UserBuffer): Result<number> {
    if (this.#phase === 'over') return tooLate();
    if (this.isEmpty && this.#phase === 'running') {
      return refuse(ENOMSG, 'all that the running device has said was read');
    }
    let done = 0;
    const wanted = Math.min(into.length, LONGEST_TRANSFER);
    while (done < wanted && this.#chunks.length > 0) {
      const first = this.#chunks[0]!;
      const piece = first.subarray(0, wanted - done);
      const rc = into.copyTo(done, piece);
      if (rc) return done > 0 ? done : rc;
      this.#consume(piece.length);
      done += piece.length;
    }
    return done;
  }
  /** EINVAL: the device does not run any more. */
  precopyInfo(): Result<{ readonly initial: number; readonly dirty: number }, 'EINVAL'> {
    if (this.#phase !== 'running') {
      return refuse(EINVAL, 'the device is in no PRE_COPY state', { phase: this.#phase });
    }
    if (this.isEmpty) this.#take('dirty');
    return this.#left;
  }
  get tellsFlags(): boolean {
    return this.#source.tellsFlags();
  }

  #take(part: 'initial' | 'dirty'): void {
    const now = this.#source.early();
    if (!now || (this.#latest && sameBytes(now, this.#latest))) return;
    this.#latest = now;
    this.#append(now, part);
    this.wakes.wakeAll();
  }
  #append(bytes: Uint8Array, part: 'initial' | 'dirty'): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#left[part] += bytes.length;
  }
  #consume(count: number): void {
    const first = this.#chunks[0]!;
    if (count === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    const initial = Math.min(count, this.#left.initial);
    this.#left.initial -= initial;
    this.#left.dirty -= count - initial;
  }
}

/** A state on its way in. */
export class ResumingStream {
  readonly #head: Uint8Array;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #isOver = false;
  readonly #longest: number;

  /** `longest`: bytes that are kept. */
  constructor(head: Uint8Array, longest = LONGEST) {
    this.#head = head;
    this.#longest = longest;
  }
  /** EINVAL: it is of another kind of device; ENOMEM: no device has so much state; ENODEV: the session is over. */
  write(from: UserBuffer): Result<number> {
    if (this.#isOver) return tooLate();
    const length = Math.min(from.length, LONGEST_TRANSFER);
    if (this.#length + length > this.#longest) {
      return refuse(ENOMEM, 'the stream is longer than any state', { length: this.#length });
    }
    const bytes = new Uint8Array(length);
    const rc = from.copyFrom(0, bytes);
    if (rc) return rc;
    const head = this.#head.subarray(this.#length, this.#length + length);
    if (!sameBytes(bytes.subarray(0, head.length), head)) {
      return refuse(EINVAL, 'the stream is of another device, or of other options', {
        wanted: textOf(this.#head),
      });
    }
    if (length > 0) this.#chunks.push(bytes);
    this.#length += length;
    return length;
  }
  end(): void {
    this.#isOver = true;
    this.#chunks.length = 0;
  }
  /** What follows the head. EINVAL: not even that is there. */
  images(): Result<Uint8Array, 'EINVAL'> {
    if (this.#length < this.#head.length) {
      return refuse(EINVAL, 'the stream ends before any state', { length: this.#length });
    }
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all.subarray(this.#head.length);
  }
}

/** The file to read a state from. */
export function savingFile(stream: SavingStream): OpenFile {
  const file = new OpenFile(NAME, savingOps, stream);
  file.openedFor({ read: true, write: false, nonblocking: false });
  return file;
}
/** The file to write a state to. */
export function resumingFile(stream: ResumingStream): OpenFile {
  const file = new OpenFile(NAME, resumingOps, stream);
  file.openedFor({ read: false, write: true, nonblocking: false });
  return file;
}

const savingOps: FileOps = {
  stream: true,
  read: (file, _task, into) => saving(file).read(into),
  ioctl: (file, task, cmd, arg) => {
    if (cmd === VFIO_MIG_GET_PRECOPY_INFO) return getPrecopyInfo(saving(file), task, arg) ?? 0;
    return refuse(ENOTTY, 'a data fd has no such request', { cmd: hex(cmd) });
  },
  poll(file) {
    const stream = saving(file);
    return { events: stream.isReadable ? POLLIN | POLLRDNORM : 0, wakes: stream.wakes };
  },
};
const resumingOps: FileOps = {
  stream: true,
  write: (file, _task, from) => resuming(file).write(from),
  poll: () => ({ events: POLLOUT }),
};

function saving(file: OpenFile): SavingStream {
  return file.priv as SavingStream; // cast: files with savingOps are made above only
}
function resuming(file: OpenFile): ResumingStream {
  return file.priv as ResumingStream; // cast: files with resumingOps are made above only
}

function getPrecopyInfo(stream: SavingStream, task: Task, arg: bigint): Status {
  const info = readArg(task, arg, vfio_precopy_info, 'dirty_bytes');
  if (isErrno(info)) return info;
  const left = stream.precopyInfo();
  if (isErrno(left)) return left;
  if (stream.tellsFlags) info.flags = 0;
  info.initial_bytes = BigInt(left.initial);
  info.dirty_bytes = BigInt(left.dirty);
  return copyToUser(task, arg, info.bytes);
}

function tooLate() {
  return refuse(ENODEV, 'the migration this file belongs to is over');
}
function textOf(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes).replace(/[^ -~]+/g, ' ');
}
