/**
 * A selection applied to a stream of events. What happens in a call belongs to it: it is shown with a call that is asked
 * for, or by itself. Whoever asks how a call ended hears of it, and of what happened in it, when it has.
 */
import { isTrouble } from '../../base/trace.ts';
import { isErrno } from '../../base/errno.ts';
import type {
  DriverCallEvent,
  EnterEvent,
  LeaveEvent,
  Stamped,
  TraceEvent,
} from '../../base/events.ts';
import type { CallStatus, Selection } from './expression.ts';
import { namesOf } from './names.ts';
import { isCallOn } from '../call-names.ts';
import type { TraceSink } from './sink.ts';

/** One thing asked of an event: of itself, not of its call. */
type Test = (event: TraceEvent) => boolean;

/** The same events without those that were not asked for. */
export function selected(selection: Selection, sink: TraceSink): TraceSink {
  const { status } = selection;
  const last = status === undefined ? sink : new StatusGate(status, sink);
  const tests = testsOf(selection);
  if (tests.length === 0) return last;
  const inside = new Map<number, readonly boolean[]>();
  return {
    take(stamped) {
      const { event, call } = stamped;
      const own = tests.map((test) => test(event));
      const outer = call === undefined ? undefined : inside.get(call);
      if (call !== undefined && event.kind === 'enter') inside.set(call, own);
      if (call !== undefined && event.kind === 'leave') inside.delete(call);
      const { negated = false, names } = selection;
      const wanted = own.every((yes, n) =>
        n === 0 && names && negated ? yes && (outer?.[n] ?? true) : yes || outer?.[n] === true,
      );
      if (wanted) last.take(stamped);
    },
    flush: () => last.flush(),
  };
}

/** That of names is the first. */
function testsOf({ names, negated = false, paths = [], bdf, ioas }: Selection): Test[] {
  const tests: Test[] = [];
  if (names) tests.push((event) => namesOf(event).some(names) !== negated);
  if (paths.length > 0) tests.push((event) => isCall(event) && paths.includes(event.file ?? ''));
  if (bdf !== undefined) tests.push((event) => isAbout(event, bdf));
  if (ioas !== undefined) tests.push(ioasTest(ioas));
  return tests;
}

type CallEvent = EnterEvent | LeaveEvent;
function isCall(event: TraceEvent): event is CallEvent {
  return event.kind === 'enter' || event.kind === 'leave';
}

function isAbout(event: TraceEvent, bdf: string): boolean {
  if (isCall(event) || event.kind === 'sleep' || event.kind === 'signal') {
    return isCallOn(event, bdf);
  }
  if (event.kind === 'life') return event.who.id === bdf;
  if (event.kind === 'object-born' || event.kind === 'object-gone') return event.object.id === bdf;
  return 'device' in event && event.device.id === bdf;
}

/** Fields of commands that are the id of an IOAS, or of an object on one. */
const IOAS_FIELDS = ['ioas_id', 'out_ioas_id', 'src_ioas_id', 'dst_ioas_id', 'pt_id', 'id'];
/**
 * Calls on an IOAS; by what is mapped or attached in them its domains are known, by what is attached to these its devices.
 */
function ioasTest(id: number): Test {
  const domains = new Set<string>();
  const devices = new Map<string, string>();
  let isInside = false;
  const learn = (event: TraceEvent): void => {
    if ((event.kind === 'map' || event.kind === 'unmap') && isInside) domains.add(event.domain.id);
    if (event.kind !== 'driver' || event.op !== 'attach_dev' || event.result) return;
    const { domain, device } = event satisfies DriverCallEvent;
    if (domain && isInside) domains.add(domain.id);
    if (domain && device) devices.set(device.id, domain.id);
  };
  return (event) => {
    if (isCall(event)) {
      const yes = IOAS_FIELDS.some(
        (name) => event.args?.[name] === id || hasChangedTo(event, name, id),
      );
      isInside = yes && event.kind === 'enter';
      return yes;
    }
    learn(event);
    if ('domain' in event) return domains.has(event.domain.id);
    if (event.kind !== 'dma' && event.kind !== 'fault') return false;
    return domains.has(devices.get(event.device.id) ?? '');
  };
}
function hasChangedTo(event: CallEvent, name: string, id: number): boolean {
  return event.kind === 'leave' && event.after?.[name] === id;
}

/** Holds what happens in a system call until it is known how it ended. */
class StatusGate implements TraceSink {
  readonly #status: CallStatus;
  readonly #sink: TraceSink;
  readonly #held = new Map<number, Stamped[]>();

  constructor(status: CallStatus, sink: TraceSink) {
    this.#status = status;
    this.#sink = sink;
  }
  take(stamped: Stamped): void {
    const { event, call = -1 } = stamped;
    if (event.kind === 'enter' && event.what === 'syscall') this.#held.set(call, []);
    const held = this.#held.get(call);
    if (!held) {
      this.#alone(stamped);
      return;
    }
    held.push(stamped);
    if (event.kind !== 'leave') return;
    this.#held.delete(call);
    if (this.#status === statusOf(event)) for (const each of held) this.#sink.take(each);
  }
  flush(): void {
    const unfinished = this.#status === 'unfinished' ? [...this.#held.values()].flat() : [];
    for (const each of unfinished.sort((a, b) => a.seq - b.seq)) this.#sink.take(each);
    this.#held.clear();
    this.#sink.flush();
  }
  /** What happened in no call, or in one whose beginning was not asked for. */
  #alone(stamped: Stamped): void {
    if (this.#status === statusOf(stamped.event)) this.#sink.take(stamped);
  }
}
function statusOf(event: TraceEvent): CallStatus {
  const isFailure =
    isTrouble(event) ||
    (event.kind === 'leave' && !isErrno(event.result) && (event.result ?? 0) < 0) ||
    (event.kind === 'driver' && event.result !== undefined);
  return isFailure ? 'failed' : 'successful';
}
