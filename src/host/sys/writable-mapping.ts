/**
 * A file that we have mapped, to write it after it was sealed against writes to come: mappings made before may.
 *
 * It is written by its address, never touched: a page that the file has no more is an errno then, and no signal.
 */
import { syscall } from './ffi.ts';
import { iovec, remoteIovec } from './libc.ts';
import { MAP_SHARED, NR } from './numbers.ts';

const PROT_READ_WRITE = 3;

/** The first bytes of a file, mapped until its end(). */
export class WritableMapping {
  readonly #at: number;
  readonly #length: number;

  /** Undefined: the host does not allow it, or the file is empty. */
  static of(fd: number, length: number): WritableMapping | undefined {
    const at = syscall(NR.mmap, 0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    return at < 0 ? undefined : new WritableMapping(at, length);
  }
  private constructor(at: number, length: number) {
    this.#at = at;
    this.#length = length;
  }
  /** False: it is not mapped so far, or the file has no such page now. */
  write(offset: bigint, from: Uint8Array): boolean {
    const { length } = from;
    if (offset + BigInt(length) > BigInt(this.#length)) return false;
    const to = remoteIovec(BigInt(this.#at) + offset, length);
    return syscall(NR.process_vm_writev, process.pid, iovec(from), 1, to, 1, 0) === length;
  }
  end(): void {
    syscall(NR.munmap, this.#at, this.#length);
  }
}
