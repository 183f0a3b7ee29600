/**
 * The processor as the oracle: each form of test/host/programs/instructions.h is run on memory as it stands, and carried out on
 * a copy of the same registers and bytes, with random operands. ORACLE_ROUNDS is how often, 100 otherwise.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { callAt, mapCode, mapMemory, viewOf } from '../sys/ffi.ts';
import { REGS, REGS_SIZE } from '../sys/ptrace.ts';
import { decodeAccess } from './mmio-decode.ts';
import { emulate } from './mmio-emulate.ts';
import { componentOffset } from './native-code.ts';

const ROUNDS = Number(process.env['ORACLE_ROUNDS'] ?? 100);
const SLOT = 64;
const NOP = 0x90;
/** Of the memory that the processor works on, in bytes. */
const AT = { mxcsr: 256, controlWord: 260, vectors: 4096, windows: 8192, size: 24576 } as const;
const WINDOW = 8192;
/** What is filled and compared of a window, and where in it the operand begins. */
const SPAN = 768;
const OPERAND = 192;
const FLAGS = 0xcd5;
const USED = [REGS.rax, REGS.rcx, REGS.rdx, REGS.rbx, REGS.r8, REGS.rsi, REGS.rdi];
/** In the numbering of instructions. */
const NUMBERS = [0, 1, 2, 3, 8, 6, 7];
const COMPONENTS = 0xe7;
/** Numbers of components and their sizes: AVX, masks, and two of AVX-512. */
const UPPER: readonly (readonly [number, number])[] = [
  [2, 256],
  [5, 64],
  [6, 512],
  [7, 1024],
];
/** Control and status word, tags; registers. */
const X87 = [
  [0, 5],
  [32, 128],
] as const;
const SSE = 160;
const SSE_SIZE = 256;
const MXCSR = 24;
/** Of an x87 as at the start. */
const CONTROL_WORD = 0x37f;
const NEW_X87 = Buffer.alloc(160);
NEW_X87.writeUInt16LE(CONTROL_WORD);
const HEADER = 512;

interface Form {
  readonly text: string;
  /** As in instructions.h. */
  readonly how: string;
  readonly feature: string;
  readonly bytes: Buffer;
}

const cpu = new Set(
  /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '),
);
/** The features of instructions.h in the words of /proc/cpuinfo. */
const FEATURES: Readonly<Record<string, readonly string[]>> = {
  BASE: [],
  SSE42: ['sse4_2', 'popcnt'],
  MOVBE: ['movbe'],
  CX16: ['cx16'],
  BMI: ['bmi1', 'bmi2'],
  LZ: ['bmi1'], // with which it comes: a guest may be told nothing of 'abm', and programs ask the processor
  ADX_: ['adx'],
  AVX_: ['avx'],
  AVX2_: ['avx2', 'fma'],
  AVX512: ['avx512f', 'avx512bw', 'avx512vl', 'avx512dq'],
  VBMI2: ['avx512_vbmi2'],
  DIRECT: ['movdiri', 'movdir64b'],
};
const has = (feature: string): boolean => FEATURES[feature]!.every((flag) => cpu.has(flag));

