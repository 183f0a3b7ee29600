/**
 * Calls that are made to fail, or to take their time: what a policy says of each, carried out around the call.
 *
 * A delay is a sleep as any other: the call returns the queue it waits on and is run again when the clock has come so far.
 * So the wait loop never waits for it.
 */
import { isErrno, type Errno, type Status } from '../../base/errno.ts';
import type { CallInfo } from '../../base/events.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { WaitQueue } from '../../base/wait-queue.ts';

/** What is to happen to one call. */
export interface CallFault {
  /** Nanoseconds before the work and behind it. */
  readonly delayEnterNs: number;
  readonly delayExitNs: number;
  /** In place of the call's own result. */
  readonly result: Errno | number | undefined;
  /** The work is done before the result is put in its place; a call that fails by itself keeps its errno. */
  readonly after: boolean;
  /** What the fields of an ioctl's struct say when it is over. */
  readonly fields: readonly (readonly [name: string, value: bigint])[];
  /** Numbers of signals the caller's thread gets when the call begins. */
  readonly signals: readonly number[];
  /** Who asked for it, for people. */
  readonly by: string;
}
/** Says of each call what is to happen to it. */
export interface CallFaultPolicy {
  /** Asked once a call, when it begins. Undefined: nothing. */
  faultOf(call: CallInfo, task: Task): CallFault | undefined;
  /** Send a signal to the thread. */
  signal(task: Task, signal: number): void;
}

/** What has become of a call. */
interface FaultedCall<T> {
  readonly result: T | Errno | number | WaitQueue;
  /** Its result is not its own, or a signal was sent. */
  readonly injected: boolean;
  readonly delayed: boolean;
}

/** A call as it is to be run. */
interface RunningCall<T> {
  /** Asked when it begins. */
  readonly info: () => CallInfo;
  readonly work: () => T;
  /** Change its struct, of an ioctl that has one. */
  readonly setField?: ((name: string, value: bigint) => Status<'EFAULT'>) | undefined;
}

/** A call that goes on. */
interface Going {
  readonly task: Task;
  readonly fault: CallFault | undefined;
  stage: 'begun' | 'entered' | 'left';
  injected: boolean;
  result?: unknown;
}

/** The calls of one machine whose policy may disturb them. */
export class CallFaults {
  readonly #env: KernelEnv;
  readonly #policy: CallFaultPolicy;
  /** Calls that sleep, by thread. */
  readonly #asleep = new Map<number, Going>();

  constructor(env: KernelEnv, policy: CallFaultPolicy) {
    this.#env = env;
    this.#policy = policy;
  }

  /** Run a call, or what is left of it after a sleep. */
  run<T>(task: Task, { info, work, setField }: RunningCall<T>): FaultedCall<T> {
    const going = this.#going(task) ?? this.#begin(task, info());
    const isBefore = going.stage !== 'left';
    const result = going.fault ? this.#step(going, going.fault, work) : work();
    if (isBefore && going.stage === 'left') this.#setFields(going, setField);
    if (result instanceof WaitQueue) this.#asleep.set(task.tid, going);
    const { fault, injected } = going;
    const delayed = fault !== undefined && fault.delayEnterNs + fault.delayExitNs > 0;
    return { result, injected, delayed };
  }
  /** The call that this thread sleeps in will not be run again. */
  giveUp(tid: number): void {
    this.#asleep.delete(tid);
  }

  #going(task: Task): Going | undefined {
    const going = this.#asleep.get(task.tid);
    this.#asleep.delete(task.tid);
    return going?.task === task ? going : undefined;
  }
  #begin(task: Task, info: CallInfo): Going {
    const fault = this.#policy.faultOf(info, task);
    const injected = fault !== undefined && fault.signals.length > 0;
    return { task, fault, stage: 'begun', injected };
  }

  #step<T>(going: Going, fault: CallFault, work: () => T): T | Errno | number | WaitQueue {
    if (going.stage === 'begun') {
      going.stage = 'entered';
      for (const signal of fault.signals) this.#policy.signal(going.task, signal);
      if (fault.delayEnterNs > 0) return this.#sleep(fault.delayEnterNs);
    }
    if (going.stage === 'entered') {
      const result = this.#work(going, fault, work);
      if (result instanceof WaitQueue) return result;
      going.stage = 'left';
      going.result = result;
      if (fault.delayExitNs > 0) return this.#sleep(fault.delayExitNs);
    }
    // cast: it is what the work of the same call gave
    return going.result as T | Errno | number;
  }
  #work<T>(going: Going, fault: CallFault, work: () => T): T | Errno | number {
    const { result, after, by } = fault;
    if (result === undefined) return work();
    if (after) {
      const own = work();
      if (own instanceof WaitQueue || isErrno(own)) return own;
    }
    going.injected = true;
    return isErrno(result)
      ? refuse(result, 'the call was made to fail, as was asked', { by })
      : result;
  }
  /** Memory that is not there stays so: the call itself has found that out, or was not made. */
  #setFields({ fault, injected }: Going, setField: RunningCall<unknown>['setField']): void {
    if (!injected) return;
    for (const [name, value] of fault?.fields ?? []) void setField?.(name, value);
  }
  #sleep(ns: number): WaitQueue {
    const queue = new WaitQueue();
    this.#env.clock.after(ns, () => queue.wakeAll());
    return queue;
  }
}
