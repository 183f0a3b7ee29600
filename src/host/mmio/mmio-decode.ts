/**
 * What an instruction that touched device registers does, as data: operation, operands, width, where its memory is.
 *
 * Decoding is iced-x86's. Plain moves are operations of ours, as are the few with two memory operands; all others are run by
 * the processor (native-form.ts).
 */
import type * as Iced from 'iced-x86';
import type { EffectiveAddress } from './effective-address.ts';
import { gatherForm, type GatherForm } from './gather.ts';
import { iced } from './iced.ts';
import { nativeForm } from './native-form.ts';
import type { NativeForm } from './native-form.ts';
import { generalRegister } from './registers.ts';
import { REGS } from '../sys/ptrace.ts';

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

const OPERATIONS: Readonly<Partial<Record<keyof typeof Iced.Mnemonic, Operation>>> = {
  Mov: 'move',
  Movdir64b: 'move-64-bytes',
  Movdiri: 'move',
  Movnti: 'move',
  Movsx: 'move-sign',
  Movsxd: 'move-sign',
  Movzx: 'move-zero',
  Pop: 'pop',
  Push: 'push',
  ...all('nothing', ['Cldemote', 'Clflush', 'Clflushopt', 'Clwb', 'Prefetchw']),
  ...all('string-compare', ['Cmpsb', 'Cmpsw', 'Cmpsd', 'Cmpsq']),
  ...all('string-load', ['Lodsb', 'Lodsw', 'Lodsd', 'Lodsq']),
  ...all('string-move', ['Movsb', 'Movsw', 'Movsd', 'Movsq']),
  ...all('string-scan', ['Scasb', 'Scasw', 'Scasd', 'Scasq']),
  ...all('string-store', ['Stosb', 'Stosw', 'Stosd', 'Stosq']),
};
function all<Name extends string>(
  operation: Operation,
  names: readonly Name[],
): Partial<Record<Name, Operation>> {
  // cast: fromEntries knows no names
  return Object.fromEntries(names.map((name) => [name, operation])) as Record<Name, Operation>;
}
/** Their names are also those of vector moves and of segment registers'. */
const STRINGS: ReadonlySet<Operation> = new Set([
  ...(['string-compare', 'string-load', 'string-move', 'string-scan', 'string-store'] as const),
]);

/** The access of the instruction that begins the bytes; undefined when it is none we can carry out. */
export function decodeAccess(code: Uint8Array): MemoryAccess | undefined {
  const decoder = new iced.Decoder(64, code, 0);
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
    width: iced.MemorySizeExt.size(instruction.memorySize),
    length: instruction.length,
    repeat: repeatOf(instruction, operation),
    place: placeOf(instruction),
    text: `${nameOf(instruction)} (${bytes})`,
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
  const operation = OPERATIONS[nameOf(instruction)] ?? 'native';
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
  if (kind === iced.OpKind.Register) {
    const register = generalRegister(instruction.opRegister(index));
    return register && { kind: 'register', ...register };
  }
  if (
    kind === iced.OpKind.Memory ||
    kind === iced.OpKind.MemorySegRSI ||
    kind === iced.OpKind.MemoryESRDI
  ) {
    return { kind: 'memory' };
  }
  const isImmediate = kind >= iced.OpKind.Immediate8 && kind <= iced.OpKind.Immediate32to64;
  return isImmediate ? { kind: 'immediate', value: instruction.immediate(index) } : undefined;
}

function placeOf(instruction: Iced.Instruction): EffectiveAddress {
  const { memoryBase, memoryIndex, memorySegment } = instruction;
  const isToRdi = instruction.op0Kind === iced.OpKind.MemorySegRDI;
  const isRipRelative = memoryBase === iced.Register.RIP || memoryBase === iced.Register.EIP;
  const at = (register: Iced.Register): number => generalRegister(register)?.at ?? -1;
  const size = iced.RegisterExt.size(memoryBase || memoryIndex);
  return {
    base: isToRdi ? REGS.rdi : at(memoryBase),
    index: at(memoryIndex),
    scale: BigInt(instruction.memoryIndexScale),
    displacement: instruction.memoryDisplacement,
    segment: segmentBase(memorySegment),
    isRipRelative,
    isShort: size === 4,
  };
}
function segmentBase(register: Iced.Register): number {
  if (register === iced.Register.FS) return REGS.fsBase;
  return register === iced.Register.GS ? REGS.gsBase : -1;
}
function nameOf({ mnemonic }: Iced.Instruction): keyof typeof Iced.Mnemonic {
  // cast: an enum's names are strings to the checker
  return iced.Mnemonic[mnemonic] as keyof typeof Iced.Mnemonic;
}
