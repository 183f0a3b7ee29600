/**
 * What the loop asks of the mechanisms below it. One of each is given to it: today the seccomp listener and SIGBUS with
 * ptrace; a test or another mechanism can bring its own. (The third of the kind is TreeBackend, the fourth AddressSpace.)
 */
import type { ChildEvent } from '../mmio/next-stop.ts';
import type { TraceHow } from '../mmio/mmio-traps.ts';
import type { VectorState } from '../mmio/stopped.ts';
import type { InstructionFault } from '../process/instruction-memory.ts';
import type { SignalCause } from '../sys/ptrace.ts';
import type { Handled } from '../seccomp/in-thread.ts';
import type { Answer, FdInstaller, Notification } from '../seccomp/notification.ts';
import type { Ready } from '../seccomp/turn-wait.ts';

/** How the system calls of programs come to us and are answered. */
export interface CallTransport extends FdInstaller {
  readonly fd: number;
  /**
   * For so many milliseconds, -1: for ever. A call: it was all there is, and nothing else became ready before it was made. HostError:
   * nothing can be waited on any more.
   */
  wait(timeoutMs: number): Notification | Ready;
  /** The call that waits; undefined when its caller has died meanwhile. */
  receive(): Notification | undefined;
  /** False when the caller is gone. */
  answer(to: Notification, answer: Answer): boolean;
  /** The same with the next wait, or before anything else is done here. */
  answerSoon(to: Notification, answer: Answer): void;
  /** What is to be answered soon is answered now. */
  flush(): void;
  /** Is the caller still there and waiting for this answer? */
  valid(call: Notification): boolean;
  close(): void;
}

/** How loads and stores to mapped registers come to us. */
export interface MmioBackend {
  /** Threads are traced: their stops may come at any time. */
  readonly active: boolean;
  isTraced(tid: number): boolean;
  /** From now on the accesses of a process come to us; it waits in a call of this thread. `storesFault`: some stores by SIGSEGV. False: somebody else traces it. */
  trace(pid: number, tid: number, how?: TraceHow): boolean;
  /**
   * Let go of a thread, for somebody else to trace it; `done` when it is so. `isHeld`: all it does then is to make a call that is
   * trapped, so that it touches no registers while nobody traces it; the registers it had are `held`, if that was possible.
   * False: we do not trace it.
   */
  release(tid: number, done: (held?: Buffer) => void, isHeld?: boolean): boolean;
  /** The thread's process is traced by somebody else, until that one ends. */
  lend(tid: number): void;
  isLent(tid: number): boolean;
  /**
   * A thread of a lent process, which waits in a call, has been let go of: it goes on with these registers. False: somebody
   * else has it already.
   */
  take(tid: number, regs: Buffer): boolean;
  /** Trace again what nobody else does any more. */
  retake(): void;
  /**
   * An access of a thread that somebody else traces, with its registers: 'not ours', or what came of it, which is in the
   * registers then.
   */
  carryOut(
    thread: { readonly tid: number; readonly regs: Buffer; readonly vectors: VectorState },
    signal: number,
    cause: SignalCause,
  ): 'done' | 'not ours' | InstructionFault;
  /** The program says what such a signal means to it (rt_sigaction). When it was 'answered', `answer` is told how, now or later. */
  changeFault(call: Notification, answer: (handled: Handled) => void): Handled;
  /**
   * What has happened to any child of ours, traced or not, without waiting for it; undefined: nothing. A thread that is to go
   * on may do so with the next look only, and not later than with endLook().
   */
  look(): ChildEvent | undefined;
  endLook(): void;
  /** A thread has stopped with this wait status: an access, a signal, a new thread, the end of one. */
  onStop(tid: number, status: number): void;
  /** A thread is gone. */
  onExit(tid: number): void;
}
