/**
 * Which instructions with a memory operand native-code.ts may run, and how: their memory operand becomes a register they do
 * not use, so that they reach nothing but the buffer it points to.
 *
 * What is run is our own encoding of what was decoded, of the kinds named here and of features this processor has: it cannot
 * jump, use the stack, load segment or control registers, or be undefined.
 */
import { readFileSync } from 'node:fs';
import type * as Iced from 'iced-x86';
import { iced } from './iced.ts';
import { generalRegister } from './registers.ts';

/** Which parts of the operand an instruction touches. */
export interface MaskForm {
  /** A bit of an opmask register, or the sign of an element of a vector register. */
  readonly by: 'opmask' | 'sign';
  readonly index: number;
  /** Bytes. */
  readonly element: number;
  readonly count: number;
  /** The elements chosen lie side by side (compress, expand). */
  readonly packed: boolean;
}
/** How the processor is to run an instruction. */
export interface NativeForm {
  readonly encoding: Uint8Array;
  /** The register that points to the operand: its place in user_regs_struct. */
  readonly base: number;
  readonly reads: boolean;
  readonly writes: boolean;
  /** cmpxchg and its kin store what is new only when it compared equal. */
  readonly writesIfEqual: boolean;
  readonly usesVectors: boolean;
  readonly setsVectors: boolean;
  /** Or MMX, whose registers are the same. */
  readonly usesX87: boolean;
  readonly mask?: MaskForm;
  /** bt and its kin with a register: it chooses the bit, and beyond the operand also the operand. */
  readonly bit?: { readonly at: number; readonly width: number };
  /** It moves control words, or a whole image of the registers of floating-point; of `bytes` it touches only the first. */
  readonly control?: {
    readonly bytes: number;
    readonly mxcsr?: number;
    readonly aligned: boolean;
    /** For an exception that waits: it would raise that. */
    readonly waits: boolean;
  };
  /** Quotients that do not fit are the program's SIGFPE. */
  readonly divides?: 'signed' | 'unsigned';
}

/** Without a feature of their own. */
const INTEGER =
  /^(Adc|Add|And|Bsf|Bsr|Bt|Btc|Btr|Bts|Cmp|Cmpxchg|Cmpxchg8b|Dec|Div|Idiv|Imul|Inc|Mul|Neg|Not|Or|Rcl|Rcr|Rol|Ror|Sar|Sbb|Shl|Shld|Shr|Shrd|Sub|Test|Xadd|Xchg|Xor|(Set|Cmov)(a|ae|b|be|e|g|ge|l|le|ne|no|np|ns|o|p|s))$/;
/** Feature in the decoder's words → in /proc/cpuinfo's. */
const FEATURES: Readonly<Record<string, string>> = {
  ADX: 'adx',
  AES: 'aes',
  AVX: 'avx',
  AVX2: 'avx2',
  AVX512BW: 'avx512bw',
  AVX512CD: 'avx512cd',
  AVX512DQ: 'avx512dq',
  AVX512F: 'avx512f',
  AVX512VL: 'avx512vl',
  AVX512_BF16: 'avx512_bf16',
  AVX512_BITALG: 'avx512_bitalg',
  AVX512_FP16: 'avx512_fp16',
  AVX512_IFMA: 'avx512ifma',
  AVX512_VBMI: 'avx512vbmi',
  AVX512_VBMI2: 'avx512_vbmi2',
  AVX512_VNNI: 'avx512_vnni',
  AVX512_VPOPCNTDQ: 'avx512_vpopcntdq',
  AVX_VNNI: 'avx_vnni',
  BMI1: 'bmi1',
  BMI2: 'bmi2',
  CMPXCHG16B: 'cx16',
  F16C: 'f16c',
  FMA: 'fma',
  FPU: 'fpu',
  FPU387: 'fpu',
  FXSR: 'fxsr',
  GFNI: 'gfni',
  LZCNT: 'abm',
  MMX: 'mmx',
  MOVBE: 'movbe',
  MOVDIRI: 'movdiri',
  PCLMULQDQ: 'pclmulqdq',
  POPCNT: 'popcnt',
  SSE: 'sse',
  SSE2: 'sse2',
  SSE3: 'pni',
  SSE4_1: 'sse4_1',
  SSE4_2: 'sse4_2',
  SSSE3: 'ssse3',
  VAES: 'vaes',
  VPCLMULQDQ: 'vpclmulqdq',
};
/** It has a feature of that list, and more to it than a memory operand. */
const EXCLUDED = /^Maskmovq$/;
/** Control words, environments and images: they raise no exceptions of floating-point, and say which ones are signals. */
const CONTROL = /mxcsr$|^F(ldcw|n?stcw|n?stsw|ldenv|n?stenv|n?save|rstor|xsave|xrstor)/;
const IMAGE = /^Fx/;
const NO_WAIT = /^F[nx]/;
/** What the processor stores of an image: the rest is for programs. */
const IMAGE_BYTES = 416;
/** Where MXCSR is in what is loaded. */
const MXCSR_LOADS: readonly (readonly [name: RegExp, at: number])[] = [
  [/ldmxcsr$/i, 0],
  [/^Fxrstor/, 24],
];
const BIT = /^Bt[crs]?$/;
const EQUAL = /^Cmpxchg/;
const BY_SIGN = /^Vp?maskmov|^V?maskmovdqu|^Maskmovdqu/;
const BY_BYTE = /maskmovdqu$/i;
/** Masked loads that read only what is chosen; others (shuffles, broadcasts) are given the operand as a whole. */
const ELEMENTWISE_LOAD = /^Vmov|^Vpmov/;
const PACKED = /compress|expand/;
/** To a general register too: MXCSR says how, and learns of it. */
const CONVERTS = /^v?cvt/i;
const ONLY_STORES = /mov|extr|compress/i;
/** Vector operands are 64 bytes at most, and images 512. */
const MAX_OPERAND = 512;
/** Of the first eight, because the high bytes of registers do not go with the others. */
const BASES = ['RBX', 'RSI', 'RDI', 'RBP', 'RCX', 'RDX', 'RAX'] as const;
const DIVIDES = new Map<string, 'signed' | 'unsigned'>([
  ['Div', 'unsigned'],
  ['Idiv', 'signed'],
]);