/** Those of one instruction, assembled. */
function assembledForms(): Form[] {
  const source = join(import.meta.dirname, '../../../test/host/programs/instructions.h');
  const rows = [
    ...readFileSync(source, 'utf8').matchAll(/X\(\d+, (\w+), "(\w*)", "([^"]*)"\)/g),
  ].filter(([, , , text]) => !/;|^prefetch/.test(text!)); // a prefetch never faults
  const dir = mkdtempSync(join(tmpdir(), 'oracle-'));
  const lines = rows.map(([, , , text], n) => `.org ${n * SLOT}, ${NOP}\n${text!}\n`);
  writeFileSync(join(dir, 'forms.s'), `${lines.join('')}.org ${rows.length * SLOT}, ${NOP}\n`);
  for (const command of ['as -o forms.o forms.s', 'objcopy -O binary -j .text forms.o forms']) {
    const [program, ...args] = command.split(' ');
    const { status, stderr } = spawnSync(program!, args, { cwd: dir, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }
  const code = readFileSync(join(dir, 'forms'));
  rmSync(dir, { recursive: true });
  return rows.map(([, feature, how, text], n) => ({
    ...{ feature: feature!, how: how!, text: text! },
    bytes: code.subarray(n * SLOT, (n + 1) * SLOT),
  }));
}

const base = mapMemory(AT.size, 'for the oracle');
const all = viewOf(base, AT.size);
const registers = all.subarray(0, REGS_SIZE);
const vectors = all.subarray(AT.vectors, AT.windows);
const windows = all.subarray(AT.windows);

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
function number(bytes: 4 | 8, value: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 4) buffer.writeInt32LE(value);
  else buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}
/** mov between a register and its place, which r15 points to. */
function moves(opcode: number): Buffer[] {
  return USED.map((at, n) => {
    const register = NUMBERS[n]!;
    const code = Buffer.of(register < 8 ? 0x49 : 0x4d, opcode, 0x87 | ((register & 7) << 3));
    return Buffer.concat([code, number(4, at)]);
  });
}
/** The form as it stands, between code that loads and keeps the state. */
function compiled(form: Form): number {
  const components = Buffer.concat([hex('b8'), number(4, COMPONENTS), hex('31 d2')]);
  return mapCode(
    Buffer.concat([
      hex('53 55 41 54 41 55 41 56 41 57 49 bf'), // push …; mov r15, base
      ...[number(8, base), hex('41 0f ae 9f'), number(4, AT.mxcsr)], // stmxcsr
      ...[hex('41 d9 bf'), number(4, AT.controlWord), components], // fnstcw
      ...[hex('49 0f ae af'), number(4, AT.vectors)], // xrstor64
      ...[hex('41 ff b7'), number(4, REGS.eflags), hex('9d')], // popfq
      ...moves(0x8b),
      form.bytes.subarray(0, decodeAccess(form.bytes)!.length),
      ...moves(0x89),
      ...[hex('9c 41 8f 87'), number(4, REGS.eflags), hex('fc'), components], // pushfq; cld
      ...[hex('49 0f ae a7'), number(4, AT.vectors)], // xsave64
      ...[hex('db e3 41 d9 af'), number(4, AT.controlWord)], // fninit; fldcw
      ...[hex('41 0f ae 97'), number(4, AT.mxcsr)], // ldmxcsr
      hex('41 5f 41 5e 41 5d 41 5c 5d 5b c3'),
    ]),
  );
}

let seed = 0x2545f491;
function any(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}
const pool = Buffer.alloc(1 << 20);
for (let at = 0; at < pool.length; at += 4) {
  pool.writeUInt32LE(any() % 4 === 0 ? (any() & any()) >>> 0 : any(), at);
}
function fill(bytes: Buffer): void {
  const from = any() % (pool.length - bytes.length);
  pool.copy(bytes, 0, from, from + bytes.length);
}

/** Random operands, of the kind the form wants; the result is where they are in the windows. */
function operands({ how }: Form): number {
  for (const at of USED) fill(registers.subarray(at, at + 8));
  vectors.fill(0);
  vectors.writeUInt16LE(CONTROL_WORD, 0);
  fill(vectors.subarray(SSE, SSE + SSE_SIZE));
  let present = 2;
  for (const [n, size] of UPPER) {
    if (!cpu.has(n === 2 ? 'avx' : 'avx512f')) continue;
    const offset = componentOffset(n);
    fill(vectors.subarray(offset, offset + size));
    present |= 1 << n;
  }
  chooseIndexes(how);
  vectors.writeUInt32LE(0x1f80, MXCSR);
  vectors.writeUInt32LE(0xffff, MXCSR + 4); // what it may be, as the processor says
  vectors.writeUInt32LE(present, HEADER);
  registers.writeBigUInt64LE(BigInt((any() & 0x8d5) | 0x202), REGS.eflags);
  let offset = any() % 2 === 0 ? 4096 - OPERAND - (any() % 64) : any() % 3000;
  if (how.includes('a')) offset &= ~63;
  const [first, second] = [0, WINDOW].map((at) =>
    windows.subarray(at + offset, at + offset + SPAN),
  );
  fill(first!);
  fill(second!);
  choose(how, first!, second!);
  registers.writeBigUInt64LE(BigInt(base + AT.windows + offset + OPERAND), REGS.rsi);
  registers.writeBigUInt64LE(BigInt(base + AT.windows + WINDOW + offset + OPERAND), REGS.rdi);
  return offset;
}
/** Vector register 1, as indexes of 4 or 8 bytes. */
function chooseIndexes(how: string): void {
  const width = how.includes('i') ? 4 : how.includes('j') ? 8 : 0;
  if (width === 0) return;
  for (let at = 0; at < 64; at += width) {
    if (at >= 32 && !cpu.has('avx512f')) break;
    const place =
      at < 16 ? SSE + 16 + at : at < 32 ? componentOffset(2) + at : componentOffset(6) + at;
    const index = (any() % 64) - 16;
    if (width === 4) vectors.writeInt32LE(index, place);
    else vectors.writeBigInt64LE(BigInt(index), place);
  }
}
function choose(how: string, first: Buffer, second: Buffer): void {
  if (how.includes('b')) registers.writeBigInt64LE(BigInt((any() % 2048) - 1024), REGS.rcx);
  if (how.includes('s')) {
    registers.writeBigUInt64LE(BigInt(any() % 17), REGS.rcx);
    if (any() % 2 === 0) first.copy(second);
    second[OPERAND + (any() % 64)]! ^= any() % 3;
    if (any() % 2 === 0) {
      const at = OPERAND + (any() % 8);
      second.copy(registers, REGS.rax, at, at + 8);
    }
  }
  if (any() % 2 === 0) {
    first.copy(registers, REGS.rax, OPERAND, OPERAND + 8); // compares equal
    first.copy(registers, REGS.rdx, OPERAND + 8, OPERAND + 16);
  }
  if (how.includes('m')) first.writeUInt16LE(0, OPERAND + 2); // bits of MXCSR that no processor knows
  if (how.includes('f')) first.writeUInt16LE(0, OPERAND + MXCSR + 2);
  if (!how.includes('d')) return;
  registers.writeBigUInt64LE(0n, REGS.rdx);
  registers.writeBigUInt64LE(
    registers.readBigUInt64LE(REGS.rax) & 0x7fff_7fff_7fff_7fffn,
    REGS.rax,
  );
  for (let at = 0; at < SPAN; at++) first[at]! |= 1; // a quotient that fits
}

/** What is compared: of components that are as at the start, the processor keeps no bytes. */
function visible(regs: Buffer, state: Buffer, memory: Buffer, offset: number): Buffer {
  const present = state.readUInt32LE(HEADER);
  const parts = [
    ...USED.map((at) => regs.subarray(at, at + 8)),
    number(4, regs.readUInt32LE(REGS.eflags) & FLAGS),
    ...[
      [1, SSE, SSE_SIZE] as const,
      ...UPPER.map(([n, size]) => [n, componentOffset(n), size]),
    ].map(([n, at, size]) =>
      (present & (1 << n)) === 0 ? Buffer.alloc(size) : state.subarray(at, at + size),
    ),
    ...X87.map(([at, size]) => ((present & 1) === 0 ? NEW_X87 : state).subarray(at, at + size)),
    state.subarray(MXCSR, MXCSR + 4),
    ...[0, WINDOW].map((at) => memory.subarray(at + offset, at + offset + SPAN)),
  ];
  return Buffer.concat(parts);
}

/** The same on copies, by what carries out accesses to registers. */
function carriedOut(form: Form, offset: number): Buffer | undefined {
  const regs = Buffer.from(registers);
  const state = Buffer.from(vectors);
  const memory = Buffer.from(windows);
  const start = BigInt(base + AT.windows);
  const cell = Buffer.alloc(8);
  const outcome = emulate(decodeAccess(form.bytes)!, {
    regs,
    vectors: {
      get: (into) => state.copy(into),
      set: (from) => {
        state.set(from);
        return 0;
      },
    },
    memory: {
      check: () => undefined,
      flush: () => undefined,
      load: (address, width) => {
        const at = Number(address - start);
        cell.fill(0);
        memory.copy(cell, 0, at, at + width);
        return cell.readBigUInt64LE();
      },
      store: (address, width, value) => {
        const at = Number(address - start);
        for (let n = 0; n < width; n++) memory[at + n] = Number((value >> BigInt(8 * n)) & 0xffn);
      },
    },
  });
  return outcome === 'done' ? visible(regs, state, memory, offset) : undefined;
}

const forms = assembledForms();
const features = [...new Set(forms.map(({ feature }) => feature))];
let tried = 0;

describe('carried out is what the processor does on memory', () => {
  for (const feature of features) {
    const of = forms.filter((form) => form.feature === feature);
    const it = has(feature) ? test : test.skip; // this processor has no such instructions
    it(`${of.length} forms of ${feature}, ${ROUNDS} times each`, { timeout: 600_000 }, () => {
      for (const form of of) {
        const code = compiled(form);
        for (let round = 0; round < ROUNDS; round++) {
          const offset = operands(form);
          const found = carriedOut(form, offset);
          callAt(code);
          const expected = visible(registers, vectors, windows, offset);
          if (!found?.equals(expected)) expect(found, form.text).toEqual(expected);
        }
        tried++;
      }
    });
  }
  afterAll(() => {
    expect(tried).toBeGreaterThan(100);
  });
});
