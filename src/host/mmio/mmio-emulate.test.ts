/** Instructions as bytes, carried out on registers in a buffer. Expected values are those of the processor's manual. */
import { describe, expect, test } from 'vitest';
import { decodeAccess } from './mmio-decode.ts';
import { emulate } from './mmio-emulate.ts';
import { REGS, REGS_SIZE } from '../sys/ptrace.ts';

const RBX = 40;
const CARRY = 1;
const PARITY = 4;
const ZERO = 0x40;
const SIGN = 0x80;
const ARITHMETIC = 0x8d5;

interface Case {
  readonly rax?: bigint;
  readonly rbx?: bigint;
  readonly memory?: bigint;
}
interface Seen {
  readonly rax: bigint;
  readonly rbx: bigint;
  readonly memory: bigint;
  readonly flags: number;
  readonly loads: readonly number[];
  readonly stores: readonly number[];
  readonly advanced: number;
}

function run(hex: string, { rax = 0n, rbx = 0n, memory = 0n }: Case): Seen | undefined {
  const access = decodeAccess(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  if (!access) return undefined;
  const regs = Buffer.alloc(REGS_SIZE);
  regs.writeBigUInt64LE(rax, REGS.rax);
  regs.writeBigUInt64LE(rbx, RBX);
  regs.writeBigUInt64LE(0x1000n, REGS.rip);
  const cell = Buffer.alloc(8);
  cell.writeBigUInt64LE(memory);
  const loads: number[] = [];
  const stores: number[] = [];
  const done = emulate(access, {
    regs,
    vectors: { get: () => -1, set: () => -1 },
    memory: {
      check: () => undefined,
      flush: () => undefined,
      load: (address, width) => {
        loads.push(width);
        return BigInt.asUintN(width * 8, cell.readBigUInt64LE() >> (address * 8n));
      },
      store: (address, width, value) => {
        stores.push(width);
        expect(address).toBe(0n);
        const kept = cell.readBigUInt64LE() & ~((1n << BigInt(width * 8)) - 1n);
        cell.writeBigUInt64LE(kept | value);
      },
    },
  });
  if (done !== 'done') return undefined;
  return {
    rax: regs.readBigUInt64LE(REGS.rax),
    rbx: regs.readBigUInt64LE(RBX),
    memory: cell.readBigUInt64LE(),
    flags: regs.readUInt32LE(REGS.eflags) & ARITHMETIC,
    loads,
    stores,
    advanced: Number(regs.readBigUInt64LE(REGS.rip)) - 0x1000,
  };
}

const ONES = 0xffff_ffff_ffff_ffffn;
const WORD = 0x8899_aabb_ccdd_eeffn;

type Row = [text: string, hex: string, before: Case, after: Partial<Seen>];
const ROWS: Row[] = [
  [
    'mov eax,[rcx] clears the upper half',
    '8b 01',
    { rax: ONES, memory: WORD },
    { rax: 0xccdd_eeffn, loads: [4], advanced: 2 },
  ],
  [
    'mov ax,[rcx] keeps the rest',
    '66 8b 01',
    { rax: ONES, memory: WORD },
    { rax: 0xffff_ffff_ffff_eeffn, loads: [2], advanced: 3 },
  ],
  [
    'mov ah,[rcx] is the second byte',
    '8a 21',
    { rax: 0n, memory: WORD },
    { rax: 0xff00n, loads: [1] },
  ],
  ['mov rax,[rcx]', '48 8b 01', { memory: WORD }, { rax: WORD, loads: [8], advanced: 3 }],
  [
    'mov [rcx],eax',
    '89 01',
    { rax: WORD, memory: ONES },
    { memory: 0xffff_ffff_ccdd_eeffn, stores: [4], loads: [] },
  ],
  [
    'mov dword [rcx],imm32',
    'c7 01 78 56 34 12',
    {},
    { memory: 0x1234_5678n, stores: [4], advanced: 6 },
  ],
  [
    'mov qword [rcx],imm32 extends the sign',
    '48 c7 01 ff ff ff ff',
    {},
    { memory: ONES, stores: [8] },
  ],
  ['movzx eax,byte [rcx]', '0f b6 01', { rax: ONES, memory: WORD }, { rax: 0xffn, loads: [1] }],
  [
    'movsx rax,byte [rcx]',
    '48 0f be 01',
    { memory: 0x80n },
    { rax: 0xffff_ffff_ffff_ff80n, loads: [1] },
  ],
  [
    'movsxd rax,dword [rcx]',
    '48 63 01',
    { memory: 0x8000_0000n },
    { rax: 0xffff_ffff_8000_0000n, loads: [4] },
  ],
  [
    'or [rcx],eax',
    '09 01',
    { rax: 0x0fn, memory: 0xf0n },
    { memory: 0xffn, loads: [4], stores: [4], flags: PARITY },
  ],
  [
    'and [rcx],eax to nothing',
    '21 01',
    { rax: 0x0fn, memory: 0xf0n },
    { memory: 0n, flags: ZERO | PARITY },
  ],
  [
    'test [rcx],eax stores nothing',
    '85 01',
    { rax: 0x8000_0000n, memory: 0x8000_0000n },
    { stores: [], flags: SIGN | PARITY },
  ],
  [
    'cmp [rcx],eax below',
    '39 01',
    { rax: 1n, memory: 0n },
    { stores: [], flags: 0x1 | 0x4 | 0x10 | 0x80 },
  ],
  [
    'add byte [rcx],1 wraps',
    '80 01 01',
    { memory: 0xffn },
    { memory: 0n, stores: [1], flags: CARRY | PARITY | 0x10 | ZERO },
  ],
  [
    'add eax,[rcx] overflows',
    '03 01',
    { rax: 0x7fff_ffffn, memory: 1n },
    { rax: 0x8000_0000n, flags: 0x800 | SIGN | PARITY | 0x10 },
  ],
  ['sub [rcx],eax', '29 01', { rax: 1n, memory: 3n }, { memory: 2n, flags: 0 }],
  [
    'xchg [rcx],eax',
    '87 01',
    { rax: 1n, memory: 2n },
    { rax: 2n, memory: 1n, loads: [4], stores: [4] },
  ],
  [
    'lock xadd [rcx],eax',
    'f0 0f c1 01',
    { rax: 5n, memory: 7n },
    { rax: 7n, memory: 12n, advanced: 4 },
  ],
  [
    'lock cmpxchg [rcx],ebx that matches',
    'f0 0f b1 19',
    { rax: 7n, rbx: 9n, memory: 7n },
    { memory: 9n, rax: 7n, flags: ZERO | PARITY },
  ],
  [
    'lock cmpxchg [rcx],ebx that does not',
    'f0 0f b1 19',
    { rax: 6n, rbx: 9n, memory: 7n },
    { memory: 7n, rax: 7n },
  ],
  [
    'inc dword [rcx] leaves the carry',
    'ff 01',
    { memory: 0xffff_ffffn },
    { memory: 0n, flags: ZERO | PARITY | 0x10 },
  ],
  ['not dword [rcx] sets no flag', 'f7 11', { memory: 0n }, { memory: 0xffff_ffffn, flags: 0 }],
  [
    'neg dword [rcx]',
    'f7 19',
    { memory: 1n },
    { memory: 0xffff_ffffn, flags: CARRY | PARITY | 0x10 | SIGN },
  ],
];

describe('an instruction on a register', () => {
  test.for(ROWS)('an instruction on a register is carried out: %s', ([, hex, before, after]) => {
    expect(run(hex, before)).toMatchObject(after);
  });

  test.for([
    ['an undefined opcode', '0f 0b'],
    ['a call through memory', 'ff 11'],
    ['a floating-point load', 'd9 01'],
    ['xsave', '0f ae 21'],
    ['xsavec', '0f c7 21'],
    ['xsaveopt', '0f ae 31'],
    ['xrstor', '0f ae 29'],
    ['a jump through memory', 'ff 21'],
    ['a move of MMX bytes under a mask', '0f f7 c1'],
    ['nothing', ''],
  ])('%s is not carried out', ([, hex]) => {
    expect(run(hex!, {})).toBeUndefined();
  });
});

describe('control words and images of floating-point', () => {
  test.for([
    ['an MXCSR with bits that no processor knows', '0f ae 11', 0n, 0x10000n],
    ['the same by the instruction of AVX', 'c5 f8 ae 11', 0n, 0x10000n],
    ['an image with such an MXCSR', '0f ae 09', 0n, 0x10000n],
    ['an image that is not aligned, stored', '0f ae 01', 8n, 0n],
    ['an image that is not aligned, loaded', '0f ae 09', 8n, 0n],
  ] as const)('%s is a protection fault', ([, hex, rcx, value]) => {
    const regs = Buffer.alloc(REGS_SIZE);
    regs.writeBigUInt64LE(rcx, REGS.rcx);
    const outcome = emulate(decodeAccess(Buffer.from(hex.replaceAll(' ', ''), 'hex'))!, {
      regs,
      vectors: { get: (into) => into.fill(0).length, set: () => expect.unreachable() },
      memory: {
        check: () => undefined,
        flush: () => undefined,
        load: () => value,
        store: () => expect.unreachable(),
      },
    });
    expect(outcome).toEqual({ signal: 11, code: 128, address: 0n });
  });
});

describe('movdir64b', () => {
  const MOVDIR64B = Buffer.from('660f38f802', 'hex'); // 64 bytes at rdx to rax
  function line(rax: bigint) {
    const access = decodeAccess(MOVDIR64B)!;
    const regs = Buffer.alloc(REGS_SIZE);
    regs.writeBigUInt64LE(rax, REGS.rax);
    regs.writeBigUInt64LE(0x2000n, REGS.rdx);
    const stores: [bigint, number, bigint][] = [];
    const outcome = emulate(access, {
      regs,
      vectors: { get: () => -1, set: () => -1 },
      memory: {
        check: () => undefined,
        flush: () => undefined,
        load: (address) => (address - 0x2000n) / 8n + 1n,
        store: (...store) => void stores.push(store),
      },
    });
    return { outcome, stores };
  }
  test('is one store of 64 bytes', () => {
    const words = [8n, 7n, 6n, 5n, 4n, 3n, 2n, 1n];
    const value = words.reduce((all, word) => (all << 64n) | word, 0n);
    expect(line(0x1040n)).toEqual({ outcome: 'done', stores: [[0x1040n, 64, value]] });
  });
  test('is a protection fault where its destination is not aligned', () => {
    const { outcome, stores } = line(0x1020n);
    expect(outcome).toEqual({ signal: 11, code: 128, address: 0n });
    expect(stores).toEqual([]);
  });
});

test('a gather that faults keeps what came before, and goes on with what its mask still chooses', () => {
  const access = decodeAccess(Buffer.from('c4e26990040e', 'hex'))!; // vpgatherdd %xmm2, (%rsi,%xmm1), %xmm0
  const [present, sse, size] = [512, 160, 4096];
  const state = Buffer.alloc(size);
  state.writeUInt32LE(2, present);
  for (const n of [0, 1, 2, 3]) {
    state.writeInt32LE(n * 4, sse + 16 + n * 4);
    state.writeInt32LE(n === 1 ? 0 : -1, sse + 32 + n * 4);
  }
  const regs = Buffer.alloc(REGS_SIZE);
  regs.writeBigUInt64LE(0x1000n, REGS.rsi);
  const missing = { signal: 11, code: 1, address: 0x100cn };
  const loads: bigint[] = [];
  const outcome = emulate(access, {
    regs,
    vectors: {
      get: (into) => state.copy(into),
      set: (from) => {
        state.set(from);
        return 0;
      },
    },
    memory: {
      check: (address) => (address === missing.address ? missing : undefined),
      flush: () => undefined,
      load: (address) => {
        loads.push(address);
        return address + 1n;
      },
      store: () => expect.unreachable(),
    },
  });
  const words = (register: number): number[] =>
    [0, 4, 8, 12].map((at) => state.readInt32LE(sse + register * 16 + at));
  expect(outcome).toEqual(missing);
  expect(loads).toEqual([0x1000n, 0x1008n]);
  expect(words(0)).toEqual([0x1001, 0, 0x1009, 0]);
  expect(words(2)).toEqual([0, 0, 0, -1]);
  expect(regs.readBigUInt64LE(REGS.rip)).toBe(0n);
});
