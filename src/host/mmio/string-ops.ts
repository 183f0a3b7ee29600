/**
 * String instructions: registers to memory, memory to registers, registers to registers of the same or another device.
 *
 * Elements move one by one, each an access of its width. A repeated instruction goes on here for up to a page and is then run
 * again by the program, so that signals, and what the rest of it touches, are as always.
 */
import type { MemoryAccess } from './mmio-decode.ts';
import type { InstructionFault } from '../process/instruction-memory.ts';
import type { Stopped } from './stopped.ts';
import { effectiveAddress } from './effective-address.ts';
import { addToRegister, compare, DIRECTION, readRegister, writeRegister, ZERO } from './flags.ts';
import { REGS } from '../sys/ptrace.ts';

const MAX_BYTES = 4096;

/** One element: a fault when something cannot be reached, and nothing has moved then. */
type Step = (access: MemoryAccess, stopped: Stopped, delta: bigint) => InstructionFault | undefined;

/** 'again': the program is to run the instruction once more. */
export function stringOperation(step: Step) {
  return (access: MemoryAccess, stopped: Stopped): 'done' | 'again' | InstructionFault => {
    const { regs } = stopped;
    const backwards = (regs.readUInt32LE(REGS.eflags) & DIRECTION) !== 0;
    const delta = BigInt(backwards ? -access.width : access.width);
    if (access.repeat === 'no') return step(access, stopped, delta) ?? 'done';
    for (let moved = 0; moved < MAX_BYTES; moved += access.width) {
      if (regs.readBigUInt64LE(REGS.rcx) === 0n) return 'done';
      const fault = step(access, stopped, delta);
      if (fault) return moved === 0 ? fault : 'again';
      addToRegister(regs, REGS.rcx, -1n);
      if (endsWith(access, regs)) return 'done';
    }
    return 'again';
  };
}
function endsWith(access: MemoryAccess, regs: Buffer): boolean {
  const isEqual = (regs.readUInt32LE(REGS.eflags) & ZERO) !== 0;
  if (access.repeat === 'while-equal') return !isEqual;
  return access.repeat === 'while-different' && isEqual;
}

/** rsi, with the segment there may be. */
function sourceOf(access: MemoryAccess, regs: Buffer): bigint {
  return effectiveAddress({ ...access.place, base: REGS.rsi, displacement: 0n }, regs);
}

export const stringMove = stringOperation((access, { regs, memory }, delta) => {
  const { width } = access;
  const from = sourceOf(access, regs);
  const to = regs.readBigUInt64LE(REGS.rdi);
  const fault = memory.check(from, width, false) ?? memory.check(to, width, true);
  if (fault) return fault;
  memory.store(to, width, memory.load(from, width));
  addToRegister(regs, REGS.rsi, delta);
  addToRegister(regs, REGS.rdi, delta);
  return undefined;
});
export const stringStore = stringOperation(({ width }, { regs, memory }, delta) => {
  const to = regs.readBigUInt64LE(REGS.rdi);
  const fault = memory.check(to, width, true);
  if (fault) return fault;
  memory.store(to, width, readRegister(regs, REGS.rax, width));
  addToRegister(regs, REGS.rdi, delta);
  return undefined;
});
export const stringLoad = stringOperation((access, { regs, memory }, delta) => {
  const { width } = access;
  const from = sourceOf(access, regs);
  const fault = memory.check(from, width, false);
  if (fault) return fault;
  writeRegister(regs, REGS.rax, width, memory.load(from, width));
  addToRegister(regs, REGS.rsi, delta);
  return undefined;
});
export const stringCompare = stringOperation((access, { regs, memory }, delta) => {
  const { width } = access;
  const from = sourceOf(access, regs);
  const to = regs.readBigUInt64LE(REGS.rdi);
  const fault = memory.check(from, width, false) ?? memory.check(to, width, false);
  if (fault) return fault;
  compare(regs, width, memory.load(from, width), memory.load(to, width));
  addToRegister(regs, REGS.rsi, delta);
  addToRegister(regs, REGS.rdi, delta);
  return undefined;
});
export const stringScan = stringOperation(({ width }, { regs, memory }, delta) => {
  const to = regs.readBigUInt64LE(REGS.rdi);
  const fault = memory.check(to, width, false);
  if (fault) return fault;
  compare(regs, width, readRegister(regs, REGS.rax, width), memory.load(to, width));
  addToRegister(regs, REGS.rdi, delta);
  return undefined;
});
