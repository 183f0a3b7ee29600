/** Where registers are mapped, so that a filter knows their addresses. */
import { expect, test } from 'vitest';
import { registerAddress } from './register-addresses.ts';

const START = 0x7e90_0000_0000n;
const END = 0x7ea0_0000_0000n;
const MIB = 1n << 20n;
const GIB = 1n << 30n;
const page = (address: bigint): number => Number(address >> 12n);
const span = (from: bigint, to: bigint) => ({ start: page(from), end: page(to) });

test('the first free place is taken, at a multiple of the size', () => {
  expect(registerAddress(MIB, [])).toBe(START);
  const before = span(0x5555_5555_0000n, 0x5555_5556_0000n);
  const one = span(START, START + 4096n);
  expect(registerAddress(MIB, [before, one])).toBe(START + MIB);
  expect(registerAddress(4096n, [before, one])).toBe(START + 4096n);
  const two = span(START + 3n * 4096n, START + 4n * 4096n);
  expect(registerAddress(2n * 4096n, [one, two])).toBe(START + 4n * 4096n);
  expect(registerAddress(4096n, [one, two])).toBe(START + 4096n);
});

test('what begins below or ends above is in the way as well', () => {
  expect(registerAddress(MIB, [span(START - MIB, START + MIB)])).toBe(START + MIB);
  const rest = span(START + 4n * MIB, END + GIB);
  expect(registerAddress(4n * MIB, [rest])).toBe(START);
  expect(registerAddress(8n * MIB, [rest])).toBeUndefined();
});

test('a size that is no power of two is aligned as the next that is, up to a gigabyte', () => {
  expect(registerAddress(3n * 4096n, [span(START, START + 4096n)])).toBe(START + 4n * 4096n);
  expect(registerAddress(3n * GIB, [span(START, START + 4096n)])).toBe(START + GIB);
  expect(registerAddress(64n * GIB, [])).toBe(START);
  expect(registerAddress(64n * GIB + 4096n, [])).toBeUndefined();
});
