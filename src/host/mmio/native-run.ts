/**
 * An instruction of native-form.ts on a stopped thread: its operand is loaded, the processor runs it, its operand is stored.
 *
 * Operands wider than 8 bytes move 8 bytes at a time, ascending; masked ones by elements, and only those chosen.
 */
import type { MemoryAccess } from './mmio-decode.ts';
import {
  GENERAL_PROTECTION,
  type InstructionFault,
  type InstructionMemory,
} from '../process/instruction-memory.ts';
import type { Stopped } from './stopped.ts';
import { effectiveAddress } from './effective-address.ts';
import { readRegister, writeRegister, ZERO } from './flags.ts';
import {
  compileNative,
  componentOffset,
  operandPlace,
  runNative,
  sharedMemory,
} from './native-code.ts';
import type { MaskForm, NativeForm } from './native-form.ts';
import { REGS } from '../sys/ptrace.ts';

const SIGFPE = 8;
const FPE_INTDIV = 1;
/** Offsets in the XSAVE area. */
const CONTROL_WORD = 0;
const STATUS_WORD = 2;
const X87_INSTRUCTION = 8;
const X87_OPERAND = 16;
const MXCSR = 24;
const MXCSR_KNOWN = 28;
const SSE = 160;
/** XSTATE_BV */
const PRESENT = 512;
const X87_AND_SSE = 3;
const UPPER = 2;
const OPMASK = 5;
const CONTROL_WORD_MASKS = 0x3f;
/** An exception waits that is not masked. */
const SUMMARY = 0x80;
/** Where the processor does not say: without denormals-are-zeros. */
const MXCSR_ALWAYS_KNOWN = 0xffbf;
const IMAGE_ALIGNMENT = 16n;
const MXCSR_MASKS = 0x1f80;
const MXCSR_FLAGS = 0x3f;
const MASK_SHIFT = 7;

type Piece = readonly [offset: number, width: number];

/** 'unknown': it cannot be carried out on this thread; nothing has been stored. */
export function nativeOperation(
  access: MemoryAccess,
  stopped: Stopped,
): 'done' | 'unknown' | InstructionFault {
  const form = access.native!;
  const { regs, vectors } = stopped;
  const state = form.usesVectors ? sharedMemory().vectors : undefined;
  const length = state ? vectors.get(state) : 0;
  if (length < 0 || (form.usesX87 && mayRaise(form, state!))) return 'unknown';
  const address = effectiveAddress(access.place, regs) + bitDistance(form, access.width, regs);
  if (form.control?.aligned && address % IMAGE_ALIGNMENT !== 0n) return GENERAL_PROTECTION;
  const pieces = [...piecesOf(form, access.width, state)];
  const outcome = runOn(access, stopped, { address, pieces, state });
  if (outcome !== 'done') return outcome;
  if (state && form.setsVectors) vectors.set(changed(form, state).subarray(0, length));
  return 'done';
}
/** Control words are taken with the registers they are of. */
function changed({ control }: NativeForm, state: Buffer): Buffer {
  if (control) state[PRESENT]! |= X87_AND_SSE;
  return state;
}

interface Operand {
  readonly address: bigint;
  readonly pieces: readonly Piece[];
  readonly state: Buffer | undefined;
}
function runOn(
  access: MemoryAccess,
  stopped: Stopped,
  where: Operand,
): 'done' | 'unknown' | InstructionFault {
  const form = access.native!;
  const { memory, regs } = stopped;
  const missing = missingOf(where, memory, form.writes);
  if (missing) return missing;
  const { operand } = sharedMemory();
  const place = operandPlace(where.address);
  const bytes = operand.subarray(place.offset, place.offset + access.width);
  bytes.fill(0);
  if (form.reads) load(bytes, where, memory);
  const fault = faultOf(form, regs, { bytes, state: where.state });
  if (fault) return fault;
  const after = Buffer.from(regs);
  after.writeBigUInt64LE(place.at, form.base);
  if (form.bit) chooseBit(form.bit, access.width, after);
  if (!run(form, after, where.state)) return 'unknown';
  if (form.usesX87 && !form.control) hidePlace(where.state!, regs, where.address);
  regs.copy(after, form.base, form.base, form.base + 8);
  if (form.bit) regs.copy(after, form.bit.at, form.bit.at, form.bit.at + 8);
  if (form.writes && !(form.writesIfEqual && (after.readUInt32LE(REGS.eflags) & ZERO) === 0)) {
    store(bytes, where, memory);
  }
  after.copy(regs);
  return 'done';
}
/** Before anything of it moves. */
function missingOf(
  { address, pieces }: Operand,
  memory: InstructionMemory,
  writes: boolean,
): InstructionFault | undefined {
  for (const [offset, width] of pieces) {
    const fault = memory.check(address + BigInt(offset), width, writes);
    if (fault) return fault;
  }
  return undefined;
}
/** Of an operand that the processor refuses. */
function faultOf(
  { control, divides }: NativeForm,
  regs: Buffer,
  { bytes, state }: { readonly bytes: Buffer; readonly state: Buffer | undefined },
): InstructionFault | undefined {
  if (divides && !quotientFits(divides, regs, bytes)) {
    return { signal: SIGFPE, code: FPE_INTDIV, address: regs.readBigUInt64LE(REGS.rip) };
  }
  const mxcsr = control?.mxcsr === undefined ? 0 : bytes.readUInt32LE(control.mxcsr);
  return isMxcsr(mxcsr, state) ? undefined : GENERAL_PROTECTION;
}
function load(into: Buffer, { address, pieces }: Operand, memory: InstructionMemory): void {
  for (const [offset, width] of pieces) {
    writeBytes(into, offset, width, memory.load(address + BigInt(offset), width));
  }
}
function store(from: Buffer, { address, pieces }: Operand, memory: InstructionMemory): void {
  for (const [offset, width] of pieces) {
    memory.store(address + BigInt(offset), width, readRegister(from, offset, width));
  }
}
/** An x87 exception: such a signal would be ours. One that waits is raised by the next instruction that looks for it. */
function mayRaise({ control }: NativeForm, state: Buffer): boolean {
  if (control) return control.waits && (state.readUInt16LE(STATUS_WORD) & SUMMARY) !== 0;
  return (~state.readUInt16LE(CONTROL_WORD) & CONTROL_WORD_MASKS) !== 0;
}
/** Has it no bits that this processor does not know? */
function isMxcsr(value: number, state: Buffer | undefined): boolean {
  if (value === 0) return true;
  const known = state?.readUInt32LE(MXCSR_KNOWN) || MXCSR_ALWAYS_KNOWN;
  return (value & ~known) === 0;
}
/** Where the x87 was: some processors remember it. */
function hidePlace(state: Buffer, regs: Buffer, address: bigint): void {
  if (state.readBigUInt64LE(X87_INSTRUCTION) !== 0n) {
    regs.copy(state, X87_INSTRUCTION, REGS.rip, REGS.rip + 8);
  }
  if (state.readBigUInt64LE(X87_OPERAND) !== 0n) state.writeBigUInt64LE(address, X87_OPERAND);
}
function writeBytes(bytes: Buffer, offset: number, width: number, value: bigint): void {
  if (width === 8) bytes.writeBigUInt64LE(value, offset);
  else bytes.writeUIntLE(Number(value), offset, width);
}

