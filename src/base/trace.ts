/**
 * The one event stream: who listens, what is going on, and in which order it happens.
 *
 * Emitting costs one test when nobody listens: `if (trace.on) trace.emit({ … })`. Troubles are heard by listeners of their
 * own as well, whom a run has from its start: `if (trace.heedsTroubles) …`. They are rare, and nothing else is built for them.
 * Somebody who chooses (hearing.ts) is told of what is asked for by name: `if (trace.hears.map) …`, true for everybody's ears too.
 */
import { Call } from './call.ts';
import { isErrno } from './errno.ts';
import type { CallEnd, CallInfo, LeaveEvent, Remark, Stamped, TraceEvent } from './events.ts';
import { Hearing, type Choice } from './hearing.ts';
import type { Facts } from './refuse.ts';

/** Does it tell that something did not work? A call that failed, DMA that was stopped, a fault, a warning. */
export function isTrouble(event: TraceEvent): boolean {
  if (event.kind === 'leave') return isErrno(event.result);
  if (event.kind === 'dma') return !event.ok;
  return event.kind === 'fault' || event.kind === 'warn';
}
/** Does it concern those who listen to troubles: one, or what else explains why a program does not get on? */
function isHeeded(event: TraceEvent): boolean {
  if (event.kind === 'leave' && event.remarks) return true;
  if (event.kind === 'life') return event.what === 'device-unplug';
  return event.kind === 'sleep' || event.kind === 'signal' || isTrouble(event);
}

/** The event stream of one machine: numbers events, stamps them with simulated time, hands them to listeners. */
export class Trace {
  readonly #listeners = new Set<(stamped: Stamped) => void>();
  readonly #troubleListeners = new Set<(stamped: Stamped) => void>();
  /** What each wants who does not want everything. */
  readonly #choices = new Map<(stamped: Stamped) => void, Choice>();
  readonly #nowNs: () => number;
  /** Of the call that goes on. */
  #remarks: Remark[] = [];
  #seq = 0;
  #call: Call | undefined;
  #cause: number | undefined;
  /** True when somebody listens to everything; test it before building an event. */
  on = false;
  /** True when anybody listens; test it before building an event that is a trouble. */
  heedsTroubles = false;
  /** What somebody listens to, by kind; test it before building an event that can be chosen. */
  readonly hears = new Hearing();
  /** True when somebody listens to calls: what sets things going is remembered. */
  #followsCalls = false;
  /** And to their beginnings. */
  #hearsEnters = false;

  /** So many bytes of what is read and written are told. */
  dataBytes = 32;

  /** Pages of programs that are pinned for devices, as it is now; whose memory it is says so. */
  countPinned: () => number = () => 0;
  /** As it was told last. */
  #pinned = 0;

