/**
 * The addresses where programs find device registers that they map wherever it suits: a filter compares numbers, and knows
 * nothing of mappings. A buffer there makes a system call one that is trapped.
 *
 * It is where Linux maps things too, after some 400 GiB of others, and sanitizers let a program have memory.
 */

/** Upper half of the first address, and of the last. */
export const REGISTERS_HIGH = { first: 0x7e90, last: 0x7e9f } as const;
const START = BigInt(REGISTERS_HIGH.first) << 32n;
const END = BigInt(REGISTERS_HIGH.last + 1) << 32n;
const PAGE = 4096n;
/** Linux maps BARs at multiples of their size, up to the largest page. */
const MOST_ALIGNED = 1n << 30n;

/** Pages that are taken, in ascending order; `end` is exclusive. */
interface Taken {
  readonly start: number;
  readonly end: number;
}

/** Does a filter know a buffer there to be registers? */
export function isRegisterAddress(address: bigint): boolean {
  return address >= START && address < END;
}
/** Where so many bytes of registers can be mapped; undefined: nowhere. */
export function registerAddress(length: bigint, taken: Iterable<Taken>): bigint | undefined {
  const unit = alignmentOf(length);
  let at = aligned(START, unit);
  for (const { start, end } of taken) {
    if (BigInt(start) * PAGE >= at + length) break;
    const after = BigInt(end) * PAGE;
    if (after > at) at = aligned(after, unit);
  }
  return at + length <= END ? at : undefined;
}
function alignmentOf(length: bigint): bigint {
  let unit = PAGE;
  while (unit < length && unit < MOST_ALIGNED) unit *= 2n;
  return unit;
}
function aligned(address: bigint, unit: bigint): bigint {
  return ((address + unit - 1n) / unit) * unit;
}
