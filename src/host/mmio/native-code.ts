/**
 * One instruction, carried out by the processor itself on a copy of a thread's registers, in our own process.
 *
 * Around the instruction is code that puts the registers in place and takes them back; the memory operand is a buffer in
 * the same page. So every result and every flag is right by construction, for thousands of instruction forms.
 * What may be run, and that it can only reach the buffer, is native-form.ts's care.
 */
import { addressForGood, callAt, mapCode, mapMemory, viewOf } from '../sys/ffi.ts';
import { u32, u64 } from '../sys/machine-code.ts';
import { REGS, REGS_SIZE } from '../sys/ptrace.ts';

/** Byte offsets in the memory the code and we share. */
const AT = { mxcsr: 256, controlWord: 260, operand: 4096, vectors: 8192, size: 32768 } as const;
/** x87, SSE, AVX and AVX-512: of these the processor takes the ones it has. */
const COMPONENTS = 0xe7;
/** mov between rax (the base) and a general register, in the processor's numbering. */
const GENERAL = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0];
const RSP = 4;
const ARITHMETIC_FLAGS = 0x8d5;
const MAX_COMPILED = 16384;

interface Shared {
  readonly address: number;
  readonly registers: Buffer;
  readonly operand: Buffer;
  readonly vectors: Buffer;
}
let memory: Shared | undefined;

/** The operand's bytes and the vector state, where the code finds them. Made at the first use. */
export function sharedMemory(): Shared {
  memory ??= mapShared();
  return memory;
}
function mapShared(): Shared {
  const address = mapMemory(AT.size, 'to emulate instructions');
  const view = viewOf(address, AT.size);
  return {
    address,
    registers: view.subarray(0, REGS_SIZE),
    operand: view.subarray(AT.operand, AT.vectors),
    vectors: view.subarray(AT.vectors, AT.size),
  };
}
/** Where the operand is, as the code sees it, when the program has it at `address`: aligned as there. */
export function operandPlace(address: bigint): { readonly offset: number; readonly at: bigint } {
  const offset = Number(address & 63n);
  return { offset, at: BigInt(sharedMemory().address + AT.operand + offset) };
}

const compiled = new Map<string, number>();

/** Code of an instruction, for runNative(). Undefined: it would be one too many, for a page each. */
export function compileNative(instruction: Uint8Array, usesVectors: boolean): number | undefined {
  const key = Buffer.from(instruction).toString('latin1');
  let code = compiled.get(key);
  if (code === undefined && compiled.size < MAX_COMPILED) {
    code = compile(instruction, usesVectors);
    compiled.set(key, code);
  }
  return code;
}
function compile(instruction: Uint8Array, usesVectors: boolean): number {
  const { address } = sharedMemory();
  const parts = [
    bytes('53 55 41 54 41 55 41 56 41 57'), // push rbx rbp r12 r13 r14 r15
    ...(usesVectors ? vectorsIn(address) : []),
    bytes('48 b8'), // mov rax, shared memory
    u64(address),
    bytes('ff b0'), // push flags
    u32(REGS.eflags),
    bytes('9d'), // popfq
    ...moves(0x8b),
    bytes('48 8b 80'), // mov rax, [rax + …]
    u32(REGS.rax),
    Buffer.from(instruction),
    bytes('50 9c 48 b8'), // push rax; pushfq; mov rax, shared memory
    u64(address),
    ...moves(0x89),
    bytes('8f 80'),
    u32(REGS.eflags),
    bytes('8f 80'),
    u32(REGS.rax),
    ...(usesVectors ? vectorsOut(address) : []),
    bytes('41 5f 41 5e 41 5d 41 5c 5d 5b c3'),
  ];
  return mapCode(Buffer.concat(parts));
}
function moves(opcode: number): Buffer[] {
  return GENERAL.flatMap((at, register) => {
    if (register === 0 || register === RSP) return [];
    const code = [register < 8 ? 0x48 : 0x4c, opcode, 0x80 | ((register & 7) << 3)];
    return [Buffer.from(code), u32(at)];
  });
}
function vectorsIn(address: number): Buffer[] {
  return [
    bytes('48 bb'), // mov rbx, shared memory
    u64(address),
    bytes('0f ae 9b'), // stmxcsr
    u32(AT.mxcsr),
    bytes('d9 bb'), // fnstcw
    u32(AT.controlWord),
    bytes('b8'), // mov eax, components
    u32(COMPONENTS),
    bytes('31 d2 48 0f ae ab'), // xor edx, edx; xrstor64
    u32(AT.vectors),
  ];
}
function vectorsOut(address: number): Buffer[] {
  return [
    bytes('48 bb'),
    u64(address),
    bytes('b8'),
    u32(COMPONENTS),
    bytes('31 d2 48 0f ae a3'), // xor edx, edx; xsave64
    u32(AT.vectors),
    bytes('db e3 d9 ab'), // fninit; fldcw
    u32(AT.controlWord),
    bytes('0f ae 93'), // ldmxcsr
    u32(AT.mxcsr),
  ];
}

/** Run it on registers (struct user_regs_struct), which are changed in place: general ones and arithmetic flags. */
export function runNative(code: number, regs: Buffer): void {
  const { registers } = sharedMemory();
  registers.set(regs);
  const flags = regs.readUInt32LE(REGS.eflags);
  registers.writeBigUInt64LE(BigInt((flags & ARITHMETIC_FLAGS) | 0x202), REGS.eflags);
  callAt(code);
  const after = registers.readUInt32LE(REGS.eflags) & ARITHMETIC_FLAGS;
  for (const at of GENERAL) if (at !== REGS.rsp) registers.copy(regs, at, at, at + 8);
  regs.writeUInt32LE(((flags & ~ARITHMETIC_FLAGS) | after) >>> 0, REGS.eflags);
}

const found = Buffer.alloc(4096);
const foundAt = addressForGood(found);
const offsets = new Map<number, number>();

/** Where a component lies in the standard form of an XSAVE area: what the processor's CPUID leaf 0xD says. */
export function componentOffset(component: number): number {
  const known = offsets.get(component);
  if (known !== undefined) return known;
  const code = [
    bytes('53 b8 0d 00 00 00 b9'), // push rbx; mov eax, 0xd; mov ecx, component
    u32(component),
    bytes('0f a2 48 ba'), // cpuid; mov rdx, found
    u64(foundAt),
    bytes('89 1a 5b c3'), // mov [rdx], ebx; pop rbx; ret
  ];
  callAt(mapCode(Buffer.concat(code)));
  const offset = found.readUInt32LE();
  offsets.set(component, offset);
  return offset;
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}
