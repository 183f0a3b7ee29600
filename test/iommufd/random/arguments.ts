/** Addresses, lengths and flags from small sets, so that random commands often meet. */
import fc from 'fast-check';
import { U64_MAX } from '../../../src/base/u64.ts';
import { ARRAY, ARRAY_READ_ONLY, BUFFER, SHARED } from '../../../src/testing/iommufd/process.ts';

/** Where the aperture of the mock's tables begins. */
export const APERTURE = 0x100_0000n;

const one = <T>(weight: number, ...values: T[]) => ({
  weight,
  arbitrary: fc.constantFrom(...values),
});
export const flag = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(one(9, usual), one(1, ...others));
/** A reserved field: 0, or seldom not. */
export const reserved = flag(0, 1, 0x8000_0000);

export const iova: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 12, arbitrary: fc.nat(7).map((page) => APERTURE + BigInt(page) * 0x1000n) },
  // Over the end of a table: its second half needs a frame more.
  one(5, APERTURE + 0x1f_f000n, APERTURE + 0x1f_e000n, APERTURE + 0x1f_f800n),
  one(3, APERTURE + 0x800n, APERTURE + 0x3800n, 0n, 0x2000n, 0x20_0000n, 0xfee0_0000n),
  one(1, U64_MAX, U64_MAX - 0xfffn, 1n << 38n, APERTURE + 1n, 0x7fff_f000n),
);
export const length: fc.Arbitrary<bigint> = fc.oneof(
  one(8, 0x1000n, 0x1000n, 0x2000n, 0x3000n),
  one(3, 0x800n, 0x1800n, 0x4000n, 0x1_0000n),
  one(1, 0n, 1n, U64_MAX, U64_MAX - 1n, 0x2_0000n, 1n << 40n),
);
/** Memory of the program: private, shared with children, or not there. */
export const va: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 8, arbitrary: fc.nat(15).map((page) => BUFFER + BigInt(page) * 0x1000n) },
  { weight: 3, arbitrary: fc.nat(3).map((page) => SHARED + BigInt(page) * 0x1000n) },
  one(2, BUFFER + 0x800n, BUFFER + 0x2801n, BUFFER + 0xf800n),
  one(1, 0n, BUFFER + 0x1_0000n, U64_MAX, U64_MAX - 0xfffn),
);
/** FIXED 1, WRITEABLE 2, READABLE 4. */
export const mapFlags: fc.Arbitrary<number> = fc.oneof(one(12, 7, 7, 6, 5, 3), one(1, 0, 1, 8, 14));
/** A pointer to what the step has put at ARRAY; beyond, unaligned, or to what cannot be written. */
export const pointer: fc.Arbitrary<bigint> = flag(
  ARRAY,
  0n,
  ARRAY + 1n,
  ARRAY + 0x4000n,
  ARRAY_READ_ONLY,
  ARRAY_READ_ONLY,
  U64_MAX,
);
export const pasid = fc.constantFrom(1, 5, 5, 1024, 0, 1 << 20);

export { one };
