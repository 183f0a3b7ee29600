/** One thing that did not work in a run. */
import { isErrno, type Errno } from '../../base/errno.ts';
import type {
  DmaEvent,
  FaultEvent,
  LeaveEvent,
  LifeEvent,
  Remark,
  SignalEvent,
  SleepEvent,
  WarnEvent,
} from '../../base/events.ts';
import type { Refusal } from '../../base/refuse.ts';
import type { CallSite } from '../sites/call-site.ts';

/** An event that tells of something that did not work. */
export type TroubleEvent =
  | FailedCall
  | IdleCall
  | DmaEvent
  | FaultEvent
  | WarnEvent
  | SleepEvent
  | SignalEvent
  | PulledOutEvent;
/** A device was pulled out. */
export interface PulledOutEvent extends LifeEvent {
  readonly what: 'device-unplug';
}
/** A call that ended with an errno. */
export interface FailedCall extends LeaveEvent {
  readonly result: Errno;
}
/** A call that succeeded, and did nothing. */
export interface IdleCall extends LeaveEvent {
  readonly result?: number;
  readonly remarks: readonly Remark[];
}
/** Has it failed? The others of its kind did nothing. */
export function isFailedCall(event: TroubleEvent): event is FailedCall {
  return event.kind === 'leave' && isErrno(event.result);
}

/** One kind of trouble: the same call on the same file for the same rule, the same fault of the same device. */
export interface Trouble {
  /** The first of them. */
  readonly event: TroubleEvent;
  /** What else is known of it, found when it happened. */
  readonly notes: readonly string[];
  /** Where in the program the call is that it happened in. */
  readonly site?: CallSite;
  count: number;
  /** `seq` of the first of them. */
  readonly first: number;
  /** `seq` of the newest of them. */
  last: number;
}

/** The rule a call broke, where several were met inside: the one that decided. None of a call that has not failed. */
export function decisiveRefusal({ refusals, result }: LeaveEvent): Refusal | undefined {
  return isErrno(result) ? refusals.at(-1) : undefined;
}
