/**
 * The kernel's front door: what happens around a file operation, for real programs (host/) and in-process ones alike.
 *
 * Defaults of absent operations, file modes and positions, the guard against Bugs, and the one place where calls are
 * entered and left in the event stream. A call that returns a WaitQueue is not answered yet: run it again, or give it up.
 */
import type { Call } from '../../base/call.ts';
import {
  EAGAIN,
  EBADF,
  EINTR,
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
  type Mapping,
  type MmapRequest,
  type MmioWindow,
  type OpenFile,
  type UserBuffer,
} from '../../base/file.ts';
import type { CallEnd, CallInfo } from '../../base/events.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { listening, refuse, type Refusal } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import { WaitQueue, type Outcome } from '../../base/wait-queue.ts';
import { IoctlLook, setField } from '../../uapi/decode.ts';
import {
  bufferOf,
  infoOf,
  mmapArgs,
  openFlagText,
  readOnce,
  transferArgs,
  type CallName,
  type OpenFlags,
} from './call-info.ts';
import { CallFaults, type CallFaultPolicy } from './call-faults.ts';
import type { Guard } from './guard.ts';
import type { AttrNode, Openable } from './nodes.ts';

export type { OpenFlags } from './call-info.ts';

/** What it says of itself when somebody listens: asked before the call, and for `after` once it is answered. */
interface Telling<T> {
  readonly before?: () => Pick<CallInfo, 'command' | 'args'>;
  readonly after?: (result: T | Errno<'EIO'>) => CallEnd['after'];
  /** Of an ioctl: change its struct. */
  readonly setField?: (name: string, value: bigint) => Status<'EFAULT'>;
  /** Filled while it runs. */
  readonly marks?: Pick<CallEnd, 'injected' | 'delayed'>;
}
/** A call that has not been answered yet. A thread sleeps in one call only. */
interface Asleep {
  readonly task: Task;
  readonly call: Call;
}

/** The system calls on files of the machine, as both doors make them. */
export class Syscalls {
  readonly #env: KernelEnv;
  readonly #guard: Guard;
  /** By thread. */
  readonly #asleep = new Map<number, Asleep>();
  /** Threads whose call waits for somebody. */
  readonly #waiting = new Set<number>();
  /** Of these one attempt more is made for a caller that is gone. */
  readonly #diedAsleep = new Set<number>();
  #current: CallName | undefined;
  /** Of a machine whose calls may be disturbed. */
  readonly #faults: CallFaults | undefined;

  constructor(env: KernelEnv, guard: Guard, faults?: CallFaultPolicy) {
    this.#env = env;
    this.#guard = guard;
    this.#faults = faults && new CallFaults(env, faults);
  }

