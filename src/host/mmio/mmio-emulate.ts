/**
 * Carrying out one decoded instruction that touches device registers: values, flags, and the next instruction pointer.
 *
 * A table by operation. Registers are the bytes of struct user_regs_struct.
 */
import type { MemoryAccess, Operand, Operation } from './mmio-decode.ts';
import { effectiveAddress } from './effective-address.ts';
import { addToRegister, bitsOf, readRegister, writeRegister } from './flags.ts';
import type { Emulated, Stopped } from './stopped.ts';
import { gather } from './gather.ts';
import { nativeOperation } from './native-run.ts';
import { GENERAL_PROTECTION } from '../process/instruction-memory.ts';
import * as strings from './string-ops.ts';
import { REGS } from '../sys/ptrace.ts';

/** Carry it out, and step over it unless the program is to run it again. */
export function emulate(access: MemoryAccess, stopped: Stopped): Emulated {
  const outcome = HANDLERS[access.operation](access, stopped);
  stopped.memory.flush();
  if (outcome === 'again') return 'done';
  if (outcome === 'done') addToRegister(stopped.regs, REGS.rip, BigInt(access.length));
  return outcome;
}

type Handler = (access: MemoryAccess, stopped: Stopped) => Emulated | 'again';

/** `convert`: from the operand's width to the register's. */
function move(convert: (access: MemoryAccess, value: bigint) => bigint): Handler {
  return (access, { regs, memory }) => {
    const [to, from] = access.operands;
    const { width } = access;
    const address = effectiveAddress(access.place, regs);
    const stores = to?.kind === 'memory';
    const fault = memory.check(address, width, stores);
    if (fault) return fault;
    if (stores) memory.store(address, width, valueOf(from, width, regs));
    else if (to?.kind === 'register') {
      writeRegister(regs, to.at, to.width, convert(access, memory.load(address, width)));
    }
    return 'done';
  };
}
function valueOf(operand: Operand | undefined, width: number, regs: Buffer): bigint {
  if (operand?.kind === 'register') return readRegister(regs, operand.at, operand.width);
  return operand?.kind === 'immediate' ? bitsOf(width, operand.value) : 0n;
}
const asItIs = (_access: MemoryAccess, value: bigint): bigint => value;
const signed = (access: MemoryAccess, value: bigint): bigint =>
  BigInt.asIntN(access.width * 8, value);

const push: Handler = (access, { regs, memory }) => {
  const from = effectiveAddress(access.place, regs);
  const to = regs.readBigUInt64LE(REGS.rsp) - BigInt(access.width);
  const fault = memory.check(from, access.width, false) ?? memory.check(to, access.width, true);
  if (fault) return fault;
  memory.store(to, access.width, memory.load(from, access.width));
  regs.writeBigUInt64LE(to, REGS.rsp);
  return 'done';
};
/** An address made of rsp counts from what rsp is afterwards. */
const pop: Handler = (access, { regs, memory }) => {
  const from = regs.readBigUInt64LE(REGS.rsp);
  const after = Buffer.from(regs);
  addToRegister(after, REGS.rsp, BigInt(access.width));
  const to = effectiveAddress(access.place, after);
  const fault = memory.check(from, access.width, false) ?? memory.check(to, access.width, true);
  if (fault) return fault;
  memory.store(to, access.width, memory.load(from, access.width));
  after.copy(regs);
  return 'done';
};
const moveBytes: Handler = (access, { regs, memory }) => {
  const [register] = access.operands;
  const from = effectiveAddress(access.place, regs);
  const to = valueOf(register, 8, regs);
  if (to % BigInt(access.width) !== 0n) return GENERAL_PROTECTION;
  const fault = memory.check(from, access.width, false) ?? memory.check(to, access.width, true);
  if (fault) return fault;
  let line = 0n;
  for (let n = access.width - 8; n >= 0; n -= 8) {
    line = (line << 64n) | memory.load(from + BigInt(n), 8);
  }
  memory.store(to, access.width, line);
  return 'done';
};

const HANDLERS: Readonly<Record<Operation, Handler>> = {
  gather,
  move: move(asItIs),
  'move-64-bytes': moveBytes,
  'move-sign': move(signed),
  'move-zero': move(asItIs),
  native: nativeOperation,
  nothing: () => 'done',
  pop,
  push,
  'string-compare': strings.stringCompare,
  'string-load': strings.stringLoad,
  'string-move': strings.stringMove,
  'string-scan': strings.stringScan,
  'string-store': strings.stringStore,
};
