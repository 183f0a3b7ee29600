/** General registers of the decoder's numbering, as places in user_regs_struct. */
import type * as Iced from 'iced-x86';
import { iced } from './iced.ts';

/** Order of general registers in iced's numbering → byte offset in user_regs_struct. */
const GENERAL = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0];

/** A general register: byte offset in user_regs_struct and width. */
export function generalRegister(
  register: Iced.Register,
): { readonly at: number; readonly width: number } | undefined {
  if (!iced.RegisterExt.isGPR(register)) return undefined;
  const isHighByte = register >= iced.Register.AH && register <= iced.Register.BH;
  // iced numbers AH…BH as 4…7; they are the second byte of the first four.
  if (isHighByte) return { at: GENERAL[register - iced.Register.AH]! + 1, width: 1 };
  const at = GENERAL[iced.RegisterExt.fullRegister(register) - iced.Register.RAX];
  return at === undefined ? undefined : { at, width: iced.RegisterExt.size(register) };
}
