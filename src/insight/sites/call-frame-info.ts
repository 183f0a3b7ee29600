/**
 * How to leave a function for its caller: the call frame information of a module's .eh_frame, which every program of 64 bits
 * has. (DWARF 5, 6.4; System V ABI for x86-64, 4.2.4)
 */
import { lastAtOrBelow } from '../../base/binary-search.ts';
import { ByteReader } from './bytes.ts';
import type { ElfFile } from './elf.ts';

/** DWARF's numbers of registers. */
export const RBP = 6;
export const RSP = 7;
export const RETURN_ADDRESS = 16;

/** Where a register of the caller is. */
export type RegisterRule =
  | { readonly kind: 'at'; readonly offset: number }
  | { readonly kind: 'value'; readonly offset: number }
  | { readonly kind: 'register'; readonly register: number }
  | { readonly kind: 'at-expression' | 'expression'; readonly code: Uint8Array }
  | { readonly kind: 'undefined' };
/** What holds at an address: the canonical frame address, and where the caller's registers are. */
export interface FrameRow {
  /** A register and bytes to add, or an expression. */
  readonly cfa:
    { readonly register: number; readonly offset: number } | { readonly code: Uint8Array };
  readonly rules: ReadonlyMap<number, RegisterRule>;
  /** The function's first byte, as the module counts. */
  readonly start: number;
  /** Since where the address is counted from this register: what made rbp the frame pointer ends there. */
  readonly cfaStart: number;
  /** The function is one that signals return to: its caller was not in the middle of a call. */
  readonly isSignal: boolean;
}

/** What all functions of one compilation have in common. */
interface CommonEntry {
  readonly codeFactor: number;
  readonly dataFactor: number;
  readonly encoding: number;
  readonly hasAugmentation: boolean;
  readonly isSignal: boolean;
  readonly program: Uint8Array;
}
/** A function; addresses as the module counts them. */
interface FrameEntry {
  readonly start: number;
  readonly length: number;
  readonly common: CommonEntry;
  readonly program: Uint8Array;
}

/** The frames of one module, read when they are asked for. */
export class CallFrameInfo {
  readonly #elf: ElfFile;
  #entries: readonly FrameEntry[] | undefined;

  constructor(elf: ElfFile) {
    this.#elf = elf;
  }
  /** Undefined: there is no information for the address. */
  rowAt(address: number): FrameRow | undefined {
    this.#entries ??= readEntries(this.#elf);
    const entries = this.#entries;
    const entry = entries[lastAtOrBelow(entries, address, ({ start }) => start)];
    if (!entry || address >= entry.start + entry.length) return undefined;
    return new RowMachine(entry).rowAt(address);
  }
}

function readEntries(elf: ElfFile): FrameEntry[] {
  const section = elf.section('.eh_frame');
  if (!section) return [];
  const { bytes, address } = section;
  const commons = new Map<number, CommonEntry>();
  const entries: FrameEntry[] = [];
  const reader = new ByteReader(bytes);
  while (!reader.isOver) {
    const start = reader.at;
    const length = reader.u32();
    if (length === 0 || length >= 0xfffffff0) break;
    const end = reader.at + length;
    const back = reader.at - reader.u32();
    const body = new ByteReader(bytes, reader.at, end);
    if (back === start + 4) commons.set(start, readCommon(bytes, body));
    else {
      const common = commons.get(back);
      if (common) entries.push(readEntry({ bytes, address }, body, common));
    }
    reader.at = end;
  }
  return entries.sort((a, b) => a.start - b.start);
}
function readCommon(bytes: Uint8Array, body: ByteReader): CommonEntry {
  body.u8();
  const augmentation = body.string();
  const codeFactor = body.uleb();
  const dataFactor = body.sleb();
  body.uleb(); // the column of the return address: 16 on x86-64
  let encoding = 0;
  const hasAugmentation = augmentation.startsWith('z');
  if (hasAugmentation) {
    const end = body.uleb() + body.at;
    for (const letter of augmentation.slice(1)) {
      if (letter === 'R') encoding = body.u8();
      else if (letter === 'L') body.u8();
      else if (letter === 'P') pointer(body, body.u8(), 0);
    }
    body.at = end;
  }
  const isSignal = augmentation.includes('S');
  const program = bytes.subarray(body.at, body.end);
  return { codeFactor, dataFactor, encoding, hasAugmentation, isSignal, program };
}
function readEntry(
  { bytes, address }: { readonly bytes: Uint8Array; readonly address: number },
  body: ByteReader,
  common: CommonEntry,
): FrameEntry {
  const start = pointer(body, common.encoding, address);
  const length = pointer(body, common.encoding & 0xf, 0);
  if (common.hasAugmentation) {
    const skipped = body.uleb();
    body.at += skipped;
  }
  return { start, length, common, program: bytes.subarray(body.at, body.end) };
}
/** A pointer in one of the encodings of .eh_frame; relative ones count from where they stand, at `base` bytes. */
function pointer(body: ByteReader, encoding: number, base: number): number {
  const PC_RELATIVE = 0x10;
  const from = (encoding & 0x70) === PC_RELATIVE ? base + body.at : 0;
  return from + rawPointer(body, encoding & 0xf);
}
const POINTERS: Readonly<Record<number, (body: ByteReader) => number>> = {
  0x0: (body) => body.u64(),
  0x1: (body) => body.uleb(),
  0x2: (body) => body.u16(),
  0x3: (body) => body.u32(),
  0x4: (body) => body.u64(),
  0x9: (body) => body.sleb(),
  0xa: (body) => (body.u16() << 16) >> 16,
  0xb: (body) => body.s32(),
  0xc: (body) => body.s64(),
};
function rawPointer(body: ByteReader, form: number): number {
  return POINTERS[form]?.(body) ?? 0;
}

