/**
 * An assembler for seccomp filters: instructions with labels instead of jump distances.
 *
 * Only loads of struct seccomp_data, comparisons, AND, a remainder and return are needed.
 */
import { Bug } from '../../base/bug.ts';

/** The call waits for an answer of the supervisor. */
export const SECCOMP_RET_USER_NOTIF = 0x7fc00000;
/** The call is made. */
export const SECCOMP_RET_ALLOW = 0x7fff0000;
/** The call is refused with the errno in the lower half. */
export const SECCOMP_RET_ERRNO = 0x00050000;
/** AUDIT_ARCH_X86_64 */
export const ARCH_X86_64 = 0xc000003e;

/** Offsets into struct seccomp_data. */
export const DATA = {
  nr: 0,
  arch: 4,
  argLow: (index: number): number => 16 + index * 8,
  argHigh: (index: number): number => 20 + index * 8,
} as const;

interface Instruction {
  readonly code: number;
  readonly value: number;
  readonly yes?: string | undefined;
  readonly no?: string | undefined;
}

/** Appends instructions; every jump goes forward. */
export class FilterAssembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  label(name: string): this {
    this.#labels.set(name, this.#instructions.length);
    return this;
  }
  load(offset: number): this {
    return this.#add({ code: 0x20, value: offset });
  }
  and(mask: number): this {
    return this.#add({ code: 0x54, value: mask });
  }
  /** The field at an offset modulo a constant: there is no instruction for it. */
  remainder(offset: number, divisor: number): this {
    this.#add({ code: 0x20, value: offset }).#add({ code: 0x34, value: divisor });
    this.#add({ code: 0x24, value: divisor }).#add({ code: 0x07, value: 0 });
    return this.#add({ code: 0x20, value: offset }).#add({ code: 0x1c, value: 0 });
  }
  /** A missing label means the next instruction. */
  ifEqual(value: number, yes?: string, no?: string): this {
    return this.#add({ code: 0x15, value, yes, no });
  }
  ifAtLeast(value: number, yes?: string, no?: string): this {
    return this.#add({ code: 0x35, value, yes, no });
  }
  ifAbove(value: number, yes?: string, no?: string): this {
    return this.#add({ code: 0x25, value, yes, no });
  }
  ifAnyBit(mask: number, yes?: string, no?: string): this {
    return this.#add({ code: 0x45, value: mask, yes, no });
  }
  /** Whatever the value is. */
  always(label: string): this {
    return this.ifEqual(0, label, label);
  }
  return(action: number): this {
    return this.#add({ code: 0x06, value: action });
  }
  /** struct sock_filter[] */
  assemble(): Buffer {
    const out = Buffer.alloc(this.#instructions.length * 8);
    this.#instructions.forEach(({ code, value, yes, no }, index) => {
      out.writeUInt16LE(code, index * 8);
      out.writeUInt8(this.#distance(index, yes), index * 8 + 2);
      out.writeUInt8(this.#distance(index, no), index * 8 + 3);
      out.writeUInt32LE(value >>> 0, index * 8 + 4);
    });
    return out;
  }
  #add(instruction: Instruction): this {
    this.#instructions.push(instruction);
    return this;
  }
  #distance(from: number, label: string | undefined): number {
    if (label === undefined) return 0;
    const to = this.#labels.get(label);
    if (to === undefined) throw new Bug(`filter label '${label}' is not defined`);
    const distance = to - from - 1;
    if (distance < 0 || distance > 255) throw new Bug(`filter label '${label}' is out of reach`);
    return distance;
  }
}
