/**
 * What an instruction that touched device registers does, as data: operation, operands, width, where its memory is.
 *
 * Decoding is iced-x86's. Plain moves are operations of ours, as are the few with two memory operands; all others are run by
 * the processor (native-form.ts).
 */
import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';
import type { EffectiveAddress } from './effective-address.ts';
import { gatherForm, type GatherForm } from './gather.ts';
import { nativeForm } from './native-form.ts';
import type { NativeForm } from './native-form.ts';
import { generalRegister } from './registers.ts';
import { REGS } from '../sys/ptrace.ts';

// cast: createRequire knows no types
const iced = createRequire(import.meta.url)('iced-x86') as typeof Iced;
const { Decoder, Mnemonic, OpKind, Register, MemorySizeExt, RegisterExt } = iced;

/** How an instruction is carried out. */
export type Operation =
  | 'gather'
  | 'move'
  | 'move-zero'
  | 'move-sign'
  | 'move-64-bytes'
  | 'native'
  | 'nothing'
  | 'pop'
  | 'push'
  | 'string-compare'
  | 'string-load'
  | 'string-move'
  | 'string-scan'
  | 'string-store';

/** An operand of those that are not run by the processor. */
export type Operand =
  | { readonly kind: 'memory' }
  /** A general register: byte offset in user_regs_struct and width. */
  | { readonly kind: 'register'; readonly at: number; readonly width: number }
  | { readonly kind: 'immediate'; readonly value: bigint };

/** An instruction that touches memory, decoded. */
export interface MemoryAccess {
  readonly operation: Operation;
  readonly operands: readonly Operand[];
  /** Bytes of memory. */
  readonly width: number;
  readonly length: number;
  /** Of string instructions. */
  readonly repeat: 'no' | 'always' | 'while-equal' | 'while-different';
  readonly place: EffectiveAddress;
  readonly native?: NativeForm;
  readonly gather?: GatherForm;
  /** For messages: the mnemonic and the bytes. */
  readonly text: string;
}

const M = Mnemonic;
const OPERATIONS = new Map<number, Operation>([
  [M.Mov, 'move'],
  [M.Movdir64b, 'move-64-bytes'],
  [M.Movdiri, 'move'],
  [M.Movnti, 'move'],
  [M.Movsx, 'move-sign'],
  [M.Movsxd, 'move-sign'],
  [M.Movzx, 'move-zero'],
  [M.Pop, 'pop'],
  [M.Push, 'push'],
  ...[M.Cldemote, M.Clflush, M.Clflushopt, M.Clwb, M.Prefetchw].map(
    (mnemonic) => [mnemonic, 'nothing'] as const,
  ),
  ...[M.Cmpsb, M.Cmpsw, M.Cmpsd, M.Cmpsq].map((mnemonic) => [mnemonic, 'string-compare'] as const),
  ...[M.Lodsb, M.Lodsw, M.Lodsd, M.Lodsq].map((mnemonic) => [mnemonic, 'string-load'] as const),
  ...[M.Movsb, M.Movsw, M.Movsd, M.Movsq].map((mnemonic) => [mnemonic, 'string-move'] as const),
  ...[M.Scasb, M.Scasw, M.Scasd, M.Scasq].map((mnemonic) => [mnemonic, 'string-scan'] as const),
  ...[M.Stosb, M.Stosw, M.Stosd, M.Stosq].map((mnemonic) => [mnemonic, 'string-store'] as const),
]);
/** Their names are also those of vector moves and of segment registers'. */
const STRINGS: ReadonlySet<Operation> = new Set([
  ...(['string-compare', 'string-load', 'string-move', 'string-scan', 'string-store'] as const),
]);

/** The access of the instruction that begins the bytes; undefined when it is none we can carry out. */
export function decodeAccess(code: Uint8Array): MemoryAccess | undefined {
  const decoder = new Decoder(64, code, 0);
  const instruction = decoder.decode();
  try {
    return instruction.isInvalid ? undefined : accessOf(instruction, code);
  } finally {
    instruction.free();
    decoder.free();
  }
}

function accessOf(instruction: Iced.Instruction, code: Uint8Array): MemoryAccess | undefined {
  const operation = operationOf(instruction);
  const bytes = Buffer.from(code.subarray(0, instruction.length)).toString('hex');
  const access = {
    width: MemorySizeExt.size(instruction.memorySize),
    length: instruction.length,
    repeat: repeatOf(instruction, operation),
    place: placeOf(instruction),
    text: `${M[instruction.mnemonic]} (${bytes})`,
  };
  if (operation === 'gather') {
    const gather = gatherForm(instruction);
    return gather && { ...access, operation, operands: [], gather };
  }
  if (operation === 'native') {
    const native = nativeForm(instruction);
    return native && { ...access, operation, operands: [], native };
  }
  const operands = Array.from({ length: instruction.opCount }, (_, n) => operandOf(instruction, n));
  if (!operands.every((operand) => operand !== undefined)) return undefined;
  return access.width === 0 ? undefined : { ...access, operation, operands };
}

function operationOf(instruction: Iced.Instruction): Operation {
  const operation = OPERATIONS.get(instruction.mnemonic) ?? 'native';
  if (instruction.isVsib) return 'gather';
  if (STRINGS.has(operation) && !instruction.isStringInstruction) return 'native';
  return operation;
}
function repeatOf(instruction: Iced.Instruction, operation: Operation): MemoryAccess['repeat'] {
  const compares = operation === 'string-compare' || operation === 'string-scan';
  if (instruction.hasRepnePrefix) return compares ? 'while-different' : 'always';
  if (!instruction.hasRepPrefix) return 'no';
  return compares ? 'while-equal' : 'always';
}

function operandOf(instruction: Iced.Instruction, index: number): Operand | undefined {
  const kind = instruction.opKind(index);
  if (kind === OpKind.Register) {
    const register = generalRegister(instruction.opRegister(index));
    return register && { kind: 'register', ...register };
  }
  if (kind === OpKind.Memory || kind === OpKind.MemorySegRSI || kind === OpKind.MemoryESRDI) {
    return { kind: 'memory' };
  }
  const isImmediate = kind >= OpKind.Immediate8 && kind <= OpKind.Immediate32to64;
  return isImmediate ? { kind: 'immediate', value: instruction.immediate(index) } : undefined;
}

function placeOf(instruction: Iced.Instruction): EffectiveAddress {
  const { memoryBase, memoryIndex, memorySegment } = instruction;
  const isToRdi = instruction.op0Kind === OpKind.MemorySegRDI;
  const isRipRelative = memoryBase === Register.RIP || memoryBase === Register.EIP;
  const at = (register: Iced.Register): number => generalRegister(register)?.at ?? -1;
  const size = RegisterExt.size(memoryBase || memoryIndex);
  return {
    base: isToRdi ? REGS.rdi : at(memoryBase),
    index: at(memoryIndex),
    scale: BigInt(instruction.memoryIndexScale),
    displacement: instruction.memoryDisplacement,
    segment: SEGMENTS.get(memorySegment) ?? -1,
    isRipRelative,
    isShort: size === 4,
  };
}
const SEGMENTS = new Map<number, number>([
  [Register.FS, REGS.fsBase],
  [Register.GS, REGS.gsBase],
]);
