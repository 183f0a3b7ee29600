/**
 * Carrying out one decoded instruction against device registers: values, flags, and the next instruction pointer.
 *
 * A table by operation. Registers are the bytes of struct user_regs_struct; flags follow the processor's manual for the
 * operations that set them.
 */
import type { UserMemory } from '../../base/task.ts';
import type { Access, Operand, Operation } from './mmio-decode.ts';
import { getVectorState, REGS, setVectorState } from '../sys/ptrace.ts';

/** Offsets are relative to the first byte the instruction touches. */
export interface Bus {
  load(offset: number, width: number): bigint;
  store(offset: number, width: number, value: bigint): void;
}
/** A thread stopped at an access, and what it can reach. */
export interface Stopped {
  readonly tid: number;
  readonly regs: Buffer;
  readonly bus: Bus;
  /** The rest of the program's memory, for string moves. */
  readonly memory: UserMemory;
  /** What was touched. */
  readonly address: bigint;
}

/** False when it cannot be done; nothing has changed then. */
export function emulate(access: Access, stopped: Stopped): boolean {
  const done = HANDLERS[access.operation](access, stopped);
  if (done === 'repeat') return true;
  if (!done) return false;
  const { regs } = stopped;
  regs.writeBigUInt64LE(regs.readBigUInt64LE(REGS.rip) + BigInt(access.length), REGS.rip);
  return true;
}

type Handler = (access: Access, stopped: Stopped) => boolean | 'repeat';

const CARRY = 0x1;
const PARITY = 0x4;
const ADJUST = 0x10;
const ZERO = 0x40;
const SIGN = 0x80;
const DIRECTION = 0x400;
const OVERFLOW = 0x800;
const ARITHMETIC = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW;

function bitsOf(width: number, value: bigint): bigint {
  return BigInt.asUintN(width * 8, value);
}
function readRegister(regs: Buffer, at: number, width: number): bigint {
  return width === 8 ? regs.readBigUInt64LE(at) : BigInt(regs.readUIntLE(at, width));
}
/** Writing 32 bits clears the upper half; 8 and 16 leave the rest. */
function writeRegister(regs: Buffer, at: number, width: number, value: bigint): void {
  if (width >= 4) regs.writeBigUInt64LE(bitsOf(width, value), at);
  else regs.writeUIntLE(Number(bitsOf(width, value)), at, width);
}
function valueOf(operand: Operand | undefined, access: Access, stopped: Stopped): bigint {
  switch (operand?.kind) {
    case 'memory':
      return stopped.bus.load(0, access.width);
    case 'register':
      return readRegister(stopped.regs, operand.at, operand.width);
    case 'immediate':
      return bitsOf(access.width, operand.value);
    default:
      return 0n;
  }
}
function assign(to: Operand | undefined, value: bigint, access: Access, stopped: Stopped): void {
  if (to?.kind === 'memory') stopped.bus.store(0, access.width, bitsOf(access.width, value));
  else if (to?.kind === 'register') writeRegister(stopped.regs, to.at, to.width, value);
}

function setFlags(regs: Buffer, flags: number, affected = ARITHMETIC): void {
  const old = regs.readUInt32LE(REGS.eflags);
  regs.writeUInt32LE(((old & ~affected) | (flags & affected)) >>> 0, REGS.eflags);
}
function resultFlags(width: number, result: bigint): number {
  let flags = bitsOf(width, result) === 0n ? ZERO : 0;
  if ((result >> BigInt(width * 8 - 1)) & 1n) flags |= SIGN;
  let ones = 0;
  for (let byte = Number(result & 0xffn); byte !== 0; byte &= byte - 1) ones++;
  return ones % 2 === 0 ? flags | PARITY : flags;
}
interface Computed {
  readonly result: bigint;
  readonly flags: number;
}
function add(width: number, a: bigint, b: bigint): Computed {
  const result = bitsOf(width, a + b);
  let flags = resultFlags(width, result);
  if (result < bitsOf(width, a)) flags |= CARRY;
  if ((a ^ b ^ result) & 0x10n) flags |= ADJUST;
  if (((~(a ^ b) & (a ^ result)) >> BigInt(width * 8 - 1)) & 1n) flags |= OVERFLOW;
  return { result, flags };
}
function subtract(width: number, a: bigint, b: bigint): Computed {
  const result = bitsOf(width, a - b);
  let flags = resultFlags(width, result);
  if (bitsOf(width, a) < bitsOf(width, b)) flags |= CARRY;
  if ((a ^ b ^ result) & 0x10n) flags |= ADJUST;
  if ((((a ^ b) & (a ^ result)) >> BigInt(width * 8 - 1)) & 1n) flags |= OVERFLOW;
  return { result, flags };
}

