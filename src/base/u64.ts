/**
 * Sixty-four bit words and granule numbers.
 *
 * At the doors (uapi structs, the public library, messages) a u64 is a bigint. On the data path there is
 * no bigint: addresses travel as granule numbers (address >> granuleLg2, a double, exact below 2^53) or as page
 * frame numbers. Converting between the two happens in the named functions of this file only.
 */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;
/** The CPU page. */
export const PAGE_SIZE = 4096;

const LG2_FACTOR = Array.from({ length: 64 }, (_, n) => 2 ** n);
/** 2^n as a double, for granule arithmetic beyond 32 bits. */
export function pow2(n: number): number {
  return LG2_FACTOR[n]!;
}
/** Address → granule number. The low bits are dropped; test alignment first. */
export function toGranules(address: bigint, granuleLg2: number): number {
  return Number(address >> BigInt(granuleLg2));
}
/** Granule number → address. */
export function fromGranules(granules: number, granuleLg2: number): bigint {
  return BigInt(granules) << BigInt(granuleLg2);
}

/** BIT_ULL(n). */
export function bit(n: number): bigint {
  return 1n << BigInt(n);
}
/** GENMASK_ULL(high, low). */
export function mask(high: number, low: number): bigint {
  return ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
}
/** Is it a multiple of 2^lg2? */
export function isAligned(value: bigint, lg2: number): boolean {
  return (value & (bit(lg2) - 1n)) === 0n;
}
function alignDown(value: bigint, lg2: number): bigint {
  return (value >> BigInt(lg2)) << BigInt(lg2);
}
/** Not reduced modulo 2^64: the caller tests for overflow. */
export function alignUp(value: bigint, lg2: number): bigint {
  return alignDown(value + bit(lg2) - 1n, lg2);
}
/** Position of the lowest set bit; the value must not be 0. */
export function ffs(value: bigint): number {
  return fls(value & -value);
}
/** Position of the highest set bit; the value must be positive. */
export function fls(value: bigint): number {
  return value.toString(2).length - 1;
}
/** '0x' and lower-case digits, as messages show an address. */
export function hex(value: bigint | number): string {
  return '0x' + value.toString(16);
}
/** '0x1000-0x1fff', with its last byte. */
export function hexRange(first: bigint, last: bigint): string {
  return `${hex(first)}-${hex(last)}`;
}
/** Two digits for each byte. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
/** Bytes from two digits each, as hexOf() writes them. */
export function bytesOfHex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g) ?? [], (each) => parseInt(each, 16));
}
