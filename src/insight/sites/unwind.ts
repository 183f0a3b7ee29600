/**
 * From the top of a stack to its callers, by call frame information. What is known of a thread that waits in a system call
 * is where it is and where its stack is, not its other registers; the frame pointer, where a function needs it, is found on
 * the stack again.
 */
import { findFramePointer } from './frame-pointer.ts';
import { evaluate, type FrameWorld } from './expression.ts';
import { RBP, RETURN_ADDRESS, RSP, type FrameRow, type RegisterRule } from './call-frame-info.ts';
import { placeOf, type CodeMapping, type CodePlace } from './module.ts';
import type { StackFrame } from './call-site.ts';

/** A thread as it was: where, and the top of its stack, as words of 8 bytes. Words that are no addresses may be 0. */
export interface StackCopy {
  readonly pc: number;
  readonly sp: number;
  readonly words: Float64Array;
  /** Other registers, by DWARF's numbers, where they are known. */
  readonly registers?: ReadonlyMap<number, number>;
}

const MOST_FRAMES = 64;
/** rbx, rbp, r12 to r15: a function gives them back as it got them. */
const CALLEE_SAVED = [3, RBP, 12, 13, 14, 15];

/** Innermost first; as far as it can be followed. */
export function unwind(copy: StackCopy, code: readonly CodeMapping[]): StackFrame[] {
  const frames: StackFrame[] = [];
  let thread: Thread | undefined = new Thread(copy, code);
  while (thread && frames.length < MOST_FRAMES) {
    frames.push(thread.frame);
    thread = thread.caller();
  }
  return frames;
}

/** A thread as it is in one of the functions on its stack. */
class Thread implements FrameWorld {
  readonly #copy: StackCopy;
  readonly #code: readonly CodeMapping[];
  readonly #registers: Map<number, number>;
  readonly #pc: number;
  /** The instruction before is the one that counts: a call returns behind it, maybe behind its function. */
  readonly #isReturn: boolean;

  constructor(
    copy: StackCopy,
    code: readonly CodeMapping[],
    at?: {
      readonly pc: number;
      readonly registers: Map<number, number>;
      readonly isReturn: boolean;
    },
  ) {
    this.#copy = copy;
    this.#code = code;
    this.#pc = at?.pc ?? copy.pc;
    this.#isReturn = at?.isReturn ?? false;
    this.#registers = at?.registers ?? new Map([...(copy.registers ?? []), [RSP, copy.sp]]);
  }
  register(number: number): number | undefined {
    return this.#registers.get(number);
  }
  word(address: number): number | undefined {
    const index = (address - this.#copy.sp) / 8;
    return Number.isInteger(index) ? this.#copy.words[index] : undefined;
  }
  get #looked(): number {
    return this.#isReturn ? this.#pc - 1 : this.#pc;
  }
  get frame(): StackFrame {
    const pc = this.#pc;
    const place = placeOf(this.#code, this.#looked);
    if (place) {
      const { module } = place.mapping;
      return { pc, ...module.describe(place.address + pc - this.#looked, place.address) };
    }
    const mapping = this.#code.find(({ start, end }) => pc >= start && pc < end);
    // Its file cannot be read: bytes of the file are all there is to say.
    return mapping
      ? { pc, module: mapping.module.name, offset: pc - mapping.start + mapping.fileOffset }
      : { pc };
  }

  /** Undefined: this one is the last that can be seen. */
  caller(): Thread | undefined {
    const place = placeOf(this.#code, this.#looked);
    const row = place?.mapping.module.frames.rowAt(place.address);
    if (!place || !row) return undefined;
    const cfa = this.#cfa(row, place);
    const sp = this.#registers.get(RSP) ?? 0;
    if (cfa === undefined || (cfa <= sp && !row.isSignal)) return undefined;
    const registers = this.#restored(row, cfa);
    const pc = registers.get(RETURN_ADDRESS);
    if (pc === undefined || pc === 0) return undefined;
    return new Thread(this.#copy, this.#code, { pc, registers, isReturn: !row.isSignal });
  }
  #cfa(row: FrameRow, place: CodePlace): number | undefined {
    if ('code' in row.cfa) return evaluate(row.cfa.code, this);
    const { register, offset } = row.cfa;
    if (register === RBP && !this.#registers.has(RBP)) {
      const sp = this.#registers.get(RSP)!; // a thread always has it
      const found = findFramePointer({
        row,
        place,
        sp,
        code: this.#code,
        word: (at) => this.word(at),
      });
      if (found !== undefined) this.#registers.set(RBP, found);
    }
    const base = this.#registers.get(register);
    return base === undefined ? undefined : base + offset;
  }
  #restored({ rules }: FrameRow, cfa: number): Map<number, number> {
    const registers = new Map<number, number>();
    for (const saved of CALLEE_SAVED) {
      const value = this.#registers.get(saved);
      if (value !== undefined) registers.set(saved, value);
    }
    registers.set(RSP, cfa);
    for (const [register, rule] of rules) {
      const value = this.#follow(rule, cfa);
      if (value === undefined) registers.delete(register);
      else registers.set(register, value);
    }
    return registers;
  }
  #follow(rule: RegisterRule, cfa: number): number | undefined {
    switch (rule.kind) {
      case 'at':
        return this.word(cfa + rule.offset);
      case 'value':
        return cfa + rule.offset;
      case 'register':
        return this.#registers.get(rule.register);
      case 'undefined':
        return undefined;
      default: {
        const value = evaluate(rule.code, this, [cfa]);
        if (value === undefined) return undefined;
        return rule.kind === 'expression' ? value : this.word(value);
      }
    }
  }
}
