/** DWARF expressions, as far as call frame information uses them: of linkage tables, and where signals return to. (DWARF 5, 2.5) */
import { ByteReader } from './bytes.ts';

/** What an expression may look at. Undefined: not known. */
export interface FrameWorld {
  register(number: number): number | undefined;
  /** Eight bytes of the stack at an address. */
  word(address: number): number | undefined;
}

const DEREF = 0x06;
const LIT0 = 0x30;
const BREG0 = 0x70;

const CONSTANTS: Readonly<Record<number, (code: ByteReader) => number>> = {
  0x08: (code) => code.u8(),
  0x09: (code) => code.s8(),
  0x0a: (code) => code.u16(),
  0x0b: (code) => (code.u16() << 16) >> 16,
  0x0c: (code) => code.u32(),
  0x0d: (code) => code.s32(),
  0x10: (code) => code.uleb(),
  0x11: (code) => code.sleb(),
};
/** Of the second number from the top and the top one. */
const OPERATIONS: Readonly<Record<number, (a: number, b: number) => number>> = {
  // The operands of these are small, or masks of the lowest bits.
  0x1a: (a, b) => (a % 2 ** 31) & b,
  0x1c: (a, b) => a - b,
  0x1e: (a, b) => a * b,
  0x22: (a, b) => a + b,
  0x24: (a, b) => a * 2 ** b,
  0x2a: (a, b) => (a >= b ? 1 : 0),
};
const PLUS_CONSTANT = 0x23;

/** The value; `start` is what lies on the stack before. Undefined: something in it is not known. */
export function evaluate(
  bytes: Uint8Array,
  world: FrameWorld,
  start: readonly number[] = [],
): number | undefined {
  const code = new ByteReader(bytes);
  const stack = [...start];
  while (!code.isOver) {
    const value = step(code, stack, world);
    if (value === undefined) return undefined;
    stack.push(value);
  }
  return stack.at(-1);
}
function step(code: ByteReader, stack: number[], world: FrameWorld): number | undefined {
  const opcode = code.u8();
  const constant = CONSTANTS[opcode];
  if (constant) return constant(code);
  if (opcode >= LIT0 && opcode < LIT0 + 32) return opcode - LIT0;
  if (opcode >= BREG0 && opcode < BREG0 + 32) {
    const [base, offset] = [world.register(opcode - BREG0), code.sleb()];
    return base === undefined ? undefined : base + offset;
  }
  const top = stack.pop();
  if (top === undefined) return undefined;
  if (opcode === DEREF) return world.word(top);
  if (opcode === PLUS_CONSTANT) return top + code.uleb();
  const operation = OPERATIONS[opcode];
  const below = operation && stack.pop();
  return below === undefined ? undefined : operation!(below, top);
}
