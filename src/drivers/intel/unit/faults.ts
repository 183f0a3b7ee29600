/**
 * Fault recording of a VT-d unit: the fault status register and the fault recording registers (formats.md 11.1; VT-d
 * 7.2.1).
 *
 * The unit fills the next free record and raises the fault interrupt; a record in use means overflow, and further
 * faults are lost until the driver has cleared it.
 */
import { faultRecord } from '../words.ts';
import { FSTS_PFO, FSTS_PPF, REG_FRCD, REG_FSTS } from '../registers.ts';

export interface UnitFault {
  readonly requesterId: number;
  /** -1 without PASID. */
  readonly pasid: number;
  readonly iovaG: number;
  readonly write: boolean;
  readonly code: number;
  readonly privileged?: boolean;
  readonly execute?: boolean;
}

const RECORD_WORDS = 4;
const FSTS_WORD = REG_FSTS / 4;

export class FaultRecorder {
  readonly #regs: Int32Array;
  readonly #count: number;
  readonly #interrupt: () => void;
  #next = 0;

  constructor(regs: Int32Array, count: number, interrupt: () => void) {
    this.#regs = regs;
    this.#count = count;
    this.#interrupt = interrupt;
  }

  record(fault: UnitFault): void {
    const regs = this.#regs;
    const status = regs[FSTS_WORD]!;
    if ((status & FSTS_PFO) !== 0) return;
    const at = REG_FRCD / 4 + this.#next * RECORD_WORDS;
    if (faultRecord.f.get(regs, at) === 1) {
      regs[FSTS_WORD] = status | FSTS_PFO;
      this.#interrupt();
      return;
    }
    regs.fill(0, at, at + RECORD_WORDS);
    faultRecord.address.set(regs, at, fault.iovaG);
    faultRecord.sid.set(regs, at, fault.requesterId);
    faultRecord.reason.set(regs, at, fault.code);
    faultRecord.read.set(regs, at, fault.write ? 0 : 1);
    if (fault.pasid >= 0) {
      faultRecord.pasidPresent.set(regs, at, 1);
      faultRecord.pasid.set(regs, at, fault.pasid);
      faultRecord.privileged.set(regs, at, Number(fault.privileged ?? false));
      faultRecord.execute.set(regs, at, Number(fault.execute ?? false));
    }
    faultRecord.f.set(regs, at, 1);
    const pending = (status & FSTS_PPF) !== 0;
    if (!pending) regs[FSTS_WORD] = (status & 0xff) | FSTS_PPF | (this.#next << 8);
    this.#next = (this.#next + 1) % this.#count;
    if (!pending) this.#interrupt();
  }

  /** A write to a record: F is write-1-to-clear. */
  writeRecord(word: number, value: number): void {
    const last = (word - REG_FRCD / 4) % RECORD_WORDS === RECORD_WORDS - 1;
    if (last && (value & (1 << 31)) !== 0) this.#regs[word]! &= 0x7fff_ffff;
    this.#updatePending();
  }

  /** A write to the status register: PFO and the queue error are write-1-to-clear. */
  writeStatus(value: number): void {
    this.#regs[FSTS_WORD]! &= ~(value & ~FSTS_PPF & 0xff);
    this.#updatePending();
  }

  #updatePending(): void {
    for (let n = 0; n < this.#count; n++) {
      if (faultRecord.f.get(this.#regs, REG_FRCD / 4 + n * RECORD_WORDS) === 1) return;
    }
    this.#regs[FSTS_WORD]! &= ~FSTS_PPF;
  }
}
