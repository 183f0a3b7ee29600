/** Arithmetic flags and little values, for the instructions that are not run by the processor: string comparisons. */
import { REGS } from '../sys/ptrace.ts';

export const CARRY = 0x1;
export const PARITY = 0x4;
export const ADJUST = 0x10;
export const ZERO = 0x40;
export const SIGN = 0x80;
export const DIRECTION = 0x400;
export const OVERFLOW = 0x800;
const ARITHMETIC = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW;

export function bitsOf(width: number, value: bigint): bigint {
  return BigInt.asUintN(width * 8, value);
}
export function readRegister(regs: Buffer, at: number, width: number): bigint {
  return width === 8 ? regs.readBigUInt64LE(at) : BigInt(regs.readUIntLE(at, width));
}
/** Writing 32 bits clears the upper half; 8 and 16 leave the rest. */
export function writeRegister(regs: Buffer, at: number, width: number, value: bigint): void {
  if (width >= 4) regs.writeBigUInt64LE(bitsOf(width, value), at);
  else regs.writeUIntLE(Number(bitsOf(width, value)), at, width);
}
export function addToRegister(regs: Buffer, at: number, delta: bigint): void {
  regs.writeBigUInt64LE(BigInt.asUintN(64, regs.readBigUInt64LE(at) + delta), at);
}

/** The flags of a - b, both unsigned and of `width` bytes. */
export function compare(regs: Buffer, width: number, a: bigint, b: bigint): void {
  const result = bitsOf(width, a - b);
  const sign = BigInt(width * 8 - 1);
  let flags = result === 0n ? ZERO : 0;
  if ((result >> sign) & 1n) flags |= SIGN;
  if (a < b) flags |= CARRY;
  if ((a ^ b ^ result) & 0x10n) flags |= ADJUST;
  if ((((a ^ b) & (a ^ result)) >> sign) & 1n) flags |= OVERFLOW;
  let ones = 0;
  for (let byte = Number(result & 0xffn); byte !== 0; byte &= byte - 1) ones++;
  if (ones % 2 === 0) flags |= PARITY;
  const old = regs.readUInt32LE(REGS.eflags);
  regs.writeUInt32LE(((old & ~ARITHMETIC) | flags) >>> 0, REGS.eflags);
}
