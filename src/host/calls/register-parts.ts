/** The buffers of a call that is made with memory in the place of registers: loaded before it, stored after it. */
import type { UserMemory } from '../../base/task.ts';
import { IOVEC_SIZE } from './transfers.ts';

/** Bytes of registers that one call moves. */
export const MOST_BYTES = 65_536;

/** One buffer of a program. */
export interface Part {
  readonly addr: bigint;
  /** Bytes. */
  readonly length: number;
  /** Of registers: where they are instead, in the memory of the call. */
  readonly at?: number;
}

/** The registers into the memory of the call; false: some do not answer. */
export function loadParts(memory: UserMemory, parts: readonly Part[], into: Buffer): boolean {
  return parts.every(
    ({ addr, length, at }) =>
      at === undefined || memory.read(addr, into.subarray(at, at + length)) === undefined,
  );
}
/** The first `count` bytes of the buffers, as far as they are registers, out of the memory of the call. */
export function storeParts(
  memory: UserMemory,
  parts: readonly Part[],
  from: Buffer,
  count: number,
): boolean {
  let left = count;
  return parts.every(({ addr, length, at }) => {
    const moved = Math.min(length, left);
    left -= moved;
    if (at === undefined || moved === 0) return true;
    return memory.write(addr, from.subarray(at, at + moved)) === undefined;
  });
}

/** struct iovec[] of a call whose memory is at `base`. */
export function writeVector(into: Buffer, parts: readonly Part[], base: bigint): void {
  for (const [n, { addr, length, at }] of parts.entries()) {
    const place = n * IOVEC_SIZE;
    into.writeBigUInt64LE(at === undefined ? addr : base + BigInt(at), place);
    into.writeBigUInt64LE(BigInt(length), place + 8);
  }
}