  /** `nowNs`: the time that events are stamped with. */
  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  /** Tell everybody who listens. The number of the event; undefined when nobody does. */
  emit(event: TraceEvent): number | undefined {
    const isHeard = this.on || this.hears.of(event) || (this.heedsTroubles && isHeeded(event));
    if (!isHeard) return undefined;
    return this.#tell(event, this.#call?.id, this.#cause);
  }
  /** Hear every event from now on; dispose the result to stop. */
  listen(listener: (stamped: Stamped) => void): Disposable {
    return this.#join(this.#listeners, listener);
  }
  /** Hear what does not work from now on, or does nothing, or waits, and of nothing else; dispose the result to stop. */
  listenToTroubles(listener: (stamped: Stamped) => void): Disposable {
    return this.#join(this.#troubleListeners, listener);
  }
  /** Hear what was chosen, and troubles; dispose the result to stop. */
  listenTo(choice: Choice, listener: (stamped: Stamped) => void): Disposable {
    this.#choices.set(listener, choice);
    return this.#joined(() => this.#choices.delete(listener));
  }
  /** A choice has changed. */
  rechoose(): void {
    this.#count();
  }
  #join(
    listeners: Set<(stamped: Stamped) => void>,
    listener: (stamped: Stamped) => void,
  ): Disposable {
    listeners.add(listener);
    return this.#joined(() => listeners.delete(listener));
  }
  #joined(part: () => void): Disposable {
    this.#count();
    return {
      [Symbol.dispose]: () => {
        part();
        this.#count();
      },
    };
  }
  #count(): void {
    this.on = this.#listeners.size > 0;
    this.#followsCalls = this.on || this.#choices.size > 0;
    this.heedsTroubles = this.#followsCalls || this.#troubleListeners.size > 0;
    const choices = [...this.#choices.values()];
    this.#hearsEnters = this.on || choices.some(({ enters }) => enters);
    this.hears.set(choices, this.on);
  }

  /**
   * Does somebody listen to this call: to the whole of it, to its end alone? `request`: of ioctl(2). Test it before entering one;
   * of which the end alone is wanted, it is told by heard().
   */
  hearsCall(name: string, request: number | undefined): 'whole' | 'end' | undefined {
    if (this.on) return 'whole';
    for (const { calls } of this.#choices.values()) {
      if (calls(name, request)) return this.#hearsEnters ? 'whole' : 'end';
    }
    return undefined;
  }
  /** `seq` of the event that sets going what happens now. Undefined: nobody listens, or nothing is going on. */
  get cause(): number | undefined {
    return this.#followsCalls ? this.#cause : undefined;
  }
  /** Run what an event sets going, such as what a device does at a store. */
  because<T>(cause: number | undefined, run: () => T): T {
    const outer = this.#cause;
    this.#cause = cause ?? outer;
    try {
      return run();
    } finally {
      this.#cause = outer;
    }
  }

  /**
   * A call begins: to be asked for only while somebody listens to it. Run it with `inside`, as often as it takes to be answered,
   * then `leave`. `cause`: of what it does, where that is not the call itself.
   */
  enter(info: CallInfo, cause?: number): Call {
    const id = this.#seq;
    // What a store sets going comes before its end, and whose it is is told with its beginning.
    if (this.#hearsEnters || info.what === 'access') {
      this.#tell({ kind: 'enter', ...info }, id, cause ?? this.#cause);
    } else this.#seq++;
    return new Call(id, info, cause ?? id);
  }
  /** Run a call, or what is left of it after a sleep. */
  inside<T>(call: Call, run: () => T): T {
    const outer = this.#call;
    this.#call = call;
    try {
      return this.because(call.cause, () => call.collect(run));
    } finally {
      this.#call = outer;
    }
  }
  /** The call is answered, or given up. */
  leave(call: Call, end: CallEnd): void {
    // Those of a call that nobody hears the end of are not the next one's.
    const remarks = this.takeRemarks();
    if (!this.#followsCalls) return;
    const { refusals, info } = call;
    const pinned = this.countPinned();
    const event = {
      kind: 'leave',
      ...info,
      ...end,
      refusals,
      ...(remarks && !isErrno(end.result) && { remarks }),
      ...(pinned !== this.#pinned && { pinned }),
    } as const;
    this.#pinned = pinned;
    this.#tell(event, call.id, call.cause);
  }
  /** The call that goes on will succeed, and does nothing, or not what whoever calls may think: by which rule. */
  remark(rule: string, facts: Facts): void {
    if (this.heedsTroubles) this.#remarks.push({ rule, facts });
  }
  /** What was remarked of the call that ends. Undefined: nothing. */
  takeRemarks(): readonly Remark[] | undefined {
    if (this.#remarks.length === 0) return undefined;
    const taken = this.#remarks;
    this.#remarks = [];
    return taken;
  }
  /** A call that nobody heard begin has ended in a way somebody wants to hear of. */
  ended(info: CallInfo, end: CallEnd & Pick<LeaveEvent, 'refusals' | 'remarks'>): void {
    this.emit({ kind: 'leave', ...info, ...end });
  }
  /** A call of which the end alone is listened to is answered. */
  heard(info: CallInfo, end: CallEnd & Pick<LeaveEvent, 'refusals' | 'remarks'>): void {
    this.#tell({ kind: 'leave', ...info, ...end }, undefined, undefined);
  }
  /** Run something no program asked for, as a call of its own for those who listen to everything. `cause`: what set it going. */
  turn<T>(name: string, cause: number | undefined, run: () => T): T {
    if (!this.on) return this.#followsCalls ? this.because(cause, run) : run();
    const call = this.enter({ what: 'turn', name }, cause);
    try {
      return this.inside(call, run);
    } finally {
      this.leave(call, {});
    }
  }

  #tell(event: TraceEvent, call: number | undefined, cause: number | undefined): number {
    const stamped = stampedOf({ seq: this.#seq++, timeNs: this.#nowNs() }, call, cause, event);
    if (this.on) for (const listener of this.#listeners) listener(stamped);
    for (const listener of this.#choices.keys()) listener(stamped);
    if (this.#troubleListeners.size > 0 && isHeeded(event)) {
      for (const listener of this.#troubleListeners) listener(stamped);
    }
    return stamped.seq;
  }
}

/** Written out: most of a trace is stamps. */
function stampedOf(
  at: Pick<Stamped, 'seq' | 'timeNs'>,
  call: number | undefined,
  cause: number | undefined,
  event: TraceEvent,
): Stamped {
  const { seq, timeNs } = at;
  if (call === undefined) {
    return cause === undefined ? { seq, timeNs, event } : { seq, timeNs, cause, event };
  }
  return cause === undefined ? { seq, timeNs, call, event } : { seq, timeNs, call, cause, event };
}
