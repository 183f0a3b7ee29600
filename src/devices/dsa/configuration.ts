/** Work queues and groups as software has configured them, and whether they can be enabled (devices.md 3.1, 3.2). */
import type { RegisterFile } from '../unit/registers.ts';
import {
  CMDERR,
  ENGINES,
  GROUP_WORDS,
  GROUPS,
  TOTAL_WQ_SIZE,
  WQ_WORDS,
  type DSA_REGISTERS,
} from './registers.ts';

export type Registers = RegisterFile<typeof DSA_REGISTERS>;

/** What the device can do at most, as log2. */
export interface Most {
  readonly wqs: number;
  readonly transferLg2: number;
  readonly batchLg2: number;
}
/** One work queue. */
interface WqConfig {
  readonly size: number;
  readonly isDedicated: boolean;
  readonly priority: number;
  readonly transferLg2: number;
  readonly batchLg2: number;
}

const MODE_WORD = 2;
const LIMITS_WORD = 3;
const STATE_WORD = 6;
const WQ_ENABLED = 1n << 30n;
/** Of a group: the word of its engines, after those of its work queues. */
const ENGINES_WORD = 4;

export function wqConfig(registers: Registers, wq: number): WqConfig {
  const word = (n: number): number => Number(registers.get('wqcfg', wq * WQ_WORDS + n));
  const limits = word(LIMITS_WORD);
  return {
    size: word(0) & 0xffff,
    isDedicated: (word(MODE_WORD) & 1) !== 0,
    priority: (word(MODE_WORD) >>> 4) & 0xf,
    transferLg2: limits & 0x1f,
    batchLg2: (limits >>> 5) & 0xf,
  };
}
export function isWqEnabled(registers: Registers, wq: number): boolean {
  return (registers.get('wqcfg', wq * WQ_WORDS + STATE_WORD) & WQ_ENABLED) !== 0n;
}
export function enableWq(registers: Registers, wq: number, on: boolean): void {
  registers.set('wqcfg', on ? WQ_ENABLED : 0n, wq * WQ_WORDS + STATE_WORD);
}
/** Everything of it is as at power-on. */
export function clearWq(registers: Registers, wq: number): void {
  for (let n = 0; n < WQ_WORDS; n++) registers.set('wqcfg', 0n, wq * WQ_WORDS + n);
}
/** A store to a word of WQCFG: the state is the device's, and an enabled queue stays as it is. */
export function storeWqWord(registers: Registers, most: Most, index: number, value: bigint): void {
  const wq = Math.floor(index / WQ_WORDS);
  if (wq >= most.wqs || index % WQ_WORDS === STATE_WORD || isWqEnabled(registers, wq)) return;
  registers.set('wqcfg', value, index);
}

/** A code of CMDERR, 0 when it can be. */
export function whyNotWq(registers: Registers, most: Most, wq: number): number {
  const { size, isDedicated, priority, transferLg2, batchLg2 } = wqConfig(registers, wq);
  if (isWqEnabled(registers, wq)) return CMDERR.wqEnabled;
  if (size === 0) return CMDERR.wqSize;
  if (priority === 0) return CMDERR.wqPriority;
  if (!isDedicated) return CMDERR.wqMode;
  if (batchLg2 > most.batchLg2) return CMDERR.wqBatch;
  return transferLg2 > most.transferLg2 ? CMDERR.wqTransfer : 0;
}
/** The same for the device. */
export function whyNotDevice(registers: Registers, most: Most): number {
  const sizes = Array.from({ length: most.wqs }, (_, wq) => wqConfig(registers, wq).size);
  if (sizes.reduce((sum, size) => sum + size, 0) > TOTAL_WQ_SIZE) return CMDERR.totalSize;
  const groups = Array.from({ length: GROUPS }, (_, group) => ({
    wqs: registers.get('grpcfg', group * GROUP_WORDS),
    engines: registers.get('grpcfg', group * GROUP_WORDS + ENGINES_WORD),
  }));
  const among = (what: 'wqs' | 'engines', n: number): number =>
    groups.filter((group) => ((group[what] >> BigInt(n)) & 1n) !== 0n).length;
  for (const [wq, size] of sizes.entries()) {
    if (among('wqs', wq) > 1) return CMDERR.wqInGroups;
    if (size > 0 && among('wqs', wq) === 0) return CMDERR.wqInNoGroup;
  }
  for (let engine = 0; engine < ENGINES; engine++) {
    if (among('engines', engine) > 1) return CMDERR.engineInGroups;
  }
  const idle = groups.some(({ wqs, engines }) => wqs !== 0n && engines === 0n);
  return idle ? CMDERR.noEngine : 0;
}