type Arithmetic = (width: number, a: bigint, b: bigint) => Computed;
function logic(compute: (a: bigint, b: bigint) => bigint): Arithmetic {
  return (width, a, b) => {
    const result = bitsOf(width, compute(a, b));
    return { result, flags: resultFlags(width, result) };
  };
}
const and = logic((a, b) => a & b);

/** `affected`: inc and dec leave the carry alone. */
function arithmetic(compute: Arithmetic, writes: boolean, affected = ARITHMETIC): Handler {
  return (access, stopped) => {
    const [to, from] = access.operands;
    const a = valueOf(to, access, stopped);
    const b = from ? valueOf(from, access, stopped) : 1n;
    const { result, flags } = compute(access.width, a, b);
    if (writes) assign(to, result, access, stopped);
    setFlags(stopped.regs, flags, affected);
    return true;
  };
}

const move: Handler = (access, stopped) => {
  const [to, from] = access.operands;
  assign(to, valueOf(from, access, stopped), access, stopped);
  return true;
};
const moveSign: Handler = (access, stopped) => {
  const [to, from] = access.operands;
  assign(to, BigInt.asIntN(access.width * 8, valueOf(from, access, stopped)), access, stopped);
  return true;
};
const exchange: Handler = (access, stopped) => {
  const [a, b] = access.operands;
  const register = a?.kind === 'memory' ? b : a;
  const old = stopped.bus.load(0, access.width);
  stopped.bus.store(0, access.width, valueOf(register, access, stopped));
  assign(register, old, access, stopped);
  return true;
};
const exchangeAdd: Handler = (access, stopped) => {
  const [, register] = access.operands;
  const old = stopped.bus.load(0, access.width);
  const { result, flags } = add(access.width, old, valueOf(register, access, stopped));
  stopped.bus.store(0, access.width, result);
  assign(register, old, access, stopped);
  setFlags(stopped.regs, flags);
  return true;
};
const compareExchange: Handler = (access, stopped) => {
  const old = stopped.bus.load(0, access.width);
  const accumulator = readRegister(stopped.regs, REGS.rax, access.width);
  const { flags } = subtract(access.width, accumulator, old);
  setFlags(stopped.regs, flags);
  if (accumulator === old) {
    stopped.bus.store(0, access.width, valueOf(access.operands[1], access, stopped));
  } else writeRegister(stopped.regs, REGS.rax, access.width, old);
  return true;
};
const not: Handler = (access, stopped) => {
  stopped.bus.store(0, access.width, bitsOf(access.width, ~stopped.bus.load(0, access.width)));
  return true;
};
const negate: Handler = (access, stopped) => {
  const { result, flags } = subtract(access.width, 0n, stopped.bus.load(0, access.width));
  stopped.bus.store(0, access.width, result);
  setFlags(stopped.regs, flags);
  return true;
};
function bit(change: (value: bigint, mask: bigint) => bigint | undefined): Handler {
  return (access, stopped) => {
    const index = valueOf(access.operands[1], access, stopped) % BigInt(access.width * 8);
    const value = stopped.bus.load(0, access.width);
    const mask = 1n << index;
    const changed = change(value, mask);
    if (changed !== undefined) stopped.bus.store(0, access.width, bitsOf(access.width, changed));
    setFlags(stopped.regs, (value & mask) !== 0n ? CARRY : 0, CARRY);
    return true;
  };
}

/** Offsets in the XSAVE area: SSE registers, the state bits, and the upper halves of the AVX ones. */
const XSAVE = { sse: 160, stateBits: 512, upper: 576, size: 4096 } as const;

const moveVector: Handler = (access, stopped) => {
  const [to, from] = access.operands;
  const stores = to?.kind === 'memory';
  const register = stores ? from : to;
  const state = Buffer.alloc(XSAVE.size);
  const length = getVectorState(stopped.tid, state);
  if (length < 0) return false;
  if (register?.kind === 'vector') moveVectorBytes(state, register, stores, access, stopped.bus);
  else if (stores) assign(to, valueOf(from, access, stopped), access, stopped);
  else return false;
  return stores || setVectorState(stopped.tid, state.subarray(0, length)) >= 0;
};

