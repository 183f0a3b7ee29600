/**
 * Mailboxes between the physical function and its virtual ones (devices.md 1.9): 16 words each, who may use them, and
 * whether the physical function is there at all. What is said in them is software's affair.
 */
import type { Actions, Cells } from './cells.ts';
import { CAUSE } from './registers.ts';

/** As the virtual function sees its box. */
const V2P = {
  REQUEST: 1 << 0,
  TAKEN: 1 << 1,
  VF_USES: 1 << 2,
  PF_USES: 1 << 3,
  PF_SAYS: 1 << 4,
  PF_TOOK: 1 << 5,
  RESETTING: 1 << 6,
  RESET_DONE: 1 << 7,
} as const;
/** As the physical function does; who uses it is the same. */
const P2V = { SAY: 1 << 0, TAKE: 1 << 1, PF_USES: 1 << 3, REVOKE: 1 << 4 } as const;
const TAKEN_SHIFT = 16;
const CTRL_EXT_RESET_DONE = 1 << 14;

/** Who hears of messages. */
export interface MailEvents {
  /** The physical function: a cause. */
  cause(bits: number): void;
  /** The virtual one: its own interrupt. */
  notify(index: number): void;
}

export class Mailboxes {
  readonly #cells: Cells;
  readonly #events: MailEvents;
  readonly actions: Actions;

  constructor(cells: Cells, events: MailEvents) {
    this.#cells = cells;
    this.#events = events;
    this.actions = {
      stores: {
        p2vMailbox: (value, index) => this.#fromPhysical(value, index),
        ctrlExt: (value) => {
          const begins = value & ~cells.get('ctrlExt');
          cells.set('ctrlExt', value);
          if ((begins & CTRL_EXT_RESET_DONE) !== 0) this.#resetIsDone();
        },
      },
      loads: { p2vMailbox: (_, index) => this.#box(index) & (V2P.VF_USES | V2P.PF_USES) },
    };
  }

  /** A load by the virtual function takes what was told of messages and of the end of the reset. */
  load(index: number): number {
    const box = this.#box(index);
    this.#set(index, box & ~(V2P.PF_SAYS | V2P.PF_TOOK | V2P.RESET_DONE));
    return box;
  }
  store(index: number, value: number): void {
    const box = this.#box(index);
    if ((value & V2P.VF_USES) === 0) this.#set(index, box & ~V2P.VF_USES);
    else if ((box & V2P.PF_USES) === 0) this.#set(index, box | V2P.VF_USES);
    const request = (value & V2P.REQUEST) !== 0 ? 1 << index : 0;
    const taken = (value & V2P.TAKEN) !== 0 ? 1 << (index + TAKEN_SHIFT) : 0;
    if ((request | taken) === 0) return;
    this.#cells.set('mbvficr', this.#cells.get('mbvficr') | request | taken);
    if (this.#cells.has('mbvfimr', 1 << index)) this.#events.cause(CAUSE.VMMB);
  }
  /** The virtual function was reset: by itself, or from outside, and then the physical one is told. */
  wasReset(index: number, fromOutside: boolean): void {
    this.#set(index, (this.#box(index) & ~V2P.VF_USES) | V2P.RESET_DONE);
    if (!fromOutside) return;
    this.#cells.set('vflre', this.#cells.get('vflre') | (1 << index));
    this.#events.cause(CAUSE.VMMB);
  }

  #fromPhysical(value: number, index: number): void {
    let box = this.#box(index);
    if ((value & P2V.REVOKE) !== 0) box &= ~V2P.VF_USES;
    if ((value & P2V.PF_USES) === 0) box &= ~V2P.PF_USES;
    else if ((box & V2P.VF_USES) === 0) box |= V2P.PF_USES;
    if ((value & P2V.SAY) !== 0) box |= V2P.PF_SAYS;
    if ((value & P2V.TAKE) !== 0) box |= V2P.PF_TOOK;
    this.#set(index, box);
    if ((value & (P2V.SAY | P2V.TAKE)) !== 0) this.#events.notify(index);
  }
  #resetIsDone(): void {
    for (let index = 0; index < 8; index++) {
      this.#set(index, (this.#box(index) & ~V2P.RESETTING) | V2P.RESET_DONE);
    }
  }
  #box(index: number): number {
    return this.#cells.get('v2pMailbox', index);
  }
  #set(index: number, value: number): void {
    this.#cells.set('v2pMailbox', value, index);
  }
}
