/**
 * An io_uring whose registered buffers are pages of one program: the kernel keeps such a page for as long
 * as it is registered, whatever becomes of the mapping and the process. Layouts are those of linux/io_uring.h.
 *
 * A program registers its own pages, by a call made in its name; reads and writes are ours, through a pipe. While it makes
 * that call it has the ring as a descriptor, and another of its threads may keep that. So the ring is worth nothing to it:
 * the queues are memory of ours, which nobody can map by the descriptor (IORING_SETUP_NO_MMAP); the ring registers buffers
 * and does nothing else for whoever asks; and what has come of an operation is told by the pipe, never by a completion.
 */
import { HostError, mapMemory, setPointer, syscall, viewOf } from './ffi.ts';
import * as libc from './libc.ts';
import { remoteIovec } from './libc.ts';
import { HOST_ERRNO, NR, O_CLOEXEC, O_NONBLOCK } from './numbers.ts';

const SETUP_R_DISABLED = 1 << 6;
const SETUP_NO_MMAP = 1 << 14;
const REGISTER = { restrictions: 11, enableRings: 12, buffers2: 15 } as const;
/** IORING_REGISTER_BUFFERS_UPDATE */
export const REGISTER_BUFFERS_UPDATE = 16;
const RSRC_REGISTER_SPARSE = 1;
const ENTER_GETEVENTS = 1;
const OP_READ_FIXED = 4;
const OP_WRITE_FIXED = 5;
/** IOSQE_CQE_SKIP_SUCCESS */
const SKIP_SUCCESS = 1 << 6;
/** RWF_NOWAIT */
const NOWAIT = 8;

/** IORING_MAX_REG_BUFFERS */
export const MOST_BUFFERS = 1 << 14;
/** One buffer may have that many bytes. */
export const LONGEST_BUFFER = 1 << 30;

const PARAMS_SIZE = 120;
const PARAMS = { flags: 8, sqOff: 40, sqesAt: 72, cqOff: 80, ringsAt: 112 } as const;
const SQ = { head: 0, tail: 4, mask: 8, array: 24 } as const;
const CQ = { head: 0, tail: 4 } as const;
const SQE_SIZE = 64;
const PAGE = 4096;
/** One entry: the operations in a page, the queues in another. */
const MEMORY_SIZE = 2 * PAGE;
/** Somebody who has kept a descriptor of the ring may run an operation of ours into a descriptor of his own. */
const MOST_TRIES = 8;

const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const FIONREAD = 0x541b;
const WINDOW = 1 << 20;

const BUFFERS_AT = 8;
/** struct io_uring_rsrc_update2 for one buffer: register `iov` at a place of the table. */
export function bufferUpdate(slot: number, iovAt: bigint): Buffer {
  const update = Buffer.alloc(32);
  update.writeUInt32LE(slot, 0);
  update.writeBigUInt64LE(iovAt, BUFFERS_AT);
  update.writeUInt32LE(1, 24);
  return update;
}

/** struct io_uring_restriction, one each: whoever has the ring registers buffers, and moves bytes of them. */
const RESTRICTIONS: readonly (readonly [kind: number, value: number])[] = [
  [0, REGISTER_BUFFERS_UPDATE],
  [1, OP_READ_FIXED],
  [1, OP_WRITE_FIXED],
  [3, SKIP_SUCCESS],
];
function restrictions(): Buffer {
  const table = Buffer.alloc(16 * RESTRICTIONS.length);
  RESTRICTIONS.forEach(([kind, value], n) => {
    table.writeUInt16LE(kind, 16 * n);
    table.writeUInt8(value, 16 * n + 2);
  });
  return table;
}

/** What the bytes of rings go through: nobody else has it, and it is empty between two operations. */
export class RingPipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** So many bytes fit, wherever they begin in a page. */
  readonly room: number;

  /** Minus the errno when there is none. */
  static open(): RingPipe | number {
    const ends = libc.pipe2(O_CLOEXEC | O_NONBLOCK);
    return typeof ends === 'number' ? ends : new RingPipe(ends);
  }
  private constructor([readEnd, writeEnd]: readonly [number, number]) {
    this.readEnd = readEnd;
    this.writeEnd = writeEnd;
    // A user who has many large pipes gets a small one, which is slower.
    syscall(NR.fcntl, writeEnd, F_SETPIPE_SZ, WINDOW);
    this.room = syscall(NR.fcntl, writeEnd, F_GETPIPE_SZ) - PAGE;
  }
  close(): void {
    libc.close(this.readEnd);
    libc.close(this.writeEnd);
  }
  get isEmpty(): boolean {
    const count = Buffer.alloc(4);
    return libc.ioctl(this.readEnd, FIONREAD, count) === 0 && count.readUInt32LE(0) === 0;
  }
  drain(): void {
    const into = Buffer.alloc(PAGE);
    while (libc.read(this.readEnd, into) > 0);
  }
}

/** What a ring has of the host. */
interface RingParts {
  readonly fd: number;
  readonly memory: number;
}
function endRing({ fd, memory }: RingParts): void {
  libc.close(fd);
  syscall(NR.munmap, memory, MEMORY_SIZE);
}
const rings = new FinalizationRegistry<RingParts>(endRing);

/** A ring whose registered buffers are pinned pages; without a close() it ends when nobody holds it any more. */
export class IoUring {
  readonly fd: number;
  readonly #parts: RingParts;
  readonly #pipe: RingPipe;
  readonly #params: Buffer;
  readonly #queues: Buffer;
  readonly #sqes: Buffer;