function moveVectorBytes(
  state: Buffer,
  register: { index: number; width: number },
  stores: boolean,
  access: Access,
  bus: Bus,
): void {
  const place = (byte: number): number =>
    byte < 16
      ? XSAVE.sse + register.index * 16 + byte
      : XSAVE.upper + register.index * 16 + byte - 16;
  const loaded: [at: number, width: number, value: bigint][] = [];
  for (let byte = 0; byte < access.width; byte += 8) {
    const width = Math.min(8, access.width - byte);
    if (stores) bus.store(byte, width, readRegister(state, place(byte), width));
    else loaded.push([place(byte), width, bus.load(byte, width)]);
  }
  if (stores) return;
  if (access.clearsUpper) state.fill(0, place(0), place(0) + 16);
  for (const [at, width, value] of loaded) {
    if (width === 8) state.writeBigUInt64LE(value, at);
    else state.writeUIntLE(Number(value), at, width);
  }
  const inUse = register.width === 32 ? 7n : 3n;
  state.writeBigUInt64LE(state.readBigUInt64LE(XSAVE.stateBits) | inUse, XSAVE.stateBits);
}

const RCX = 88;

/** One element; a repeated instruction comes back for the next. */
function stringStep(step: (access: Access, stopped: Stopped, delta: bigint) => boolean): Handler {
  return (access, stopped) => {
    const { regs } = stopped;
    const backwards = (regs.readUInt32LE(REGS.eflags) & DIRECTION) !== 0;
    const delta = BigInt(backwards ? -access.width : access.width);
    if (!step(access, stopped, delta)) return false;
    if (!access.repeated) return true;
    const left = regs.readBigUInt64LE(RCX) - 1n;
    regs.writeBigUInt64LE(left, RCX);
    return left === 0n ? true : 'repeat';
  };
}
function advance(regs: Buffer, at: number, delta: bigint): void {
  regs.writeBigUInt64LE(BigInt.asUintN(64, regs.readBigUInt64LE(at) + delta), at);
}
const stringMove = stringStep((access, { regs, memory, bus, address }, delta) => {
  const toRegisters = regs.readBigUInt64LE(REGS.rdi) === address;
  const bytes = Buffer.alloc(8);
  const element = bytes.subarray(0, access.width);
  if (toRegisters) {
    if (memory.read(regs.readBigUInt64LE(REGS.rsi), element)) return false;
    bus.store(0, access.width, bytes.readBigUInt64LE(0));
  } else {
    bytes.writeBigUInt64LE(bus.load(0, access.width), 0);
    if (memory.write(regs.readBigUInt64LE(REGS.rdi), element)) return false;
  }
  advance(regs, REGS.rsi, delta);
  advance(regs, REGS.rdi, delta);
  return true;
});
const stringStore = stringStep((access, { regs, bus }, delta) => {
  bus.store(0, access.width, readRegister(regs, REGS.rax, access.width));
  advance(regs, REGS.rdi, delta);
  return true;
});
const stringLoad = stringStep((access, { regs, bus }, delta) => {
  writeRegister(regs, REGS.rax, access.width, bus.load(0, access.width));
  advance(regs, REGS.rsi, delta);
  return true;
});

const HANDLERS: Readonly<Record<Operation, Handler>> = {
  add: arithmetic(add, true),
  and: arithmetic(and, true),
  'bit-reset': bit((value, mask) => value & ~mask),
  'bit-set': bit((value, mask) => value | mask),
  'bit-test': bit(() => undefined),
  compare: arithmetic(subtract, false),
  'compare-exchange': compareExchange,
  dec: arithmetic(subtract, true, ARITHMETIC & ~CARRY),
  exchange,
  'exchange-add': exchangeAdd,
  inc: arithmetic(add, true, ARITHMETIC & ~CARRY),
  move,
  'move-sign': moveSign,
  'move-vector': moveVector,
  'move-zero': move,
  neg: negate,
  not,
  or: arithmetic(
    logic((a, b) => a | b),
    true,
  ),
  'string-load': stringLoad,
  'string-move': stringMove,
  'string-store': stringStore,
  sub: arithmetic(subtract, true),
  test: arithmetic(and, false),
  xor: arithmetic(
    logic((a, b) => a ^ b),
    true,
  ),
};