type Rules = Map<number, RegisterRule>;
type Instruction = (machine: RowMachine, code: ByteReader) => void;

/** Carries out the instructions of a function up to an address. */
class RowMachine {
  readonly #entry: FrameEntry;
  #at: number;
  #cfaStart: number;
  #target = 0;
  cfa: FrameRow['cfa'] = { register: RSP, offset: 8 };
  rules: Rules = new Map();
  #initial: Rules = new Map();
  readonly #saved: {
    readonly cfa: FrameRow['cfa'];
    readonly cfaStart: number;
    readonly rules: Rules;
  }[] = [];

  constructor(entry: FrameEntry) {
    this.#entry = entry;
    this.#at = entry.start;
    this.#cfaStart = entry.start;
  }
  rowAt(address: number): FrameRow {
    const { common, program, start } = this.#entry;
    this.#target = address;
    this.#run(common.program);
    this.#initial = new Map(this.rules);
    this.#run(program);
    const { cfa, rules } = this;
    return { cfa, rules, start, cfaStart: this.#cfaStart, isSignal: common.isSignal };
  }
  #run(program: Uint8Array): void {
    const code = new ByteReader(program);
    while (!code.isOver && this.#at <= this.#target) {
      const opcode = code.u8();
      const low = opcode & 0x3f;
      switch (opcode & 0xc0) {
        case 0x40:
          this.advance(low);
          break;
        case 0x80:
          this.at(low, code.uleb());
          break;
        case 0xc0:
          this.restore(low);
          break;
        default:
          INSTRUCTIONS[low]?.(this, code);
      }
    }
  }
  advance(delta: number): void {
    this.#at += delta * this.#entry.common.codeFactor;
  }
  at(register: number, factored: number): void {
    this.rules.set(register, { kind: 'at', offset: factored * this.#entry.common.dataFactor });
  }
  value(register: number, factored: number): void {
    this.rules.set(register, { kind: 'value', offset: factored * this.#entry.common.dataFactor });
  }
  restore(register: number): void {
    const rule = this.#initial.get(register);
    if (rule) this.rules.set(register, rule);
    else this.rules.delete(register);
  }
  remember(): void {
    this.#saved.push({ cfa: this.cfa, cfaStart: this.#cfaStart, rules: new Map(this.rules) });
  }
  recall(): void {
    const saved = this.#saved.pop();
    if (saved) ({ cfa: this.cfa, cfaStart: this.#cfaStart, rules: this.rules } = saved);
  }
  /** Change what is said of the canonical frame address: its register, its offset or both. */
  frame(change: { readonly register?: number; readonly offset?: number }): void {
    const before = 'register' in this.cfa ? this.cfa : { register: RSP, offset: 8 };
    this.cfa = { ...before, ...change };
    if (change.register !== undefined) this.#cfaStart = this.#at;
  }
  get dataFactor(): number {
    return this.#entry.common.dataFactor;
  }
}

function block(code: ByteReader): Uint8Array {
  const length = Math.min(code.uleb(), code.end);
  return Uint8Array.from({ length }, () => code.u8());
}
/** By the opcode, those that have no operand in it. */
const INSTRUCTIONS: Readonly<Record<number, Instruction>> = {
  0x02: (m, code) => m.advance(code.u8()),
  0x03: (m, code) => m.advance(code.u16()),
  0x04: (m, code) => m.advance(code.u32()),
  0x05: (m, code) => m.at(code.uleb(), code.uleb()),
  0x06: (m, code) => m.restore(code.uleb()),
  0x07: (m, code) => m.rules.set(code.uleb(), { kind: 'undefined' }),
  0x08: (m, code) => m.rules.delete(code.uleb()),
  0x09: (m, code) => m.rules.set(code.uleb(), { kind: 'register', register: code.uleb() }),
  0x0a: (m) => m.remember(),
  0x0b: (m) => m.recall(),
  0x0c: (m, code) => m.frame({ register: code.uleb(), offset: code.uleb() }),
  0x0d: (m, code) => m.frame({ register: code.uleb() }),
  0x0e: (m, code) => m.frame({ offset: code.uleb() }),
  0x0f: (m, code) => {
    m.cfa = { code: block(code) };
  },
  0x10: (m, code) => m.rules.set(code.uleb(), { kind: 'at-expression', code: block(code) }),
  0x11: (m, code) => m.at(code.uleb(), code.sleb()),
  0x12: (m, code) => m.frame({ register: code.uleb(), offset: code.sleb() * m.dataFactor }),
  0x13: (m, code) => m.frame({ offset: code.sleb() * m.dataFactor }),
  0x14: (m, code) => m.value(code.uleb(), code.uleb()),
  0x15: (m, code) => m.value(code.uleb(), code.sleb()),
  0x16: (m, code) => m.rules.set(code.uleb(), { kind: 'expression', code: block(code) }),
  0x2e: (_m, code) => void code.uleb(),
};
