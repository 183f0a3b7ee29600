/**
 * Calls whose thread cannot be had yet, because its process is in an exec (sys/prompt-seize.ts): they are tried again until
 * it can be had, or is gone. Each try may take as long as a look at the lock does, so they come ever more seldom.
 */
import type { Notification } from '../seccomp/notification.ts';
import * as libc from '../sys/libc.ts';

const FIRST_PAUSE_NS = 1_000_000;
const LONGEST_PAUSE_NS = 100_000_000;
const NS_PER_MS = 1e6;

interface LateCall {
  readonly call: Notification;
  readonly attempt: () => void;
  readonly dueNs: number;
}

/** Those of one run. */
export class LateCalls {
  readonly #isWaiting: (call: Notification) => boolean;
  #late: LateCall[] = [];
  /** Of calls that are tried now or were tried before. */
  readonly #pauses = new WeakMap<Notification, number>();

  /** `isWaiting`: is the caller still there? */
  constructor(isWaiting: (call: Notification) => boolean) {
    this.#isWaiting = isWaiting;
  }
  /** Try this call again, later. */
  again(call: Notification, attempt: () => void): 'answered' {
    call.keep();
    const pauseNs = this.#pauses.get(call) ?? FIRST_PAUSE_NS;
    this.#pauses.set(call, Math.min(LONGEST_PAUSE_NS, pauseNs * 2));
    this.#late.push({ call, attempt, dueNs: libc.monotonicNs() + pauseNs });
    return 'answered';
  }
  /** Those whose time has come. */
  retry(): void {
    if (this.#late.length === 0) return;
    const nowNs = libc.monotonicNs();
    const due = this.#late.filter(({ dueNs }) => dueNs <= nowNs);
    this.#late = this.#late.filter(({ dueNs }) => dueNs > nowNs);
    for (const { call, attempt } of due) if (this.#isWaiting(call)) attempt();
  }
  /** Milliseconds until the next is due; Infinity: there is none. */
  get leftMs(): number {
    if (this.#late.length === 0) return Infinity;
    const next = Math.min(Infinity, ...this.#late.map(({ dueNs }) => dueNs));
    return Math.max(0, Math.ceil((next - libc.monotonicNs()) / NS_PER_MS));
  }
}
