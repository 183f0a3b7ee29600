import { expect, test } from 'vitest';
import { complement, crc32, crc32c, wordSum } from './checksums.ts';

const DIGITS = new TextEncoder().encode('123456789');

test('the CRCs of nine digits are those of their catalogues', () => {
  expect([crc32(DIGITS), crc32c(DIGITS)]).toEqual([0xcbf4_3926, 0xe306_9283]);
  expect(crc32(Uint8Array.of(0, ...DIGITS), 1)).toBe(0xcbf4_3926);
});
test('the sum of RFC 1071 is that of its example', () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  expect(wordSum(bytes, 0, 8)).toBe(0x2ddf0);
  expect(complement(0x2ddf0)).toBe(0x220d);
});
test('an odd byte is the high one of a word', () => {
  expect(wordSum(Uint8Array.of(9, 1, 2, 3), 1, 4, 5)).toBe(0x0102 + 0x0300 + 5);
});
test('what carries is added again until nothing does', () => {
  expect(complement(0xffff_ffff)).toBe(0);
  expect(complement(0)).toBe(0xffff);
});
