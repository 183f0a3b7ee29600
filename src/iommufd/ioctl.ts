/**
 * How a command comes in and goes out: struct in, checked like copy_struct_from_user(), struct out (iommufd.md 1.3, 1.4).
 *
 * One call runs at a time and no handler calls another, so every command keeps one struct for all calls: a call
 * allocates nothing of its own.
 */
import { E2BIG, EFAULT, EINVAL, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse, type Facts } from '../base/refuse.ts';
import type { Fields, Struct, View } from '../base/struct.ts';
import type { Task, UserMemory } from '../base/task.ts';
import { releaseOf } from '../uapi/iommufd-since.ts';
import type { IommufdContext } from './context.ts';
import type { KernelAbi } from './kernel-abi.ts';

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
  offsetOf(field: string): number;
  /** The same command of a kernel whose struct ends there; `beyond` tells of what later kernels have behind. */
  cut(size: number, beyond: Facts): IoctlOp;
  run(ctx: IommufdContext, task: Task, addr: bigint): Result<number>;
}

/** A command, its struct, the last field of the oldest struct still accepted, its handler. */
export function ioctlOp<F extends Fields>(
  command: number,
  layout: Struct<F>,
  last: NoInfer<keyof F>,
  execute: (ucmd: Ucmd<View<F>>) => Status,
): IoctlOp {
  return makeOp({ command, layout, execute, minSize: layout.end(last) }, layout.size, {});
}

interface OpParts<F extends Fields> {
  readonly command: number;
  readonly layout: Struct<F>;
  readonly minSize: number;
  readonly execute: (ucmd: Ucmd<View<F>>) => Status;
}

function makeOp<F extends Fields>(parts: OpParts<F>, size: number, beyond: Facts): IoctlOp {
  const { command, layout, minSize, execute } = parts;
  const whole = new Uint8Array(layout.size);
  const call = new Call(layout.view(whole), whole.subarray(0, size), beyond);
  const run: IoctlOp['run'] = (ctx, task, addr) =>
    call.begin(ctx, task, addr, minSize) ?? execute(call) ?? call.result;
  return {
    command,
    struct: layout.cName,
    size,
    minSize,
    offsetOf: (field) => layout.offsets[field]!,
    cut: (shorter, facts) => makeOp(parts, shorter, facts),
    run: size === layout.size ? run : withZerosBehind(run, whole.subarray(size)),
  };
}

/** To the handler a field its kernel does not have is 0 at every call, whatever the last one left there. */
function withZerosBehind(run: IoctlOp['run'], behind: Uint8Array): IoctlOp['run'] {
  return (ctx, task, addr) => {
    behind.fill(0);
    return run(ctx, task, addr);
  };
}

/** The command as a kernel has it: its struct ends before the first field of later ones. */
export function opFor(op: IoctlOp, abi: KernelAbi): IoctlOp {
  const first = abi.laterFields(op.struct).find(({ before }) => before === 'shorter');
  if (!first) return op;
  const { field, since } = first;
  return op.cut(op.offsetOf(field), { field, kernel: abi.release, since: releaseOf(since) });
}

class Call<Cmd> implements Ucmd<Cmd> {
  readonly cmd: Cmd;
  readonly words: Uint32Array;
  readonly buffer: Uint8Array;
  /** About the fields a caller may know beyond the struct. */
  readonly beyond: Facts;
  #ctx: IommufdContext | undefined;
  #task: Task | undefined;
  #addr = 0n;
  /** The same address. */
  #at = 0;
  #userSize = 0;
  result = 0;

  constructor(cmd: Cmd, buffer: Uint8Array, beyond: Facts) {
    this.beyond = beyond;
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
  readonly beyond: Facts;
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
    const tail = { start: addr + BigInt(buffer.length), length: size - buffer.length };
    const rc = checkZeroTail(mem, tail, into.beyond);
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
function checkZeroTail(
  mem: UserMemory,
  { start, length }: { readonly start: bigint; readonly length: number },
  beyond: Facts,
): Status<'EFAULT' | 'E2BIG'> {
  const page = new Uint8Array(Math.min(length, 4096));
  for (let done = 0; done < length;) {
    const at = start + BigInt(done);
    const part = page.subarray(0, Math.min(length - done, 4096 - Number(at & 0xfffn)));
    if (mem.read(at, part)) return refuse(EFAULT, 'the struct tail is not readable', { at });
    if (part.some((byte) => byte !== 0)) {
      return refuse(E2BIG, 'bytes beyond the known struct are not zero', { at, ...beyond });
    }
    done += part.length;
  }
  return undefined;
}
