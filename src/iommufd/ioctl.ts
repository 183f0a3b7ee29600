/**
 * How a command comes in and goes out: struct in, checked like copy_struct_from_user(), struct out (iommufd.md 1.3, 1.4).
 *
 * One call runs at a time and no handler calls another, so every command keeps one struct for all calls: a call
 * allocates nothing of its own.
 */
import { E2BIG, EFAULT, EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Fields, Struct, View } from '../base/struct.ts';
import type { Task, UserMemory } from '../base/task.ts';
import type { IommufdContext } from './context.ts';

/** One call in progress: who calls, the command's struct, and the way back. */
export interface Ucmd<Cmd> {
  readonly ctx: IommufdContext;
  readonly task: Task;
  readonly cmd: Cmd;
  /** The struct as 32-bit words, for the data path. */
  readonly words: Uint32Array;
  /** Copy the struct back, no longer than the caller's own. */
  respond(): Status<'EFAULT'>;
  /** Copy `count` bytes from `at` on back to their place in the caller's struct. */
  respondAt(at: number, count: number): Status<'EFAULT'>;
  /** The return value of ioctl(2) on success, when it is not 0. */
  result: number;
}

export interface IoctlOp {
  readonly command: number;
  readonly struct: string;
  readonly size: number;
  readonly minSize: number;
  /** First kernel that has it. */
  readonly since: string;
  run(ctx: IommufdContext, task: Task, addr: bigint): Result<number>;
}

/** A command, its struct, the last field of the oldest struct still accepted, its handler; since which kernel. */
export function ioctlOp<F extends Fields>(
  command: number,
  layout: Struct<F>,
  last: NoInfer<keyof F>,
  execute: (ucmd: Ucmd<View<F>>) => Status,
  since: string,
): IoctlOp {
  const minSize = layout.end(last);
  const { size } = layout;
  const buffer = new Uint8Array(size);
  const call = new Call(layout.view(buffer), buffer);
  return {
    command,
    struct: layout.cName,
    size,
    minSize,
    since,
    run(ctx, task, addr) {
      return call.begin(ctx, task, addr, minSize) ?? execute(call) ?? call.result;
    },
  };
}

class Call<Cmd> implements Ucmd<Cmd> {
  readonly cmd: Cmd;
  readonly words: Uint32Array;
  readonly buffer: Uint8Array;
  #ctx: IommufdContext | undefined;
  #task: Task | undefined;
  #addr = 0n;
  /** The same address. */
  #at = 0;
  #userSize = 0;
  result = 0;

  constructor(cmd: Cmd, buffer: Uint8Array) {
    this.cmd = cmd;
    this.buffer = buffer;
    this.words = new Uint32Array(buffer.buffer, 0, buffer.length >> 2);
  }
  /** Take in the caller's struct, checked. */
  begin(
    ctx: IommufdContext,
    task: Task,
    addr: bigint,
    minSize: number,
  ): Status<'EFAULT' | 'EINVAL' | 'E2BIG'> {
    const at = Number(addr);
    const { mem } = task;
    // Most callers have the struct we have: one copy does it. Near the end of a mapping it may be too much.
    const failed = mem.readWords ? mem.readWords(at, this.words) : mem.read(addr, this.buffer);
    this.#userSize = this.words[0]!;
    if (failed || this.#userSize !== this.buffer.length) {
      const userSize = readStruct(mem, addr, this, { minSize, whole: !failed });
      if (isErrno(userSize)) return userSize;
      this.#userSize = userSize;
    }
    this.#ctx = ctx;
    this.#task = task;
    this.#addr = addr;
    this.#at = at;
    this.result = 0;
    return undefined;
  }
  get ctx(): IommufdContext {
    return this.#ctx!;
  }
  get task(): Task {
    return this.#task!;
  }
  respond(): Status<'EFAULT'> {
    const { buffer } = this;
    const { mem } = this.task;
    if (this.#userSize >= buffer.length && mem.writeWords)
      return mem.writeWords(this.#at, this.words);
    const out = this.#userSize < buffer.length ? buffer.subarray(0, this.#userSize) : buffer;
    return mem.write(this.#addr, out);
  }
  respondAt(at: number, count: number): Status<'EFAULT'> {
    return this.task.mem.write(this.#addr + BigInt(at), this.buffer.subarray(at, at + count));
  }
}

interface StructBuffer {
  readonly buffer: Uint8Array;
  readonly words: Uint32Array;
}

/** The struct of a caller that has it at another size into the buffer; the result is that size. */
function readStruct(
  mem: UserMemory,
  addr: bigint,
  into: StructBuffer,
  how: { readonly minSize: number; readonly whole: boolean },
): Result<number, 'EFAULT' | 'EINVAL' | 'E2BIG'> {
  const { buffer, words } = into;
  const { minSize, whole } = how;
  if (!whole && mem.read(addr, buffer.subarray(0, 4))) {
    return refuse(EFAULT, 'the struct is not readable', { addr });
  }
  const size = words[0]!;
  if (size < minSize) {
    return refuse(EINVAL, 'size is below the oldest struct', { size, minSize });
  }
  if (size > buffer.length) {
    const rc = checkZeroTail(mem, addr + BigInt(buffer.length), size - buffer.length);
    if (rc) return rc;
  }
  if (!whole) {
    const rc = mem.read(addr, buffer.subarray(0, Math.min(size, buffer.length)));
    if (rc) return refuse(EFAULT, 'the struct is not readable', { addr, size });
  }
  if (size < buffer.length) buffer.fill(0, size);
  return size;
}

/** Page by page, so that a non-zero byte before a hole is found before the hole. */
export function checkZeroTail(
  mem: UserMemory,
  addr: bigint,
  length: number,
): Status<'EFAULT' | 'E2BIG'> {
  const page = new Uint8Array(Math.min(length, 4096));
  for (let done = 0; done < length;) {
    const at = addr + BigInt(done);
    const part = page.subarray(0, Math.min(length - done, 4096 - Number(at & 0xfffn)));
    if (mem.read(at, part)) return refuse(EFAULT, 'the struct tail is not readable', { at });
    if (part.some((byte) => byte !== 0)) {
      return refuse(E2BIG, 'bytes beyond the known struct are not zero', { at });
    }
    done += part.length;
  }
  return undefined;
}