  /**
   * openat(2) of a node with a file of its own, which starts with one reference, the caller's. `install` gives it to the
   * caller; what it returns is the result, and a number is the descriptor.
   */
  open<T>(
    task: Task,
    node: Openable,
    at: { readonly path: string; readonly flags: OpenFlags },
    install: (file: OpenFile) => T,
  ): T | Errno {
    const { path, flags } = at;
    const run = (): T | Errno => {
      const file = node.open(task, flags);
      if (isErrno(file)) return file;
      file.openedFor(flags);
      return install(file);
    };
    return this.#call({ pid: task.pid, task, name: 'openat', file: path }, run, {
      before: () => ({ args: { flags: openFlagText(flags) } }),
    });
  }

  /**
   * openat(2) found nothing, or not what it may open: whoever listens is told. The errno as it was given. `again`: the same
   * look once more, to hear by which rule.
   */
  openRefused<E extends Errno>(task: Task, path: string, errno: E, again: () => unknown): E {
    const { trace } = this.#env;
    if (!trace.heedsTroubles) return errno;
    const refusals: Refusal[] = [];
    listening((refusal) => refusals.push(refusal), again);
    const info = { what: 'syscall', pid: task.pid, name: 'openat', file: path } as const;
    this.#env.runAs(task, () => trace.ended(info, { result: errno, refusals }));
    return errno;
  }

  /** ioctl(2): the request is cut to 32 bits, as the kernel does. `fd`: the caller's, for traces; here and below. */
  ioctl(
    task: Task,
    file: OpenFile,
    request: bigint,
    arg: bigint,
    fd?: number,
  ): Outcome<Result<number>> {
    const cmd = Number(BigInt.asUintN(32, request));
    let look: IoctlLook | undefined;
    return this.#call(
      { pid: task.pid, task, name: 'ioctl', request: cmd, fd, ...named(file) },
      () =>
        file.ops.ioctl?.(file, task, cmd, arg) ??
        refuse(ENOTTY, 'this file has no ioctl at all', { file: file.name }),
      {
        before: () =>
          (look ??= new IoctlLook(file, task, cmd, arg)).before() ?? { command: hex(cmd) },
        after: () => look?.after(),
        setField: (field, value) => setField({ file, task, cmd, arg }, field, value),
      },
    );
  }

  /** read(2) when `offset` is undefined, else pread(2). EAGAIN: it would wait, and the file is not to. */
  read(
    task: Task,
    file: OpenFile,
    into: Uint8Array | UserBuffer,
    offset: bigint | undefined,
    fd?: number,
  ): Outcome<Result<number>> {
    const name = offset === undefined ? 'read' : 'pread64';
    const at = this.#place(file, offset);
    const run = (): Outcome<Result<number>> => {
      if (!file.readable) return refuse(EBADF, 'the file was not opened for reading');
      if (offset !== undefined && file.ops.stream) return noPosition(file);
      if (!file.ops.read) return refuse(EINVAL, 'this file cannot be read', { file: file.name });
      return advance(file, offset, file.ops.read(file, task, bufferOf(into), at));
    };
    return this.#call(
      { pid: task.pid, task, name, fd, ...named(file) },
      () => unlessNonblocking(file, run()),
      {
        before: () => ({ args: transferArgs(into.length, at) }),
        after: (got) =>
          typeof got === 'number'
            ? { ...this.#dataOf(into, got), ...transferArgs(into.length, at) }
            : undefined,
      },
    );
  }

  /** write(2) when `offset` is undefined, else pwrite(2). */
  write(
    task: Task,
    file: OpenFile,
    from: Uint8Array | UserBuffer,
    offset: bigint | undefined,
    fd?: number,
  ): Outcome<Result<number>> {
    const name = offset === undefined ? 'write' : 'pwrite64';
    const at = this.#place(file, offset);
    return this.#call(
      { pid: task.pid, task, name, fd, ...named(file) },
      () => {
        if (!file.writable) return refuse(EBADF, 'the file was not opened for writing');
        if (offset !== undefined && file.ops.stream) return noPosition(file);
        if (!file.ops.write)
          return refuse(EINVAL, 'this file cannot be written', { file: file.name });
        return advance(file, offset, file.ops.write(file, task, bufferOf(from), at));
      },
      {
        before: () => ({
          args: { ...this.#dataOf(from, from.length), ...transferArgs(from.length, at) },
        }),
      },
    );
  }

  mmap(task: Task, file: OpenFile, request: MmapRequest, fd?: number): Result<Mapping> {
    return this.#call(
      { pid: task.pid, task, name: 'mmap', fd, ...named(file) },
      () =>
        file.ops.mmap?.(file, task, request) ??
        refuse(ENODEV, 'this file cannot be mapped', { file: file.name }),
      { before: () => ({ args: mmapArgs(request) }) },
    );
  }

  /** One reference of `pid` goes: an fd, or the file of a dying process. */
  close(pid: number, file: OpenFile, fd?: number): Status<'EIO'> {
    return this.#call({ pid, name: 'close', fd, ...named(file) }, () => {
      file.put();
      return undefined;
    });
  }

  readAttr(task: Task, path: string, node: AttrNode): Result<Uint8Array> {
    return this.#call({ pid: task.pid, task, name: 'read', file: path }, () => node.read(task), {
      before: () => ({ args: {} }),
      after: (text) =>
        text instanceof Uint8Array ? { data: text.slice(0, this.#env.trace.dataBytes) } : undefined,
    });
  }

  writeAttr(
    task: Task,
    path: string,
    node: AttrNode,
    data: Uint8Array,
    offset = 0,
  ): Outcome<Result<number>> {
    const run = (): Outcome<Result<number>> => {
      if (!node.write) return refuse(EINVAL, 'the attribute cannot be written', { path });
      // sysfs calls nobody for nothing.
      return data.length === 0 ? 0 : node.write(task, data, offset);
    };
    return this.#call({ pid: task.pid, task, name: 'write', file: path }, run, {
      before: () => ({
        args: { data: data.slice(0, this.#env.trace.dataBytes), length: data.length },
      }),
    });
  }

  /** A load from mapped registers. EIO: a Bug in the device or below; the bus would give all ones. */
  load(pid: number, window: MmioWindow, offset: number, width: number): Result<bigint, 'EIO'> {
    const run = (): Result<bigint, 'EIO'> =>
      this.#guard.run(
        () => `a ${width}-byte load from ${window.name} + ${hex(offset)}`,
        () => window.load(offset, width),
      );
    if (!this.#env.trace.on) return run();
    const args = { offset, width };
    return this.#access({ what: 'access', pid, name: 'load', file: window.name, args }, run);
  }
  /** A store to mapped registers. EIO: as for a load. */
  store(
    pid: number,
    window: MmioWindow,
    offset: number,
    width: number,
    value: bigint,
  ): Status<'EIO'> {
    const run = (): Status<'EIO'> =>
      this.#guard.run(
        () => `a ${width}-byte store to ${window.name} + ${hex(offset)}`,
        () => {
          window.store(offset, width, value);
          return undefined;
        },
      );
    if (!this.#env.trace.hears.store) return run();
    const args = { offset, width, value };
    return this.#access({ what: 'access', pid, name: 'store', file: window.name, args }, run);
  }

  /** The call that this thread sleeps in will not be run again: its caller is gone, or was answered with `errno`. */
  giveUp(tid: number, errno: Errno = EINTR): void {
    this.#faults?.giveUp(tid);
    const asleep = this.#asleep.get(tid);
    if (!asleep) return;
    this.#asleep.delete(tid);
    this.#env.trace.leave(asleep.call, { result: errno });
  }

  /** The first of `length` bytes; none where the program's memory cannot be read. */
  #dataOf(buffer: Uint8Array | UserBuffer, length: number): { data?: Uint8Array } {
    const most = Math.min(length, buffer.length, this.#env.trace.dataBytes);
    const data = new Uint8Array(most);
    return bufferOf(buffer).copyFrom(0, data) ? {} : { data };
  }
  #place(file: OpenFile, offset: bigint | undefined): bigint | undefined {
    return offset ?? (file.ops.stream ? undefined : file.position);
  }

  /** Run a call in the name of its task: those who hear of it may ask whose it is. */
  #call<T>(name: CallName, run: () => T, telling: Telling<T> = {}): T | Errno<'EIO'> {
    const faults = name.task && this.#faults;
    const outer = this.#current;
    this.#current = name;
    try {
      return this.#env.runAs(name.task, () =>
        faults
          ? this.#disturbed(faults, name, run, readOnce(telling))
          : this.#told(name, run, telling),
      );
    } finally {
      this.#current = outer;
    }
  }
  /** The call that goes on, without what it was asked. Undefined: none, but a timer or what was there at boot. */
  get current(): CallInfo | undefined {
    return this.#current && infoOf(this.#current, {});
  }
  /** The same where a policy is asked first. */
  #disturbed<T>(
    faults: CallFaults,
    name: CallName,
    run: () => T,
    telling: Telling<T>,
  ): T | Errno<'EIO'> {
    const marks: { injected?: true; delayed?: true } = {};
    const disturbed = (): T => {
      const { result, injected, delayed } = faults.run(name.task!, {
        info: () => infoOf(name, telling),
        work: run,
        setField: telling.setField,
      });
      if (injected) marks.injected = true;
      if (delayed) marks.delayed = true;
      // cast: a policy puts into the place of a result only what the call could have given
      return result as T;
    };
    return this.#told(name, disturbed, { ...telling, marks });
  }
  /** Between its two events, when somebody listens. */
  #told<T>(name: CallName, run: () => T, telling: Telling<T>): T | Errno<'EIO'> {
    const { trace } = this.#env;
    const guarded = (): T | Errno<'EIO'> =>
      this.#guard.run(() => `${name.name}(${name.file})`, run);
    const woken = this.#woken(name.task);
    const heard = woken ? 'whole' : trace.hearsCall(name.name, name.request);
    if (heard === 'end') return this.#ended(name, guarded, telling);
    if (!heard) return trace.heedsTroubles ? this.#heeded(name, guarded, telling) : guarded();
    const call = woken ?? trace.enter(infoOf(name, telling));
    const result = trace.inside(call, guarded);
    if (result instanceof WaitQueue && name.task) {
      this.#asleep.set(name.task.tid, { task: name.task, call });
      trace.inside(call, () => this.#heedSleep(result, name, telling));
      return result;
    }
    this.#heedSleep(result, name, telling);
    const after = call.info.args && telling.after?.(result);
    trace.leave(call, { ...(after && { after }), ...resultOf(result), ...telling.marks });
    return result;
  }
  /** Somebody wants to hear of it if it fails, or does nothing: what it was asked is read only then. */
  #heeded<T>(name: CallName, run: () => T, telling: Pick<Telling<T>, 'before' | 'marks'>): T {
    const refusals: Refusal[] = [];
    const result = listening((refusal) => refusals.push(refusal), run);
    const remarks = this.#env.trace.takeRemarks();
    this.#heedSleep(result, name, telling);
    if (isErrno(result)) {
      this.#env.trace.ended(infoOf(name, telling), { result, refusals, ...telling.marks });
    } else if (remarks) {
      const end = { ...resultOf(result), refusals, remarks, ...telling.marks };
      this.#env.trace.ended(infoOf(name, telling), end);
    }
    return result;
  }
  /** Somebody wants to hear how it ends. */
  #ended<T>(name: CallName, run: () => T | Errno<'EIO'>, telling: Telling<T>): T | Errno<'EIO'> {
    const { trace } = this.#env;
    const info = infoOf(name, telling);
    const refusals: Refusal[] = [];
    const result = listening((refusal) => refusals.push(refusal), run);
    const remarks = trace.takeRemarks();
    this.#heedSleep(result, name, telling);
    if (result instanceof WaitQueue) return result; // it is made again
    const after = info.args && telling.after?.(result);
    const more = { ...(after && { after }), ...(remarks && !isErrno(result) && { remarks }) };
    trace.heard(info, { ...resultOf(result), ...more, ...telling.marks, refusals });
    return result;
  }
  /** A call that waits for somebody has said for whom; or it has ended. */
  #heedSleep(result: unknown, name: CallName, telling: Pick<Telling<never>, 'before'>): void {
    const why = result instanceof WaitQueue ? result.why?.() : undefined;
    const tid = name.task?.tid ?? name.pid;
    if (!why) {
      if (this.#waiting.size > 0 && !this.#diedAsleep.delete(tid)) this.#waiting.delete(tid);
      return;
    }
    this.#waiting.add(tid);
    this.#env.trace.emit({ kind: 'sleep', ...infoOf(name, telling), why });
  }
  /** Its caller was gone before anything woke its call: it has waited to its end, however the call ends now. */
  diedAsleep(tid: number): void {
    if (this.#waiting.has(tid)) this.#diedAsleep.add(tid);
  }
  /** Does this thread wait for somebody in a call, or has it died so? Known while somebody listens. */
  isWaiting(tid: number): boolean {
    return this.#waiting.has(tid);
  }
  /** The call that its caller slept in and that is run again. */
  #woken(task: Task | undefined): Call | undefined {
    const asleep = task && this.#asleep.get(task.tid);
    if (!asleep) return undefined;
    if (asleep.task === task) {
      this.#asleep.delete(task.tid);
      return asleep.call;
    }
    this.giveUp(task.tid); // the thread is in another call meanwhile
    return undefined;
  }

  #access<T>(info: CallInfo, run: () => T): T {
    const { trace } = this.#env;
    const call = trace.enter(info);
    const result = trace.inside(call, run);
    trace.leave(call, resultOf(result));
    return result;
  }
}

function named({ name, device }: OpenFile): Pick<CallName, 'file' | 'device'> {
  return { file: name, device };
}
/** Where a mapping goes is decided after the call: it has no result yet. */
function resultOf(result: unknown): Pick<CallEnd, 'result'> {
  if (isErrno(result) || typeof result === 'number') return { result };
  if (result instanceof Uint8Array) return { result: result.length };
  return result === undefined ? { result: 0 } : {};
}
/** What would wait is refused at once. */
function unlessNonblocking(
  file: OpenFile,
  result: Outcome<Result<number>>,
): Outcome<Result<number>> {
  if (!(result instanceof WaitQueue) || !file.nonblocking) return result;
  return refuse(EAGAIN, 'nothing to read yet', { file: file.name });
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