  /** Minus the errno when this host has none, or forbids it; EINVAL: it is older than Linux 6.5. */
  static open(pipe: RingPipe): IoUring | number {
    const memory = mapMemory(MEMORY_SIZE, 'for an io_uring');
    const params = Buffer.alloc(PARAMS_SIZE);
    params.writeUInt32LE(SETUP_R_DISABLED | SETUP_NO_MMAP, PARAMS.flags);
    params.writeBigUInt64LE(BigInt(memory), PARAMS.sqesAt);
    params.writeBigUInt64LE(BigInt(memory + PAGE), PARAMS.ringsAt);
    const fd = syscall(NR.io_uring_setup, 1, params);
    if (fd < 0) {
      syscall(NR.munmap, memory, MEMORY_SIZE);
      return fd;
    }
    libc.setCloexec(fd, true);
    const parts = { fd, memory };
    const rc = prepare(fd);
    if (rc >= 0) return new IoUring(parts, pipe, params);
    endRing(parts);
    return rc;
  }
  private constructor(parts: RingParts, pipe: RingPipe, params: Buffer) {
    this.fd = parts.fd;
    this.#parts = parts;
    this.#pipe = pipe;
    this.#params = params;
    this.#sqes = viewOf(parts.memory, PAGE);
    this.#queues = viewOf(parts.memory + PAGE, PAGE);
    rings.register(this, parts, this);
  }
  close(): void {
    rings.unregister(this);
    endRing(this.#parts);
  }

  /** Bytes of a registered buffer from `address` on: false when the kernel will not. */
  read(slot: number, address: bigint, into: Uint8Array): boolean {
    const { readEnd, writeEnd } = this.#pipe;
    return this.#inPieces(into, address, (part, at) => {
      this.#operate(OP_WRITE_FIXED, writeEnd, { slot, at, length: part.length });
      return libc.read(readEnd, part) === part.length;
    });
  }
  write(slot: number, address: bigint, from: Uint8Array): boolean {
    const { readEnd, writeEnd } = this.#pipe;
    return this.#inPieces(from, address, (part, at) => {
      if (libc.write(writeEnd, part) !== part.length) return false;
      this.#operate(OP_READ_FIXED, readEnd, { slot, at, length: part.length });
      return this.#pipe.isEmpty;
    });
  }
  /** Let the pages of a buffer go. */
  unregister(slot: number): void {
    const update = bufferUpdate(slot, 0n);
    setPointer(update, BUFFERS_AT, remoteIovec(0n, 0)); // no length takes the buffer out again
    const args = [REGISTER_BUFFERS_UPDATE, update, update.length];
    const rc = syscall(NR.io_uring_register, this.fd, ...args);
    if (rc < 0) throw new HostError(`a pin could not be released (errno ${-rc})`);
  }

  #inPieces(
    bytes: Uint8Array,
    address: bigint,
    move: (part: Uint8Array, at: bigint) => boolean,
  ): boolean {
    const { room } = this.#pipe;
    for (let done = 0; done < bytes.length; done += room) {
      const part = bytes.subarray(done, done + room);
      if (!this.#again(() => move(part, address + BigInt(done)))) return false;
    }
    return true;
  }
  #again(move: () => boolean): boolean {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (move()) return true;
      this.#pipe.drain();
    }
    return false;
  }

  /** One operation, which the pipe never lets wait. The ring has one entry, so its place is always the first. */
  #operate(opcode: number, fd: number, buffer: { slot: number; at: bigint; length: number }): void {
    const sqe = this.#sqes.fill(0, 0, SQE_SIZE);
    sqe[0] = opcode;
    sqe[1] = SKIP_SUCCESS;
    sqe.writeInt32LE(fd, 4);
    sqe.writeBigUInt64LE(buffer.at, 16);
    sqe.writeUInt32LE(buffer.length, 24);
    sqe.writeUInt32LE(NOWAIT, 28);
    sqe.writeUInt16LE(buffer.slot, 40);
    const queues = this.#queues;
    const sq = (at: number): number => this.#params.readUInt32LE(PARAMS.sqOff + at);
    const tail = queues.readUInt32LE(sq(SQ.tail));
    const place = tail & queues.readUInt32LE(sq(SQ.mask));
    queues.writeUInt32LE(0, sq(SQ.array) + 4 * place);
    queues.writeUInt32LE((tail + 1) >>> 0, sq(SQ.tail));
    this.#forgetCompletions();
    syscall(NR.io_uring_enter, this.fd, 1, 0, ENTER_GETEVENTS, 0, 0);
    // What was not taken, for want of memory, is not to run later.
    queues.writeUInt32LE(queues.readUInt32LE(sq(SQ.head)), sq(SQ.tail));
  }
  /** They are of what has failed, or somebody else has sent them. */
  #forgetCompletions(): void {
    const cq = (at: number): number => this.#params.readUInt32LE(PARAMS.cqOff + at);
    this.#queues.writeUInt32LE(this.#queues.readUInt32LE(cq(CQ.tail)), cq(CQ.head));
  }
}

/** A table of buffers, empty; and from then on nothing but to register them. */
function prepare(fd: number): number {
  const table = Buffer.alloc(32);
  table.writeUInt32LE(MOST_BUFFERS, 0);
  table.writeUInt32LE(RSRC_REGISTER_SPARSE, 4);
  const register = (what: number, given: Buffer | number, length: number): number =>
    syscall(NR.io_uring_register, fd, what, given, length);
  const rc = register(REGISTER.buffers2, table, table.length);
  if (rc < 0) return rc;
  const restricted = register(REGISTER.restrictions, restrictions(), RESTRICTIONS.length);
  return restricted < 0 ? restricted : register(REGISTER.enableRings, 0, 0);
}

/** Of io_uring_setup(): the kernel does not know how queues are kept from others. */
export const TOO_OLD = -HOST_ERRNO.EINVAL;
