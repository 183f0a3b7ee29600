/**
 * A program inside the library, with system calls that throw: open, ioctl, read, write, mmap, eventfd over plain memory.
 */
import { decodeIoctl } from '../uapi/decode.ts';
import { OpenFile } from '../base/file.ts';
import type { Program as KernelProgram } from '../machine/program/program.ts';
import type { MapOptions } from '../machine/program/program-memory.ts';
import type { OpenFlags } from '../machine/files/syscalls.ts';
import { call } from './error.ts';

/** Memory of a program: where it is, and its bytes. */
export interface ProgramBuffer {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** Mapped registers: each load and store is an access of the device. */
export interface RegisterWindow {
  readonly address: bigint;
  /** The value at an offset. */
  load(offset: number, width: 1 | 2 | 4 | 8): bigint;
  /** Write the value at an offset. */
  store(offset: number, width: 1 | 2 | 4 | 8, value: bigint | number): void;
}

/** The argument of an ioctl: a number, or a struct that is copied in and, after the call, out again. */
export type IoctlArg = number | bigint | Uint8Array | { readonly bytes: Uint8Array };

const SCRATCH_BYTES = 0x1_0000;

/** A process inside the library: system calls that throw SoftIommuError. */
export class Program {
  /** The same process with errno values instead of exceptions. */
  readonly kernel: KernelProgram;
  readonly #scratch: ProgramBuffer;

  constructor(kernel: KernelProgram) {
    this.kernel = kernel;
    this.#scratch = this.alloc(SCRATCH_BYTES);
  }
  get pid(): number {
    return this.kernel.pid;
  }

  /** A file descriptor. ENOENT, EACCES, EBUSY: as the file says. */
  open(path: string, flags: Partial<OpenFlags> = {}): number {
    return call(`open ${path}`, () => this.kernel.open(path, flags));
  }
  /** EBADF: it is not open. */
  close(fd: number): void {
    call('close', () => this.kernel.close(fd));
  }
  /** Another descriptor of the same open file. */
  dup(fd: number): number {
    return call('dup', () => this.kernel.dup(fd));
  }
  /** Throws SoftIommuError; the result is the ioctl's own (0, an fd, a count). */
  ioctl(fd: number, request: number, arg: IoctlArg = 0): number {
    const name = this.#commandName(fd, request);
    if (typeof arg === 'number' || typeof arg === 'bigint') {
      return call(name, () => this.kernel.ioctl(fd, request, BigInt(arg)));
    }
    const bytes = arg instanceof Uint8Array ? arg : arg.bytes;
    const { address, bytes: scratch } = this.#scratch;
    scratch.set(bytes);
    try {
      return call(name, () => this.kernel.ioctl(fd, request, address));
    } finally {
      bytes.set(scratch.subarray(0, bytes.length));
    }
  }
  /** pread(2) with an offset, read(2) without; the bytes that were read. */
  read(fd: number, length: number, offset?: bigint): Uint8Array {
    const into = new Uint8Array(length);
    const n = call('read', () => this.kernel.read(fd, into, offset));
    return into.subarray(0, n);
  }
  /** pwrite(2) with an offset, write(2) without; the bytes that were written. */
  write(fd: number, from: Uint8Array, offset?: bigint): number {
    return call('write', () => this.kernel.write(fd, from, offset));
  }

  /** Anonymous memory. */
  alloc(length: number, options: MapOptions = {}): ProgramBuffer {
    const address = call('mmap', () => this.kernel.mmap(length, options));
    return { address, bytes: this.kernel.mem.view(address, length)! };
  }
  /** Memory of a memfd. */
  mmapShared(fd: number, length: number, offset = 0n): ProgramBuffer {
    const address = call('mmap', () => this.kernel.mmap(length, { fd, offset }));
    return { address, bytes: this.kernel.mem.view(address, length)! };
  }
  /** Registers of a device file. An access while memory decoding is off throws EFAULT (a SIGBUS). */
  mmapRegisters(fd: number, length: number, offset: bigint): RegisterWindow {
    const address = call('mmap', () => this.kernel.mmap(length, { fd, offset }));
    return {
      address,
      load: (at, width) => call('load', () => this.kernel.load(address + BigInt(at), width)),
      store: (at, width, value) =>
        call('store', () => this.kernel.store(address + BigInt(at), width, BigInt(value))),
    };
  }
  /** Pages that a device has pinned stay until they are unpinned. */
  munmap(address: bigint, length: number): void {
    call('munmap', () => this.kernel.munmap(address, length));
  }

  /** A descriptor that counts events. */
  eventfd(): number {
    return call('eventfd', () => this.kernel.eventfd());
  }
  /** Wait for an eventfd, letting simulated time pass; its count. */
  waitEventfd(fd: number): bigint {
    return new DataView(this.read(fd, 8).buffer).getBigUint64(0, true);
  }
  /** A file of anonymous memory; huge: of 2 MiB pages. */
  memfd(length: number, huge = false): number {
    return call('memfd_create', () => this.kernel.memfd(length, huge));
  }

  /** A whole small file, as of sysfs. */
  readText(path: string): string {
    const fd = this.open(path, { write: false });
    try {
      return new TextDecoder().decode(this.read(fd, 0x1_0000, 0n));
    } finally {
      this.close(fd);
    }
  }
  /** As `echo TEXT > PATH`. */
  writeText(path: string, text: string): void {
    const fd = this.open(path, { read: false });
    try {
      this.write(fd, new TextEncoder().encode(text));
    } finally {
      this.close(fd);
    }
  }
  /** Names in a directory. */
  readdir(path: string): string[] {
    return call(`readdir ${path}`, () => this.kernel.readdir(path));
  }
  /** Where a symbolic link leads. */
  readlink(path: string): string {
    return call(`readlink ${path}`, () => this.kernel.readlink(path));
  }
  /** Every file is closed and the memory is gone. */
  exit(): void {
    this.kernel.exit();
  }

  #commandName(fd: number, request: number): string {
    const file = this.kernel.getFile(fd);
    const known =
      file instanceof OpenFile ? decodeIoctl(file, this.kernel, request, 0n) : undefined;
    return `ioctl ${known?.command ?? '0x' + request.toString(16)}`;
  }
}
