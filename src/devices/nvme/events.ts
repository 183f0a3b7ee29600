/** Asynchronous events: requests are held until something happens that the host wants to hear of (devices.md 4.4). */
import type { Command } from './command.ts';

/** AERL + 1: requests that are held at once. */
export const HELD_EVENTS = 4;

/** A kind of event: its type and information, and the log page that says more and lets the next one come. */
export interface EventKind {
  readonly type: number;
  readonly info: number;
  readonly log: number;
  /** The bits of feature 0b that let it come; undefined: it always may. */
  readonly enabledBy?: number;
}

/**
 * Numbers of the NVM Express Base Specification 1.4, "Asynchronous Event Information". An internal error that is persistent
 * (3) makes Linux reset the controller; one that is not is 4, where devices.md 4.5 has 3.
 */
export const EVENT = {
  BAD_DOORBELL: { type: 0, info: 0, log: 0x01 },
  BAD_DOORBELL_VALUE: { type: 0, info: 1, log: 0x01 },
  TRANSIENT_ERROR: { type: 0, info: 4, log: 0x01 },
  TEMPERATURE: { type: 1, info: 1, log: 0x02, enabledBy: 0x02 },
  NAMESPACE_CHANGED: { type: 2, info: 0, log: 0x04, enabledBy: 0x100 },
} as const satisfies Record<string, EventKind>;

/** Requests that wait, events that wait, and types that wait for their log page to be read. */
export class AsyncEvents {
  readonly #held: Command[] = [];
  readonly #pending: EventKind[] = [];
  readonly #masked = new Set<number>();
  readonly #answer: (request: Command) => void;

  /** `answer`: to a request whose result has been set. */
  constructor(answer: (request: Command) => void) {
    this.#answer = answer;
  }
  get held(): readonly Command[] {
    return this.#held;
  }
  /** False: as many are held as can be. */
  hold(request: Command): boolean {
    if (this.#held.length >= HELD_EVENTS) return false;
    this.#held.push(request);
    this.#deliver();
    return true;
  }
  /** It is not held any more. */
  release(request: Command): void {
    this.#held.splice(this.#held.indexOf(request), 1);
  }
  /** Something has happened; the same is told once until the host has looked. */
  happen(kind: EventKind, enabled: number): void {
    if (kind.enabledBy !== undefined && (enabled & kind.enabledBy) === 0) return;
    const isWaiting = this.#pending.some(
      ({ type, info }) => type === kind.type && info === kind.info,
    );
    if (isWaiting) return;
    this.#pending.push(kind);
    this.#deliver();
  }
  /** The host has read a log page, and not asked that its events stay masked. */
  logRead(log: number): void {
    for (const kind of Object.values<EventKind>(EVENT)) {
      if (kind.log === log) this.#masked.delete(kind.type);
    }
    this.#deliver();
  }
  /** The controller is disabled: nothing is held, and nobody is answered. */
  clear(): void {
    this.#held.length = 0;
    this.#pending.length = 0;
    this.#masked.clear();
  }

  #deliver(): void {
    for (const kind of [...this.#pending]) {
      if (this.#masked.has(kind.type)) continue;
      const request = this.#held.shift();
      if (!request) return;
      this.#pending.splice(this.#pending.indexOf(kind), 1);
      this.#masked.add(kind.type);
      request.result = kind.type | (kind.info << 8) | (kind.log << 16);
      this.#answer(request);
    }
  }

  /** A copy. */
  state(): EventState {
    return {
      held: this.#held.map(({ bytes }) => bytes.slice()),
      pending: [...this.#pending],
      masked: [...this.#masked],
    };
  }
  restore({ held, pending, masked }: EventState, request: (bytes: Uint8Array) => Command): void {
    this.clear();
    this.#held.push(...held.map(request));
    this.#pending.push(...pending);
    for (const type of masked) this.#masked.add(type);
  }
}

/** Events at one moment. */
export interface EventState {
  readonly held: readonly Uint8Array[];
  readonly pending: readonly EventKind[];
  readonly masked: readonly number[];
}
