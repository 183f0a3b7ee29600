/** General registers of the decoder's numbering, as places in user_regs_struct. */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';

// cast: createRequire knows no types
const iced = createRequire(import.meta.url)('iced-x86') as typeof Iced;
const { Register, RegisterExt } = iced;

/** Order of general registers in iced's numbering → byte offset in user_regs_struct. */
const GENERAL = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0];

/** A general register: byte offset in user_regs_struct and width. */
export function generalRegister(
  register: Iced.Register,
): { readonly at: number; readonly width: number } | undefined {
  if (!RegisterExt.isGPR(register)) return undefined;
  const isHighByte = register >= Register.AH && register <= Register.BH;
  // iced numbers AH…BH as 4…7; they are the second byte of the first four.
  if (isHighByte) return { at: GENERAL[register - Register.AH]! + 1, width: 1 };
  const at = GENERAL[RegisterExt.fullRegister(register) - Register.RAX];
  return at === undefined ? undefined : { at, width: RegisterExt.size(register) };
}