let flags: ReadonlySet<string> | undefined;
function has(feature: string): boolean {
  const flag = FEATURES[feature];
  flags ??= new Set(
    /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '),
  );
  // Guests may not be told of it where the processor has it, which programs ask themselves: it came with BMI1.
  if (flag === 'abm' && flags.has('bmi1')) return true;
  return flag !== undefined && flags.has(flag);
}

/** Undefined: not one of those. The instruction is changed. */
export function nativeForm(instruction: Iced.Instruction): NativeForm | undefined {
  const name = iced.Mnemonic[instruction.mnemonic];
  if (!isPermitted(instruction, name)) return undefined;
  const operand = memoryOperand(instruction);
  if (operand < 0) return undefined;
  const parts = partsOf(instruction, name, operand);
  const isImplicit = instruction.opKind(operand) === iced.OpKind.MemorySegRDI;
  rebase(instruction, isImplicit ? iced.Register.RDI : iced.Register.R15); // R15 is none of the bases
  const used = usage(instruction);
  const base = isImplicit ? iced.Register.RDI : freeBase(used);
  const at = base && generalRegister(base)?.at;
  if (base === undefined || at === undefined || used.forbidden) return undefined;
  rebase(instruction, base);
  return {
    encoding: encode(instruction),
    base: at,
    ...used.access,
    ...stateOf(used, name, operand),
    ...parts,
  };
}
function freeBase({ general }: Usage): Iced.Register | undefined {
  return BASES.map((name) => iced.Register[name]).find((register) => !general.has(register));
}
function stateOf(
  { vectors, x87 }: Usage,
  name: string,
  operand: number,
): Pick<NativeForm, 'setsVectors' | 'usesVectors' | 'usesX87'> {
  const onlyStores = operand === 0 && ONLY_STORES.test(name);
  const usesVectors = vectors || x87 || CONVERTS.test(name) || CONTROL.test(name);
  return { usesVectors, setsVectors: x87 || (usesVectors && !onlyStores), usesX87: x87 };
}
function partsOf(
  instruction: Iced.Instruction,
  name: string,
  operand: number,
): Pick<NativeForm, 'bit' | 'control' | 'divides' | 'mask' | 'writesIfEqual'> {
  const mask = maskOf(instruction, name, operand);
  const bit = bitOf(instruction, name);
  const divides = DIVIDES.get(name);
  const control = controlOf(instruction, name);
  return {
    writesIfEqual: EQUAL.test(name),
    ...(mask && { mask }),
    ...(bit && { bit }),
    ...(control && { control }),
    ...(divides && { divides }),
  };
}

function memoryOperand(instruction: Iced.Instruction): number {
  const size = iced.MemorySizeExt.size(instruction.memorySize);
  if (size === 0 || size > MAX_OPERAND) return -1;
  const isMemory = (kind: Iced.OpKind): boolean =>
    kind === iced.OpKind.Memory || kind === iced.OpKind.MemorySegRDI;
  const kinds = Array.from({ length: instruction.opCount }, (_, n) => instruction.opKind(n));
  return kinds.findIndex(isMemory);
}

