/** Where the memory operand of an instruction is: registers of the thread, and what is added to them. */
import { REGS } from '../sys/ptrace.ts';

/** An effective address: byte offsets in user_regs_struct, -1 for none. */
export interface EffectiveAddress {
  readonly base: number;
  readonly index: number;
  readonly scale: bigint;
  readonly displacement: bigint;
  readonly segment: number;
  readonly isRipRelative: boolean;
  /** Computed in 32 bits. */
  readonly isShort: boolean;
}

/** Where the operand is in the program. */
export function effectiveAddress(place: EffectiveAddress, regs: Buffer): bigint {
  let address = place.displacement;
  if (place.isRipRelative) address += regs.readBigUInt64LE(REGS.rip);
  if (place.base >= 0) address += regs.readBigUInt64LE(place.base);
  if (place.index >= 0) address += regs.readBigUInt64LE(place.index) * place.scale;
  address = BigInt.asUintN(place.isShort ? 32 : 64, address);
  if (place.segment < 0) return address;
  return BigInt.asUintN(64, address + regs.readBigUInt64LE(place.segment));
}
