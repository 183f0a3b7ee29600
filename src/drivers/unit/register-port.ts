/** The register page of a unit, as both sides reach it: 32 bits at a time. */
import type { RingPointers } from './ring.ts';

/** Registers. Offsets are bytes; a 64-bit register is two accesses. */
export interface RegisterPort {
  /** All ones where no register is. */
  read32(offset: number): number;
  /** Does what the register does when it is written. */
  write32(offset: number, value: number): void;
}

/** A 64-bit register. */
export function read64(port: RegisterPort, offset: number): bigint {
  const low = BigInt(port.read32(offset) >>> 0);
  return low | (BigInt(port.read32(offset + 4) >>> 0) << 32n);
}
/** Write a 64-bit register, the low half first; `fill` sets the fields of two zeroed words. */
export function write64(
  port: RegisterPort,
  offset: number,
  fill: (words: Int32Array, at: number) => void,
): void {
  const words = new Int32Array(2);
  fill(words, 0);
  port.write32(offset, words[0]!);
  port.write32(offset + 4, words[1]!);
}

/** The page itself, as the unit has it: what is written stays, and does nothing. */
export function bareRegisters(words: Int32Array): RegisterPort {
  return {
    read32: (offset) => words[offset >> 2] ?? -1,
    write32(offset, value) {
      words[offset >> 2] = value;
    },
  };
}

/** The pointers of a ring in two registers. */
export function ringPointers(port: RegisterPort, head: number, tail: number): RingPointers {
  return {
    get head() {
      return port.read32(head);
    },
    set head(value) {
      port.write32(head, value);
    },
    get tail() {
      return port.read32(tail);
    },
    set tail(value) {
      port.write32(tail, value);
    },
  };
}
