/**
 * An io_uring whose registered buffers are pages of programs: the kernel keeps such a page for as long
 * as it is registered, whatever becomes of the mapping and the process. Layouts are those of linux/io_uring.h.
 *
 * A program registers its own pages, by a call made in its name; reads and writes are ours, through a memfd.
 */
import { setPointer, syscall, viewOf } from './ffi.ts';
import * as libc from './libc.ts';
import { remoteIovec } from './libc.ts';
import { HOST_ERRNO, NR, PROT_READ_WRITE } from './numbers.ts';

const REGISTER_BUFFERS2 = 15;
/** IORING_REGISTER_BUFFERS_UPDATE */
export const REGISTER_BUFFERS_UPDATE = 16;
const RSRC_REGISTER_SPARSE = 1;
const ENTER_GETEVENTS = 1;
const OP_READ_FIXED = 4;
const OP_WRITE_FIXED = 5;

/** IORING_MAX_REG_BUFFERS */
export const MOST_BUFFERS = 1 << 14;
/** One buffer may have that many bytes. */
export const LONGEST_BUFFER = 1 << 30;

const PARAMS_SIZE = 120;
const PARAMS = { sqEntries: 0, cqEntries: 4, sqOff: 40, cqOff: 80 } as const;
const SQ = { tail: 4, mask: 8, array: 24 } as const;
const CQ = { head: 0, mask: 8, cqes: 20 } as const;
const SQE_SIZE = 64;
const CQE_SIZE = 16;
const MAP_SQ_RING = 0n;
const MAP_CQ_RING = 0x8000000n;
const MAP_SQES = 0x10000000n;
const MAP_SHARED_POPULATE = 0x8001;
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

/** A ring whose registered buffers are pinned pages. */
export class IoUring {
  readonly fd: number;
  readonly #window: number;
  readonly #params: Buffer;
  readonly #sq: Buffer;
  readonly #cq: Buffer;
  readonly #sqes: Buffer;

  /** Minus the errno when this host has none, or forbids it. */
  static open(): IoUring | number {
    const params = Buffer.alloc(PARAMS_SIZE);
    const fd = syscall(NR.io_uring_setup, 1, params);
    if (fd < 0) return fd;
    libc.setCloexec(fd, true);
    const table = Buffer.alloc(32);
    table.writeUInt32LE(MOST_BUFFERS, 0);
    table.writeUInt32LE(RSRC_REGISTER_SPARSE, 4);
    const rc = syscall(NR.io_uring_register, fd, REGISTER_BUFFERS2, table, table.length);
    const window = rc < 0 ? rc : libc.memfdCreate('softiommu-dma', libc.MFD_CLOEXEC);
    if (window < 0) {
      libc.close(fd);
      return window;
    }
    return new IoUring(fd, window, params);
  }
  private constructor(fd: number, window: number, params: Buffer) {
    this.fd = fd;
    this.#window = window;
    this.#params = params;
    const entries = (at: number): number => params.readUInt32LE(at);
    this.#sq = this.#map(MAP_SQ_RING, this.#sqField(SQ.array) + entries(PARAMS.sqEntries) * 4);
    const cqes = entries(PARAMS.cqEntries) * CQE_SIZE;
    this.#cq = this.#map(MAP_CQ_RING, this.#cqField(CQ.cqes) + cqes);
    this.#sqes = this.#map(MAP_SQES, entries(PARAMS.sqEntries) * SQE_SIZE);
  }
  close(): void {
    libc.close(this.#window);
    libc.close(this.fd);
  }

  /** Bytes of a registered buffer from `address` on: false when the kernel will not. */
  read(slot: number, address: bigint, into: Uint8Array): boolean {
    return this.#inWindows(into, address, (part, at) => {
      if (this.#operate(OP_WRITE_FIXED, slot, at, part.length) !== part.length) return false;
      return libc.pread(this.#window, part, 0) === part.length;
    });
  }
  write(slot: number, address: bigint, from: Uint8Array): boolean {
    return this.#inWindows(from, address, (part, at) => {
      if (libc.pwrite(this.#window, part, 0) !== part.length) return false;
      return this.#operate(OP_READ_FIXED, slot, at, part.length) === part.length;
    });
  }
  /** Let the pages of a buffer go. */
  unregister(slot: number): void {
    const update = bufferUpdate(slot, 0n);
    setPointer(update, BUFFERS_AT, remoteIovec(0n, 0)); // no length takes the buffer out again
    const args = [REGISTER_BUFFERS_UPDATE, update, update.length];
    const rc = syscall(NR.io_uring_register, this.fd, ...args);
    if (rc < 0) throw new Error(`a pin could not be released (errno ${-rc})`);
  }

  #inWindows(
    bytes: Uint8Array,
    address: bigint,
    move: (part: Uint8Array, at: bigint) => boolean,
  ): boolean {
    for (let done = 0; done < bytes.length; done += WINDOW) {
      if (!move(bytes.subarray(done, done + WINDOW), address + BigInt(done))) return false;
    }
    return true;
  }

  /** One operation, until it is done; the result is its own. The ring has one entry, so its place is always the first. */
  #operate(opcode: number, slot: number, address: bigint, length: number): number {
    const sqe = this.#sqes.fill(0, 0, SQE_SIZE);
    sqe[0] = opcode;
    sqe.writeInt32LE(this.#window, 4);
    sqe.writeBigUInt64LE(address, 16);
    sqe.writeUInt32LE(length, 24);
    sqe.writeUInt16LE(slot, 40);
    const tailAt = this.#sqField(SQ.tail);
    const tail = this.#sq.readUInt32LE(tailAt);
    this.#sq.writeUInt32LE(0, this.#sqField(SQ.array) + 4 * (tail & this.#sqMask()));
    this.#sq.writeUInt32LE((tail + 1) >>> 0, tailAt);
    const rc = this.#enter();
    return rc < 0 ? rc : this.#completion();
  }
  #enter(): number {
    for (let submit = 1; ;) {
      const rc = syscall(NR.io_uring_enter, this.fd, submit, 1, ENTER_GETEVENTS, 0, 0);
      if (rc !== -HOST_ERRNO.EINTR) return rc;
      submit = 0; // a ptrace stop of a program came in between
    }
  }
  #completion(): number {
    const headAt = this.#cqField(CQ.head);
    const head = this.#cq.readUInt32LE(headAt);
    const place = head & this.#cq.readUInt32LE(this.#cqField(CQ.mask));
    const result = this.#cq.readInt32LE(this.#cqField(CQ.cqes) + place * CQE_SIZE + 8);
    this.#cq.writeUInt32LE((head + 1) >>> 0, headAt);
    return result;
  }
  #sqMask(): number {
    return this.#sq.readUInt32LE(this.#sqField(SQ.mask));
  }
  #sqField(at: number): number {
    return this.#params.readUInt32LE(PARAMS.sqOff + at);
  }
  #cqField(at: number): number {
    return this.#params.readUInt32LE(PARAMS.cqOff + at);
  }
  #map(offset: bigint, length: number): Buffer {
    const flags = [PROT_READ_WRITE, MAP_SHARED_POPULATE, this.fd, offset] as const;
    return viewOf(syscall(NR.mmap, 0, length, ...flags), length);
  }
}