/** False: no room for more code, or a floating-point exception that the program wants as a signal. */
function run(form: NativeForm, regs: Buffer, state: Buffer | undefined): boolean {
  const code = compileNative(form.encoding, form.usesVectors);
  if (code === undefined) return false;
  const mxcsr = state?.readUInt32LE(MXCSR) ?? MXCSR_MASKS;
  const wanted = ~mxcsr & MXCSR_MASKS;
  if (!state || wanted === 0 || form.control) {
    runNative(code, regs);
    return true;
  }
  state.writeUInt32LE((mxcsr | MXCSR_MASKS) & ~MXCSR_FLAGS, MXCSR);
  runNative(code, regs);
  const raised = state.readUInt32LE(MXCSR) & MXCSR_FLAGS;
  state.writeUInt32LE((mxcsr | raised) >>> 0, MXCSR);
  return (raised & (wanted >> MASK_SHIFT)) === 0;
}

function* piecesOf(form: NativeForm, width: number, state: Buffer | undefined): Generator<Piece> {
  if (form.mask && state) {
    const chosen = chosenElements(form.mask, state);
    if (chosen.length < form.mask.count) {
      for (const element of chosen) yield [element * form.mask.element, form.mask.element];
      return;
    }
  }
  const end = form.control?.bytes ?? width;
  for (let offset = 0; offset < end; offset += 8) yield* wholePieces(offset, end);
}
/** Of at most 8 bytes that are left. */
function* wholePieces(offset: number, end: number): Generator<Piece> {
  const left = Math.min(8, end - offset);
  for (let at = 0; at < left;) {
    const size = [8, 4, 2, 1].find((piece) => piece <= left - at)!;
    yield [offset + at, size];
    at += size;
  }
}
/** In ascending order. */
function chosenElements(mask: MaskForm, state: Buffer): number[] {
  const all = Array.from({ length: mask.count }, (_, element) => element);
  const chosen = all.filter((element) =>
    mask.by === 'opmask' ? hasBit(state, mask.index, element) : hasSign(state, mask, element),
  );
  return mask.packed ? all.slice(0, chosen.length) : chosen;
}
function hasBit(state: Buffer, register: number, bit: number): boolean {
  const byte = state[componentOffset(OPMASK) + register * 8 + (bit >> 3)]!;
  return ((byte >> (bit & 7)) & 1) !== 0;
}
function hasSign(state: Buffer, mask: MaskForm, element: number): boolean {
  const last = (element + 1) * mask.element - 1;
  const at = last < 16 ? SSE + last : componentOffset(UPPER) + last - 16;
  return (state[at + mask.index * 16]! & 0x80) !== 0;
}

/** How far the operand is from where the instruction points: bits are counted beyond its end, in whole operands. */
function bitDistance(form: NativeForm, width: number, regs: Buffer): bigint {
  if (!form.bit) return 0n;
  const bit = BigInt.asIntN(width * 8, readRegister(regs, form.bit.at, form.bit.width));
  return (bit >> BigInt(Math.log2(width * 8))) * BigInt(width);
}
function chooseBit(bit: { at: number; width: number }, width: number, regs: Buffer): void {
  const chosen = readRegister(regs, bit.at, bit.width) & BigInt(width * 8 - 1);
  writeRegister(regs, bit.at, bit.width, chosen);
}

/** Of a division by `divisor` of what is in ax, or dx:ax, edx:eax, rdx:rax. */
function quotientFits(kind: 'signed' | 'unsigned', regs: Buffer, divisor: Buffer): boolean {
  const width = divisor.length;
  const bits = width * 8;
  const low = readRegister(regs, REGS.rax, width === 1 ? 2 : width);
  const high = width === 1 ? 0n : readRegister(regs, REGS.rdx, width);
  const dividend = width === 1 ? low : (high << BigInt(bits)) | low;
  const by = readRegister(divisor, 0, width);
  if (by === 0n) return false;
  if (kind === 'unsigned') return dividend / by < 1n << BigInt(bits);
  const quotient = BigInt.asIntN(2 * bits, dividend) / BigInt.asIntN(bits, by);
  return quotient === BigInt.asIntN(bits, quotient);
}
