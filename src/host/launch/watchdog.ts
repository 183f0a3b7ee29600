/**
 * A stuck turn of the wait loop becomes a line, and a run that can be ended: nothing in the loop waits, but the host can make
 * any look at memory or a file wait, and the kernel thread cannot tell of it then.
 *
 * The loop counts its turns in memory that the main thread sees, and this one looks once a second.
 */
import { nameOf } from '../sys/procfs.ts';
import { trappedName } from '../seccomp/trapped.ts';

const WORDS = 3;
const AT = { turn: 0, tid: 1, call: 2 } as const;
const NO_CALL = -1;
/** So often one turn is seen before it is stuck. Looks, not time: of a machine that was asleep the loop was too. */
const PATIENCE = 5;
const LOOK_MS = 1000;

/** What the loop is at: written by the kernel thread, read by the main one. */
export class TurnSign {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** `shared`: of the sign that another thread has made. */
  constructor(shared = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }
  /** The wait is over: there is work. */
  begin(): void {
    this.#words[AT.tid] = 0;
    Atomics.add(this.#words, AT.turn, 1);
  }
  /** All of it is done. */
  end(): void {
    Atomics.add(this.#words, AT.turn, 1);
  }
  /** The work is about a thread: a system call it makes, or else a stop of it. */
  about(tid: number, call = NO_CALL): void {
    this.#words[AT.tid] = tid;
    this.#words[AT.call] = call;
  }

  /** The turn that is under way, a number no other soon has; undefined: the loop waits for work. */
  get turn(): number | undefined {
    const turn = Atomics.load(this.#words, AT.turn);
    return (turn & 1) === 0 ? undefined : turn;
  }
  /** In words, for a line to the user. */
  get subject(): string {
    const [tid, call] = [this.#words[AT.tid]!, this.#words[AT.call]!];
    if (tid === 0) return 'work for no thread in particular';
    return call === NO_CALL
      ? `a stop of ${nameOf(tid)}`
      : `a call of ${nameOf(tid)}: ${callName(call)}`;
  }
}

function callName(nr: number): string {
  return trappedName(nr) ?? `number ${nr}`;
}

/** What it does about a turn that is stuck. */
export interface WatchdogParts {
  readonly sign: TurnSign;
  readonly say: (line: string) => void;
  /** End softiommu without the kernel thread, by a signal that has asked for it. */
  readonly end: (signal: number) => void;
}

/** Looks at the turns of the loop, until it is disposed. */
export class Watchdog implements Disposable {
  readonly #parts: WatchdogParts;
  readonly #timer: NodeJS.Timeout;
  /** The turn that was under way at the last look, and how often it was. */
  #seen: number | undefined;
  #times = 0;
  #since = 0;
  /** A signal that came in a turn: it ends the run if that turn never does. */
  #asked: { readonly signal: number; readonly turn: number } | undefined;

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.look(Date.now()), LOOK_MS).unref();
  }
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Once a second; milliseconds of the wall clock. */
  look(nowMs: number): void {
    const { turn } = this.#parts.sign;
    if (turn === undefined || turn !== this.#seen) {
      this.#seen = turn;
      this.#times = 0;
      this.#since = nowMs;
      return;
    }
    this.#times++;
    if (this.#times === PATIENCE) this.#parts.say(this.#line());
    if (this.#isStuck) this.#endIfAsked();
  }
  get #isStuck(): boolean {
    return this.#times >= PATIENCE;
  }
  #line(): string {
    const since = new Date(this.#since).toTimeString().slice(0, 8);
    const what = this.#parts.sign.subject;
    return `stuck since ${since} in ${what}; no call of a program is answered meanwhile, SIGINT or SIGTERM to softiommu ends the run`;
  }

  /** A signal has come that ends programs: at once if the loop is stuck, or when it turns out to be. */
  asked(signal: number): void {
    const { turn } = this.#parts.sign;
    if (turn === undefined) return;
    this.#asked = { signal, turn };
    if (this.#isStuck) this.#endIfAsked();
  }
  #endIfAsked(): void {
    if (this.#asked && this.#asked.turn === this.#seen) this.#parts.end(this.#asked.signal);
  }
}
