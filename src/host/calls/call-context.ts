/** What the trap handlers share: the machine, the run's tables, and how a call is parked or reported. */
import type { GroupSignals } from '../launch/group-signals.ts';
import { isErrno, type Result, type Status } from '../../base/errno.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Handled } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import type { DoorbellLoans } from '../process/doorbell-loans.ts';
import type { Processes } from '../process/processes.ts';
import type { TaskParts } from '../process/task.ts';

/** Programs of the run that trace others: debuggers. */
export interface Tracers {
  /** Is it one of them that traces this thread? What we need of the thread is done through that one then. */
  isWithin(tid: number): boolean;
  /** The process of this thread has mapped registers, and somebody else traces it. */
  lend(tid: number): void;
  /** A program is about to trace a thread of a run, lets one go on, or lets go of one. */
  answer(call: Notification): Handled;
}

/** What a handler of a trapped call has at hand. */
export interface CallContext extends TaskParts {
  readonly processes: Processes;
  /** A line for the user of softiommu that is not repeated. */
  sayOnce(text: string): void;
  /** Run a call that may sleep; the answer goes out when it is there. Its caller's death ends it, unless `how` says otherwise. */
  park<T>(
    call: Notification,
    run: () => Outcome<Result<T>>,
    answer: (result: Result<T>) => Answer,
    how?: { readonly outlivesCaller: boolean },
  ): Answer;
  /**
   * Loads and stores of this process, which waits in a call of this thread, will reach our registers. `storesFault`: some by
   * SIGSEGV. False: somebody else traces it.
   */
  traceProcess(pid: number, tid: number, how?: { readonly storesFault: boolean }): boolean;
  /** Is a call of this thread one that we let it make? Any program may mark a call as such. */
  makesOurCalls(tid: number): boolean;
  readonly tracers: Tracers;
  readonly loans: DoorbellLoans;
  /** Programs that send signals to process groups are noted there. */
  readonly groupSignals: Pick<GroupSignals, 'note'>;
  /** rt_sigaction of a signal that register accesses come by. */
  changeFault(call: Notification): Handled;
}

/** 0, or minus the errno. */
export function minus(status: Status): number {
  return status ? -status.number : 0;
}
/** A result, or minus its errno. */
export function numberAnswer(result: Result<number>): Answer {
  return isErrno(result) ? -result.number : result;
}
