/**
 * The kernel's front door: what happens around a file operation, for real programs (host/) and in-process ones alike.
 *
 * Defaults of absent operations, file modes and positions, the guard against Bugs, and one 'syscall' trace event per
 * answered call with the refusals met inside. A call that returns a WaitQueue is not answered yet: run it again.
 */
import {
  EBADF,
  EINVAL,
  ENODEV,
  ENOTTY,
  ESPIPE,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import {
  plainBuffer,
  type Mapping,
  type MmapRequest,
  type MmioWindow,
  type OpenFile,
  type UserBuffer,
} from '../../base/file.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { listening, refuse, type Refusal } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';
import { decodeIoctl } from '../../uapi/decode.ts';
import type { Guard } from './guard.ts';
import type { AttrNode, DeviceNode } from './nodes.ts';

export interface OpenFlags {
  readonly read: boolean;
  readonly write: boolean;
  readonly nonblocking: boolean;
}

type Named = Readonly<Record<string, unknown>>;

interface Details {
  readonly command: string;
  readonly args?: Named;
  readonly after?: Named;
}

/** What a call is called in the trace. */
interface CallName {
  readonly pid: number;
  readonly name: string;
  readonly file: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

export class Syscalls {
  readonly #env: KernelEnv;
  readonly #guard: Guard;

  constructor(env: KernelEnv, guard: Guard) {
    this.#env = env;
    this.#guard = guard;
  }

  /** openat(2) of a device node. The file starts with one reference, the caller's. */
  open(task: Task, node: DeviceNode, path: string, flags: OpenFlags): Result<OpenFile> {
    return this.#call({ pid: task.pid, name: 'openat', file: path }, () => {
      const file = node.open(task, flags);
      if (!isErrno(file)) file.nonblocking = flags.nonblocking;
      return file;
    });
  }

  /** ioctl(2): the request is cut to 32 bits, as the kernel does. */
  ioctl(task: Task, file: OpenFile, request: bigint, arg: bigint): Outcome<Result<number>> {
    const cmd = Number(BigInt.asUintN(32, request));
    const listened = this.#env.trace.on;
    const before = listened ? decodeIoctl(file, task, cmd, arg) : undefined;
    return this.#call(
      { pid: task.pid, name: 'ioctl', file: file.name },
      () =>
        file.ops.ioctl?.(file, task, cmd, arg) ??
        refuse(ENOTTY, 'this file has no ioctl at all', { file: file.name }),
      () => ({
        command: before?.command ?? hex(cmd),
        ...(before?.args && { args: before.args }),
        ...(before?.args && { after: decodeIoctl(file, task, cmd, arg)?.args ?? {} }),
      }),
    );
  }

  /** read(2) when `offset` is undefined, else pread(2). */
  read(
    task: Task,
    file: OpenFile,
    into: Uint8Array | UserBuffer,
    offset: bigint | undefined,
  ): Outcome<Result<number>> {
    const name = offset === undefined ? 'read' : 'pread64';
    const at = this.#place(file, offset);
    const args = { length: into.length, ...(at !== undefined && { offset: at }) };
    return this.#call({ pid: task.pid, name, file: file.name, args }, () => {
      if (!file.readable) return refuse(EBADF, 'the file was not opened for reading');
      if (offset !== undefined && file.ops.stream) return noPosition(file);
      if (!file.ops.read) return refuse(EINVAL, 'this file cannot be read', { file: file.name });
      return advance(file, offset, file.ops.read(file, task, bufferOf(into), at));
    });
  }

  /** write(2) when `offset` is undefined, else pwrite(2). */
  write(
    task: Task,
    file: OpenFile,
    from: Uint8Array | UserBuffer,
    offset: bigint | undefined,
  ): Outcome<Result<number>> {
    const name = offset === undefined ? 'write' : 'pwrite64';
    const at = this.#place(file, offset);
    const args = { length: from.length, ...(at !== undefined && { offset: at }) };
    return this.#call({ pid: task.pid, name, file: file.name, args }, () => {
      if (!file.writable) return refuse(EBADF, 'the file was not opened for writing');
      if (offset !== undefined && file.ops.stream) return noPosition(file);
      if (!file.ops.write)
        return refuse(EINVAL, 'this file cannot be written', { file: file.name });
      return advance(file, offset, file.ops.write(file, task, bufferOf(from), at));
    });
  }

  mmap(task: Task, file: OpenFile, request: MmapRequest): Result<Mapping> {
    const args = { offset: request.offset, length: request.length };
    return this.#call({ pid: task.pid, name: 'mmap', file: file.name, args }, () => {
      if (!file.ops.mmap) return refuse(ENODEV, 'this file cannot be mapped', { file: file.name });
      return file.ops.mmap(file, task, request);
    });
  }

  /** One reference of `pid` goes: an fd, or the file of a dying process. */
  close(pid: number, file: OpenFile): Status<'EIO'> {
    return this.#call({ pid, name: 'close', file: file.name }, () => {
      file.put();
      return undefined;
    });
  }

  readAttr(task: Task, path: string, node: AttrNode): Result<Uint8Array> {
    return this.#call({ pid: task.pid, name: 'read', file: path }, () => node.read(task));
  }

  writeAttr(
    task: Task,
    path: string,
    node: AttrNode,
    data: Uint8Array,
    offset = 0,
  ): Outcome<Result<number>> {
    const args = { data: new TextDecoder().decode(data.subarray(0, 64)).trimEnd() };
    return this.#call({ pid: task.pid, name: 'write', file: path, args }, () => {
      if (!node.write) return refuse(EINVAL, 'the attribute cannot be written', { path });
      return node.write(task, data, offset);
    });
  }

  /** A load from mapped registers. EIO: a Bug in the device or below; the bus would give all ones. */
  load(window: MmioWindow, offset: number, width: number): Result<bigint, 'EIO'> {
    return this.#guard.run(
      () => `a ${width}-byte load from ${window.name} + ${hex(offset)}`,
      () => window.load(offset, width),
    );
  }
  store(
    window: MmioWindow,
    offset: number,
    width: number,
    value: bigint,
  ): Result<undefined, 'EIO'> {
    return this.#guard.run(
      () => `a ${width}-byte store to ${window.name} + ${hex(offset)}`,
      () => {
        window.store(offset, width, value);
        return undefined;
      },
    );
  }

  #place(file: OpenFile, offset: bigint | undefined): bigint | undefined {
    return offset ?? (file.ops.stream ? undefined : file.position);
  }

  #call<T>(call: CallName, run: () => T, details?: () => Details): T | Errno<'EIO'> {
    const refusals: Refusal[] = [];
    const trace = this.#env.trace;
    const during = (): string => `${call.name}(${call.file})`;
    const result = listening(
      (refusal) => refusals.push(refusal),
      () => this.#guard.run(during, run),
    );
    if (trace.on && !(result instanceof WaitQueue)) {
      const answer = { ...call, ...details?.(), ...answerOf(result) };
      trace.emit({ kind: 'syscall', ...answer, refusals });
    }
    this.lastRefusals = refusals;
    return result;
  }

  /** Refusals of the latest call, innermost first: what an error message of the library says. */
  lastRefusals: readonly Refusal[] = [];
}

/** Which descriptor a file gets and where a mapping goes is decided after the call: they have no result yet. */
function answerOf(result: unknown): { readonly result?: number | Errno } {
  if (isErrno(result) || typeof result === 'number') return { result };
  if (result instanceof Uint8Array) return { result: result.length };
  return result === undefined ? { result: 0 } : {};
}

function bufferOf(buffer: Uint8Array | UserBuffer): UserBuffer {
  return buffer instanceof Uint8Array ? plainBuffer(buffer) : buffer;
}

function noPosition(file: OpenFile): Errno<'ESPIPE'> {
  return refuse(ESPIPE, 'a stream has no positions', { file: file.name });
}

function advance(
  file: OpenFile,
  offset: bigint | undefined,
  result: Outcome<Result<number>>,
): Outcome<Result<number>> {
  if (offset === undefined && typeof result === 'number') file.position += BigInt(result);
  return result;
}
