/**
 * The frame pointer of a function that uses one, when only the stack pointer is known: by what its first instructions take
 * from the stack, or by where on the stack a return address stands that fits. Proved by the call before the return address.
 */
import type { FrameRow } from './call-frame-info.ts';
import { placeOf, type CodeMapping, type CodePlace } from './module.ts';

/** The function, and the thread in it. */
export interface FramePointerQuestion {
  readonly row: FrameRow;
  readonly place: CodePlace;
  readonly sp: number;
  readonly code: readonly CodeMapping[];
  /** Eight bytes of the stack. */
  readonly word: (address: number) => number | undefined;
}

/** Undefined: nothing on the stack fits. */
export function findFramePointer(question: FramePointerQuestion): number | undefined {
  const { row, place, sp } = question;
  const taken = takenByPrologue(place.mapping.module.elf.loaded(row.cfaStart, 64));
  if (taken !== undefined && fits(question, sp + taken) !== 'no') return sp + taken;
  return search(question, 'surely') ?? search(question, 'maybe');
}
function search(question: FramePointerQuestion, wanted: Fit): number | undefined {
  for (let at = question.sp; question.word(at + 8) !== undefined; at += 8) {
    if (fits(question, at) === wanted) return at;
  }
  return undefined;
}

/** Bytes that instructions behind `mov %rsp,%rbp` take: pushes, and subtractions. Undefined: the stack is aligned to more. */
function takenByPrologue(code: Uint8Array): number | undefined {
  let taken = 0;
  for (let at = 0; at < code.length;) {
    const left = code.subarray(at);
    const step = PROLOGUE.find(({ bytes }) => bytes.every((byte, n) => byte.has(left[n] ?? 0)));
    if (!step) return taken;
    if (step.taken === undefined) return undefined;
    taken += step.taken(left);
    at += step.length;
  }
  return taken;
}
/** Instructions that prologues have: how they begin, how long they are, and what they take; undefined: that cannot be told. */
const PROLOGUE: readonly {
  readonly bytes: readonly ReadonlySet<number>[];
  readonly length: number;
  readonly taken?: (code: Uint8Array) => number;
}[] = [
  { bytes: [between(0x50, 0x57)], length: 1, taken: () => 8 }, // push
  { bytes: [between(0x41, 0x41), between(0x50, 0x57)], length: 2, taken: () => 8 },
  { bytes: bytes(0x48, 0x83, 0xec), length: 4, taken: (code) => code[3]! }, // sub $N,%rsp
  {
    bytes: bytes(0x48, 0x81, 0xec),
    length: 7,
    taken: (code) => code[3]! | (code[4]! << 8) | (code[5]! << 16) | (code[6]! << 24),
  },
  { bytes: bytes(0x48, 0x83, 0x0c, 0x24), length: 5, taken: () => 0 }, // orq $0,(%rsp): a probe
  { bytes: bytes(0x48, 0x83, 0xe4), length: 4 }, // and $-N,%rsp
  { bytes: bytes(0x48, 0x81, 0xe4), length: 7 },
];
function between(first: number, last: number): ReadonlySet<number> {
  return new Set(Array.from({ length: last - first + 1 }, (_, n) => first + n));
}
function bytes(...all: readonly number[]): ReadonlySet<number>[] {
  return all.map((byte) => between(byte, byte));
}

type Fit = 'surely' | 'maybe' | 'hardly' | 'no';

/** Could this be the frame pointer: is what it points behind the end of a call of this function? */
function fits({ row, place, code, word }: FramePointerQuestion, framePointer: number): Fit {
  const pc = word(framePointer + 8);
  // One behind its module's end has no code before it either.
  const found = pc === undefined ? undefined : placeOf(code, pc - 1);
  if (!found) return 'no';
  const { elf } = found.mapping.module;
  const address = found.address + 1;
  const before = elf.loaded(address - LONGEST_CALL, LONGEST_CALL);
  if (before.length < LONGEST_CALL) return 'no';
  const target = callTarget(before);
  if (target === undefined) return isIndirectCall(before) ? 'maybe' : 'no';
  // From elsewhere it comes by way of a linkage table. Here it is another call, but of a function that ends in a jump to this one.
  if (found.mapping.module !== place.mapping.module) return 'maybe';
  return address + target === row.start ? 'surely' : 'hardly';
}

const LONGEST_CALL = 8;
/** How far a direct call before an address leads from there; undefined: there is none. */
function callTarget(before: Uint8Array): number | undefined {
  if (before[LONGEST_CALL - 5] !== 0xe8) return undefined;
  return new DataView(before.buffer, before.byteOffset).getInt32(LONGEST_CALL - 4, true);
}
/** FF /2, in every length. */
function isIndirectCall(before: Uint8Array): boolean {
  for (let length = 2; length <= 7; length++) {
    const at = LONGEST_CALL - length;
    const form = before[at + 1]!;
    if (before[at] === 0xff && ((form >> 3) & 7) === 2 && lengthOf(form) === length) return true;
  }
  return false;
}
/** Bytes of a call by its ModRM byte, without prefixes. */
function lengthOf(form: number): number {
  const [mode, register] = [form >> 6, form & 7];
  if (mode === 3) return 2;
  const scaled = register === 4 ? 1 : 0;
  if (mode === 0) return register === 5 ? 6 : 2 + scaled;
  return 2 + scaled + (mode === 1 ? 1 : 4);
}
