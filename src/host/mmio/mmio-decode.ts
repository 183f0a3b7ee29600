/**
 * What an instruction that touched device registers does, as data: operation, operands, width.
 *
 * Decoding is iced-x86's; here its many forms become the few that mmio-emulate.ts carries out.
 */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';

// cast: createRequire knows no types
const iced = createRequire(import.meta.url)('iced-x86') as typeof Iced;
const { Decoder, Mnemonic, OpKind, Register, MemorySizeExt, RegisterExt } = iced;

/** What an instruction does with its memory operand. */
export type Operation =
  | 'move'
  | 'move-zero'
  | 'move-sign'
  | 'move-vector'
  | 'or'
  | 'and'
  | 'xor'
  | 'add'
  | 'sub'
  | 'compare'
  | 'test'
  | 'exchange'
  | 'exchange-add'
  | 'compare-exchange'
  | 'inc'
  | 'dec'
  | 'not'
  | 'neg'
  | 'bit-test'
  | 'bit-set'
  | 'bit-reset'
  | 'string-move'
  | 'string-store'
  | 'string-load';

/** The other side of an access. */
export type Operand =
  | { readonly kind: 'memory' }
  /** A general register: byte offset in user_regs_struct and width. */
  | { readonly kind: 'register'; readonly at: number; readonly width: number }
  | { readonly kind: 'vector'; readonly index: number; readonly width: number }
  | { readonly kind: 'immediate'; readonly value: bigint };

/** An instruction that touches memory, decoded. */
export interface Access {
  readonly operation: Operation;
  readonly operands: readonly Operand[];
  /** Bytes of memory. */
  readonly width: number;
  readonly length: number;
  readonly repeated: boolean;
  /** A vector instruction that clears the register above what it wrote. */
  readonly clearsUpper: boolean;
  /** For messages: the mnemonic and the bytes. */
  readonly text: string;
}

const M = Mnemonic;
const OPERATIONS = new Map<number, Operation>([
  [M.Mov, 'move'],
  [M.Movnti, 'move'],
  [M.Movzx, 'move-zero'],
  [M.Movsx, 'move-sign'],
  [M.Movsxd, 'move-sign'],
  [M.Or, 'or'],
  [M.And, 'and'],
  [M.Xor, 'xor'],
  [M.Add, 'add'],
  [M.Sub, 'sub'],
  [M.Cmp, 'compare'],
  [M.Test, 'test'],
  [M.Xchg, 'exchange'],
  [M.Xadd, 'exchange-add'],
  [M.Cmpxchg, 'compare-exchange'],
  [M.Inc, 'inc'],
  [M.Dec, 'dec'],
  [M.Not, 'not'],
  [M.Neg, 'neg'],
  [M.Bt, 'bit-test'],
  [M.Bts, 'bit-set'],
  [M.Btr, 'bit-reset'],
  [M.Movsb, 'string-move'],
  [M.Movsw, 'string-move'],
  [M.Movsd, 'string-move'],
  [M.Movsq, 'string-move'],
  [M.Stosb, 'string-store'],
  [M.Stosw, 'string-store'],
  [M.Stosd, 'string-store'],
  [M.Stosq, 'string-store'],
  [M.Lodsb, 'string-load'],
  [M.Lodsw, 'string-load'],
  [M.Lodsd, 'string-load'],
  [M.Lodsq, 'string-load'],
]);
const VECTOR_MOVES = new Set<number>([
  ...[M.Movups, M.Movaps, M.Movupd, M.Movapd, M.Movdqu, M.Movdqa, M.Movntdq, M.Movntps],
  ...[M.Movq, M.Movd, M.Movss, M.Vmovdqu, M.Vmovdqa, M.Vmovups, M.Vmovaps, M.Vmovupd, M.Vmovapd],
  ...[M.Vmovntdq, M.Vmovq, M.Vmovd, M.Movlps, M.Movlpd, M.Lddqu, M.Vlddqu, M.Movntdqa],
]);
const KEEPS_UPPER = new Set<number>([M.Movlps, M.Movlpd]);

/** Order of general registers in iced's numbering → byte offset in user_regs_struct. */
const GENERAL = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0];

/** The access of the instruction that begins the bytes; undefined when it is none we can carry out. */
export function decodeAccess(code: Uint8Array): Access | undefined {
  const decoder = new Decoder(64, code, 0);
  const instruction = decoder.decode();
  try {
    return instruction.isInvalid ? undefined : accessOf(instruction, code);
  } finally {
    instruction.free();
    decoder.free();
  }
}

function accessOf(instruction: Iced.Instruction, code: Uint8Array): Access | undefined {
  const mnemonic = instruction.mnemonic;
  const operands: Operand[] = [];
  for (let index = 0; index < instruction.opCount; index++) {
    const operand = operandOf(instruction, index);
    if (!operand) return undefined;
    operands.push(operand);
  }
  const isVector = operands.some((operand) => operand.kind === 'vector');
  const operation =
    isVector && (VECTOR_MOVES.has(mnemonic) || mnemonic === M.Movsd)
      ? 'move-vector'
      : OPERATIONS.get(mnemonic);
  const width = MemorySizeExt.size(instruction.memorySize);
  if (!operation || width === 0) return undefined;
  const bytes = Buffer.from(code.subarray(0, instruction.length)).toString('hex');
  return {
    operation,
    operands,
    width,
    length: instruction.length,
    repeated: instruction.hasRepPrefix || instruction.hasRepePrefix,
    clearsUpper: isVector && !KEEPS_UPPER.has(mnemonic),
    text: `${M[mnemonic]} (${bytes})`,
  };
}

function operandOf(instruction: Iced.Instruction, index: number): Operand | undefined {
  const kind = instruction.opKind(index);
  if (kind === OpKind.Register) return registerOf(instruction.opRegister(index));
  const isMemory =
    kind === OpKind.Memory || (kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI);
  if (isMemory) return { kind: 'memory' };
  return { kind: 'immediate', value: instruction.immediate(index) };
}

function registerOf(register: Iced.Register): Operand | undefined {
  if (register >= Register.XMM0 && register <= Register.XMM15) {
    return { kind: 'vector', index: register - Register.XMM0, width: 16 };
  }
  if (register >= Register.YMM0 && register <= Register.YMM15) {
    return { kind: 'vector', index: register - Register.YMM0, width: 32 };
  }
  if (!RegisterExt.isGPR(register)) return undefined;
  const at = GENERAL[RegisterExt.number(register)];
  if (at === undefined) return undefined;
  const isHighByte = register >= Register.AH && register <= Register.BH;
  // iced numbers AH…BH as 4…7; they are the second byte of the first four.
  if (isHighByte) return { kind: 'register', at: GENERAL[register - Register.AH]! + 1, width: 1 };
  return { kind: 'register', at, width: RegisterExt.size(register) };
}
