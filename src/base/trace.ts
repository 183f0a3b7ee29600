/**
 * The one event stream: who listens, what is going on, and in which order it happens.
 *
 * Emitting costs one test when nobody listens: `if (trace.on) trace.emit({ … })`.
 */
import { Call } from './call.ts';
import type { CallEnd, CallInfo, Stamped, TraceEvent } from './events.ts';

/** The event stream of one machine: numbers events, stamps them with simulated time, hands them to listeners. */
export class Trace {
  readonly #listeners = new Set<(stamped: Stamped) => void>();
  readonly #nowNs: () => number;
  #seq = 0;
  #call: Call | undefined;
  #cause: number | undefined;
  /** True when somebody listens; test it before building an event. */
  on = false;

  /** `nowNs`: the time that events are stamped with. */
  constructor(nowNs: () => number) {
    this.#nowNs = nowNs;
  }

  /** Tell everybody who listens. The number of the event; undefined when nobody does. */
  emit(event: TraceEvent): number | undefined {
    return this.on ? this.#tell(event, this.#call?.id, this.#cause) : undefined;
  }
  /** Hear every event from now on; dispose the result to stop. */
  listen(listener: (stamped: Stamped) => void): Disposable {
    this.#listeners.add(listener);
    this.on = true;
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        this.on = this.#listeners.size > 0;
      },
    };
  }

  /** `seq` of the event that sets going what happens now. Undefined: nobody listens, or nothing is going on. */
  get cause(): number | undefined {
    return this.on ? this.#cause : undefined;
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
   * A call begins: to be asked for only while somebody listens. Run it with `inside`, as often as it takes to be answered,
   * then `leave`. `cause`: of what it does, where that is not the call itself.
   */
  enter(info: CallInfo, cause?: number): Call {
    const id = this.#seq;
    this.#tell({ kind: 'enter', ...info }, id, cause ?? this.#cause);
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
    if (!this.on) return;
    const event = { kind: 'leave', ...call.info, ...end, refusals: call.refusals } as const;
    this.#tell(event, call.id, call.cause);
  }
  /** Run something no program asked for, as a call of its own. `cause`: what set it going. */
  turn<T>(name: string, cause: number | undefined, run: () => T): T {
    if (!this.on) return run();
    const call = this.enter({ what: 'turn', name }, cause);
    try {
      return this.inside(call, run);
    } finally {
      this.leave(call, {});
    }
  }

  #tell(event: TraceEvent, call: number | undefined, cause: number | undefined): number {
    const stamped = {
      seq: this.#seq++,
      timeNs: this.#nowNs(),
      ...(call !== undefined && { call }),
      ...(cause !== undefined && { cause }),
      event,
    };
    for (const listener of this.#listeners) listener(stamped);
    return stamped.seq;
  }
}