function isPermitted(instruction: Iced.Instruction, name: string): boolean {
  if (instruction.isVsib || instruction.isStackInstruction || instruction.isPrivileged)
    return false;
  if (instruction.flowControl !== iced.FlowControl.Next || EXCLUDED.test(name)) return false;
  if (instruction.hasRepPrefix || instruction.hasRepnePrefix) return false;
  if (INTEGER.test(name)) return true;
  return [...instruction.cpuidFeatures()].every((feature) => has(iced.CpuidFeature[feature] ?? ''));
}

interface Usage {
  readonly general: ReadonlySet<Iced.Register>;
  readonly vectors: boolean;
  readonly x87: boolean;
  /** Registers that are ours as long as the instruction runs. */
  readonly forbidden: boolean;
  readonly access: { readonly reads: boolean; readonly writes: boolean };
}
function usage(instruction: Iced.Instruction): Usage {
  const factory = new iced.InstructionInfoFactory();
  const info = factory.info(instruction);
  // cast: the declarations say any[], the documentation says these
  const registers = (info.usedRegisters() as Iced.UsedRegister[]).map((used) => used.register);
  // cast: as above
  const memory = (info.usedMemory() as Iced.UsedMemory[])[0]?.access ?? iced.OpAccess.None;
  info.free();
  factory.free();
  const features = [...instruction.cpuidFeatures()].map((feature) => iced.CpuidFeature[feature]);
  const general = registers.filter((register) => iced.RegisterExt.isGPR(register));
  const isVector = (register: Iced.Register): boolean =>
    iced.RegisterExt.isVectorRegister(register) || iced.RegisterExt.isK(register);
  return {
    general: new Set(general.map((register) => iced.RegisterExt.fullRegister(register))),
    vectors: registers.some(isVector),
    x87:
      features.some((feature) => feature?.startsWith('FPU')) ||
      registers.some((register) => iced.RegisterExt.isMM(register)),
    forbidden: memory === iced.OpAccess.None || registers.some(isForbidden),
    access: {
      reads: memory !== iced.OpAccess.Write && memory !== iced.OpAccess.CondWrite,
      writes: memory !== iced.OpAccess.Read && memory !== iced.OpAccess.CondRead,
    },
  };
}
function isForbidden(register: Iced.Register): boolean {
  if (iced.RegisterExt.isSegmentRegister(register)) return true;
  return iced.RegisterExt.fullRegister(register) === iced.Register.RSP;
}

/** The segment goes in any case. */
function rebase(instruction: Iced.Instruction, base: Iced.Register): void {
  instruction.memoryBase = base;
  instruction.memoryIndex = iced.Register.None;
  instruction.memoryIndexScale = 1;
  instruction.memoryDisplacement = 0n;
  instruction.memoryDisplSize = 0;
  instruction.segmentPrefix = iced.Register.None;
}
function encode(instruction: Iced.Instruction): Uint8Array {
  const encoder = new iced.Encoder(64);
  try {
    encoder.encode(instruction, 0n);
    return encoder.takeBuffer();
  } finally {
    encoder.free();
  }
}

function maskOf(
  instruction: Iced.Instruction,
  name: string,
  operand: number,
): MaskForm | undefined {
  const size = iced.MemorySizeExt.size(instruction.memorySize);
  if (BY_SIGN.test(name)) {
    const index = iced.RegisterExt.number(instruction.opRegister(BY_BYTE.test(name) ? 2 : 1));
    const element = BY_BYTE.test(name) ? 1 : iced.MemorySizeExt.elementSize(instruction.memorySize);
    return { by: 'sign', index, element, count: size / element, packed: false };
  }
  const packed = PACKED.test(name);
  const isMasked = instruction.opMask !== iced.Register.None;
  if (!isMasked || (operand !== 0 && !packed && !ELEMENTWISE_LOAD.test(name))) return undefined;
  const element = iced.MemorySizeExt.elementSize(instruction.memorySize);
  return {
    by: 'opmask',
    index: instruction.opMask - iced.Register.K0,
    element,
    count: size / element,
    packed,
  };
}
function controlOf(instruction: Iced.Instruction, name: string): NativeForm['control'] {
  if (!CONTROL.test(name)) return undefined;
  const aligned = IMAGE.test(name);
  const bytes = aligned ? IMAGE_BYTES : iced.MemorySizeExt.size(instruction.memorySize);
  const mxcsr = MXCSR_LOADS.find(([loads]) => loads.test(name))?.[1];
  const waits = name.startsWith('F') && !NO_WAIT.test(name);
  return { bytes, aligned, waits, ...(mxcsr !== undefined && { mxcsr }) };
}
function bitOf(instruction: Iced.Instruction, name: string): NativeForm['bit'] {
  if (!BIT.test(name) || instruction.opKind(1) !== iced.OpKind.Register) return undefined;
  return generalRegister(instruction.opRegister(1));
}
