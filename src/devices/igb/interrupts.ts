/**
 * Interrupts of the 82576 (devices.md 1.7).
 *
 * Two tiers: causes (ICR, IMS), and vectors (EICR, EIMS). With GPIE.MSIX queues have vectors of their own and the causes
 * share one; without, everything is a cause, and the causes share message 0 or the pin.
 */
import type { Actions, Cells } from './cells.ts';
import { CAUSE, VECTOR_BITS } from './registers.ts';

const GPIE = { NSICR: 1 << 0, MSIX: 1 << 4, EIAME: 1 << 30 } as const;
const ASSERTED = 1 << 31;
const VALID = 0x80;
const VECTOR = 0x1f;

/** Where interrupts go. */
export interface InterruptSink {
  /** Send the message of a vector, of this function or of a virtual one. */
  vector(vector: number): void;
  /** Vectors of virtual functions, and their queues: bits. These have MSI-X whatever GPIE says. */
  readonly virtualVectors: number;
  readonly virtualQueues: number;
  readonly messagesEnabled: boolean;
  intx(asserted: boolean): void;
}

export class Interrupts {
  readonly #cells: Cells;
  readonly #sink: InterruptSink;
  readonly actions: Actions;

  constructor(cells: Cells, sink: InterruptSink) {
    this.#cells = cells;
    this.#sink = sink;
    const set =
      (name: 'icr' | 'ims') =>
      (value: number): void =>
        this.#change(() => cells.set(name, value));
    const setVectors =
      (name: 'eicr' | 'eims') =>
      (value: number): void =>
        this.#changeVectors(() => cells.set(name, value));
    this.actions = {
      stores: {
        icr: set('icr'),
        ics: (bits) => this.cause(bits & ~ASSERTED),
        ims: set('ims'),
        imc: (bits) => this.#change(() => cells.set('ims', cells.get('ims') & ~bits)),
        gpie: (value) => {
          cells.set('gpie', value);
          this.drivePin();
        },
        eics: (bits) => this.#raise(bits & VECTOR_BITS),
        eims: setVectors('eims'),
        eimc: (bits) => this.#changeVectors(() => cells.set('eims', cells.get('eims') & ~bits)),
        eicr: setVectors('eicr'),
      },
      loads: {
        icr: () => this.#readCauses(),
        eicr: (value) => {
          cells.set('eicr', value & cells.get('eiac'));
          return value;
        },
      },
    };
  }

  /** These bits of ICR have happened. */
  cause(bits: number): void {
    this.#change(() => this.#cells.set('icr', this.#cells.get('icr') | bits));
  }
  /** Descriptors of these queues were written back: bits by queue. */
  received(queues: number): void {
    this.#moved(queues, 0, CAUSE.RXDW);
  }
  sent(queues: number): void {
    this.#moved(queues, 8, CAUSE.TXDW);
  }
  #moved(queues: number, shift: number, cause: number): void {
    const own = queues & ~this.#sink.virtualQueues;
    const byVector = this.#isMsix ? queues : queues & ~own;
    this.#raise(this.#vectorsOf(byVector, shift));
    if (own !== 0 && !this.#isMsix) this.cause(cause);
  }
  /** The pin is up while an enabled cause waits and there is no message for it. */
  drivePin(): void {
    const { messagesEnabled } = this.#sink;
    this.#sink.intx(!messagesEnabled && !this.#isMsix && this.#waiting !== 0);
  }
  /** Vectors as one of their virtual functions sees them: the event, the masks and what waits. */
  raise(bits: number): void {
    this.#raise(bits & VECTOR_BITS);
  }
  setVectors(name: 'eims' | 'eicr' | 'eiac' | 'eiam', bits: number, on: boolean): void {
    this.#changeVectors(() => {
      const old = this.#cells.get(name);
      this.#cells.set(name, on ? old | bits : old & ~bits);
    });
  }

  get #isMsix(): boolean {
    return this.#cells.has('gpie', GPIE.MSIX);
  }
  get #waiting(): number {
    return this.#cells.get('icr') & this.#cells.get('ims') & ~ASSERTED;
  }
  /** What waits after a change and did not before is told of, once. */
  #change(change: () => void): void {
    const before = this.#waiting;
    change();
    if ((this.#waiting & ~before) !== 0) this.#tellCauses();
    this.drivePin();
  }
  #tellCauses(): void {
    const cells = this.#cells;
    cells.set('icr', cells.get('icr') | ASSERTED);
    if (this.#isMsix) {
      const misc = cells.get('ivarMisc') >>> 8;
      if ((misc & VALID) !== 0) this.#raise(1 << (misc & VECTOR));
      return;
    }
    cells.set('eicr', cells.get('eicr') | ASSERTED);
    if (this.#sink.messagesEnabled) this.#sink.vector(0);
  }
  #readCauses(): number {
    const cells = this.#cells;
    const value = cells.get('icr');
    const always = cells.has('gpie', GPIE.NSICR);
    const asserted = (value & ASSERTED) !== 0;
    const clears = always || asserted || cells.get('ims') === 0 || !this.#sink.messagesEnabled;
    if (clears) cells.set('icr', 0);
    if (always || asserted) cells.set('ims', cells.get('ims') & ~cells.get('iam'));
    this.drivePin();
    return value;
  }

  #raise(bits: number): void {
    this.#changeVectors(() => this.#cells.set('eicr', this.#cells.get('eicr') | bits));
  }
  /** A vector is sent when it waits and is enabled, and was not both before. */
  #changeVectors(change: () => void): void {
    const cells = this.#cells;
    const before = cells.get('eicr') & cells.get('eims');
    change();
    const { virtualVectors } = this.#sink;
    const sent = this.#isMsix ? VECTOR_BITS : virtualVectors;
    const fresh = cells.get('eicr') & cells.get('eims') & sent & ~before;
    if (fresh === 0) return;
    const masks = cells.has('gpie', GPIE.EIAME) ? VECTOR_BITS : virtualVectors;
    cells.set('eicr', cells.get('eicr') & ~(fresh & cells.get('eiac')));
    cells.set('eims', cells.get('eims') & ~(fresh & masks & cells.get('eiam')));
    for (let rest = fresh; rest !== 0; rest &= rest - 1) {
      this.#sink.vector(31 - Math.clz32(rest & -rest));
    }
  }
  /** Vectors by queues; `shift` chooses the byte of a receive queue (0) or a transmit queue (8). */
  #vectorsOf(queues: number, shift: number): number {
    let bits = 0;
    for (let queue = 0; queues >>> queue !== 0; queue++) {
      if (((queues >>> queue) & 1) === 0) continue;
      const entry = this.#cells.get('ivar', queue & 7) >>> (shift + (queue >= 8 ? 16 : 0));
      if ((entry & VALID) !== 0) bits |= 1 << (entry & VECTOR);
    }
    return bits;
  }
}
