/**
 * Sixty-four bit words, address types and page frame numbers.
 *
 * At the doors (uapi structs, the public library, messages) a u64 is a bigint. On the data path there is
 * no bigint: addresses travel as granule numbers (address >> granuleLg2, a double, exact below 2^53) or as page
 * frame numbers. Converting between the two happens in the named functions of this file only.
 */
declare const brand: unique symbol;
export type Branded<Name extends string> = bigint & { readonly [brand]: Name };
export type BrandedNumber<Name extends string> = number & { readonly [brand]: Name };

/** An I/O virtual address: what a device puts on the bus. */
export type Iova = Branded<'Iova'>;
/** A physical address: what a page table outputs. */
export type Pa = Branded<'Pa'>;
/** A virtual address of a program: a claim, proved only by reading or pinning through its Mm. */
export type UserVa = Branded<'UserVa'>;
/** A physical page frame number: Pa >> 12. Exact in a double up to 2^52. */
export type Pfn = BrandedNumber<'Pfn'>;

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
/** The CPU page: 4 KiB. */
export const PAGE_LG2 = 12;
export const PAGE_SIZE = 4096;

export function iova(value: bigint): Iova {
  return value as Iova;
}
export function pa(value: bigint): Pa {
  return value as Pa;
}
export function userVa(value: bigint): UserVa {
  return value as UserVa;
}
export function pfn(value: number): Pfn {
  return value as Pfn;
}
export function pfnToPa(frame: Pfn): Pa {
  return (BigInt(frame) << 12n) as Pa;
}
export function paToPfn(address: Pa): Pfn {
  return Number(address >> 12n) as Pfn;
}

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
/** FIELD_GET(). */
export function fieldGet(m: bigint, word: bigint): bigint {
  return (word & m) / (m & -m);
}
/** FIELD_PREP(). */
export function fieldPrep(m: bigint, value: bigint): bigint {
  return (value * (m & -m)) & m;
}
export function isAligned(value: bigint, lg2: number): boolean {
  return (value & (bit(lg2) - 1n)) === 0n;
}
export function alignDown(value: bigint, lg2: number): bigint {
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
/** Two's complement wrap to 64 bits. */
export function u64(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
export function hex(value: bigint | number): string {
  return '0x' + value.toString(16);
}
