/** A thread that has stopped at an instruction, as the operations on it see it, and what can come of one. */
import type { InstructionFault, InstructionMemory } from '../process/instruction-memory.ts';

/** The extended state of the thread: an XSAVE area in standard form. Both give a negative errno when there is none. */
export interface VectorState {
  /** The result is its length. */
  get(into: Uint8Array): number;
  set(from: Uint8Array): number;
}
/** A thread stopped at an access, and what it can reach. */
export interface Stopped {
  /** struct user_regs_struct */
  readonly regs: Buffer;
  readonly memory: InstructionMemory;
  readonly vectors: VectorState;
}

/** 'unknown': it cannot be done, and no register of the thread has changed. A fault is to be the program's signal. */
export type Emulated = 'done' | 'unknown' | InstructionFault;
