/**
 * Signals that softiommu gets mean its program, and once only others are left of a run, they mean its end.
 *
 * Who has sent one decides. What the terminal sends, and what a program of the run sends to its own process group, has reached the
 * program already: it is in our group.
 */
import { constants } from 'node:os';
import { syscall } from '../sys/ffi.ts';
import { HeardSignals, type HeardSignal } from '../sys/heard-signals.ts';
import { forwardSignal } from '../sys/libc.ts';
import { NR, SIGTERM } from '../sys/numbers.ts';
import { descendantNames, listed } from './descendants.ts';
import type { GroupSignals } from './group-signals.ts';
import { Watchdog, type TurnSign } from './watchdog.ts';

const { signals } = constants;
/** What ends a program that has no handler for it, and is not sent for anything else. */
const ENDING: ReadonlySet<number> = new Set([
  ...[signals.SIGINT, signals.SIGQUIT, signals.SIGTERM, signals.SIGHUP],
]);
/** What a terminal sends to all of its foreground. */
const TO_FOREGROUND: ReadonlySet<number> = new Set([
  ...[signals.SIGINT, signals.SIGQUIT, signals.SIGWINCH],
]);
/** What it sends, when it is gone, to the one who leads its session, and that one's end to the foreground. */
const TO_LEADER: ReadonlySet<number> = new Set([signals.SIGHUP, signals.SIGCONT]);
/** What means nothing to a program that has no handler for it. */
const HARMLESS: ReadonlySet<number> = new Set([
  ...[signals.SIGCONT, signals.SIGWINCH, signals.SIGURG],
]);
/** Processes that end together with the program are not worth a line. */
const PATIENCE_MS = 1000;

interface SignalParts {
  readonly sign: TurnSign;
  readonly sent: GroupSignals;
  readonly say: (line: string) => void;
  /** End softiommu by a signal. */
  readonly end: (signal: number) => void;
}

/** Of one run, until it is over. */
export class RunSignals implements Disposable {
  readonly #parts: SignalParts;
  readonly #heard: HeardSignals;
  readonly #watchdog: Watchdog;
  #program: number | undefined;
  #launcher: number | undefined;
  #patience: NodeJS.Timeout | undefined;
  #isAsked = false;

  constructor(parts: SignalParts) {
    this.#parts = parts;
    this.#watchdog = new Watchdog(parts);
    this.#heard = new HeardSignals((signal) => this.#hear(signal));
  }
  started({ pid, launcher }: { readonly pid: number; readonly launcher: number }): void {
    this.#program = pid;
    this.#launcher = launcher;
  }
  /** A signal has come that ends programs. */
  get isAsked(): boolean {
    return this.#isAsked;
  }
  programEnded(): void {
    this.#program = undefined;
    this.#patience = setTimeout(() => this.#sayWhoIsWaitedFor(), PATIENCE_MS);
  }
  [Symbol.dispose](): void {
    clearTimeout(this.#patience);
    this.#watchdog[Symbol.dispose]();
    this.#heard[Symbol.dispose]();
  }

  #sayWhoIsWaitedFor(): void {
    const names = listed(descendantNames(this.#launcher!));
    this.#parts.say(`the program has ended; waiting for ${names} (--wait=program would end them)`);
  }
  #hear(heard: HeardSignal): void {
    const { code, pid, signal } = heard;
    const isSent = code <= 0;
    // abort(3) of our own is not for the program, nor is what one of its run has sent to the group.
    if (isSent && (pid === process.pid || this.#parts.sent.isNoted(pid, signal))) return;
    if (ENDING.has(signal)) {
      this.#isAsked = true;
      this.#watchdog.asked(signal);
    }
    if (this.#launcher === undefined) this.#beforeStart(signal);
    else if (this.#program === undefined) this.#afterEnd(signal, this.#launcher);
    else if (isSent || !hasReachedGroup(signal)) forwardSignal(this.#program, heard);
  }
  /** The start may be waiting for something, and the launcher ends without us. */
  #beforeStart(signal: number): void {
    if (!HARMLESS.has(signal)) this.#parts.end(signal);
  }
  #afterEnd(signal: number, launcher: number): void {
    if (ENDING.has(signal)) forwardSignal(launcher, { signal: SIGTERM });
  }
}

/** Has the program a signal as well that the kernel has sent us? */
function hasReachedGroup(signal: number): boolean {
  const leads = syscall(NR.getsid, 0) === process.pid;
  return TO_FOREGROUND.has(signal) || (TO_LEADER.has(signal) && !leads);
}
