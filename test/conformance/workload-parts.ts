/** What the small drivers of the shared suite have in common: memory that tells its places apart, stores, and rings. */
import type { DeviceRig } from '../../src/testing/index.ts';
import { insistEqual } from '../../src/testing/base/insist.ts';

/** Bytes that differ from place to place. */
export function fill({ port }: DeviceRig, at: number, length: number): void {
  for (let n = 0; n < length; n++) port.memory[at + n] = (n * 7 + at + (n >> 8) + 1) & 0xff;
}
export function insistCopied({ port }: DeviceRig, from: number, to: number, length: number): void {
  const bytes = (at: number): Uint8Array => port.memory.slice(at, at + length);
  insistEqual(bytes(to), bytes(from), `${length} bytes at 0x${to.toString(16)}`);
}
/** Into BAR 0. */
export function store(
  { device }: DeviceRig,
  at: number,
  width: number,
  value: number | bigint,
): void {
  device.mmioWrite(0, at, width, BigInt(value));
}
export function wordsOf({ port }: DeviceRig): DataView {
  return new DataView(port.memory.buffer);
}
/** A round of so many things, and how many there were before it. */
export interface Round {
  readonly round: number;
  readonly first: number;
  readonly count: number;
}
/** Small rounds come first, where each transfer counts; then some that are more than is done at once. */
export function roundsOf(counts: readonly number[]): Round[] {
  return counts.map((count, round) => ({ round, first: sum(counts.slice(0, round)), count }));
}
export function sum(counts: readonly number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}
/** 0, 1 and so on: as many. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
