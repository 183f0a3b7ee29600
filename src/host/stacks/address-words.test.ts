/** Which words of a stack are addresses, and when two stacks are one way to a call. */
import { expect, test } from 'vitest';
import { Module } from '../../insight/sites/module.ts';
import { AddressScan, isSameWay, wordsOf } from './address-words.ts';
import { ProcessCode } from './code-mappings.ts';

const module = new Module('a', { read: () => undefined, inflate: () => undefined });
const mapping = (start: number, end: number) => ({ start, end, fileOffset: 0, module });
const code = new ProcessCode([
  mapping(0x5555_0000_0000, 0x5555_0000_2000),
  mapping(0x7f00_0000_1000, 0x7f00_0000_3000),
]);
const SP = 0x7ffe_ffff_f000;
/** Addresses of the stack go on behind 4 GiB there. */
const FAR = SP + 0x2000;
const RETURNS = 0x5555_0000_1234;
const LIBRARY = 0x7f00_0000_3000;

function stack(...words: number[]): Uint32Array {
  return Uint32Array.from(words.flatMap((word) => [word % 2 ** 32, Math.floor(word / 2 ** 32)]));
}
function wayOf(words: Uint32Array, first = 0) {
  const scan = new AddressScan(64);
  scan.scan(words, { pc: RETURNS, sp: SP, first, count: words.length / 2 - first }, code);
  return scan.take();
}

test.each<[string, number, boolean]>([
  ['of code that returns', RETURNS, true],
  ['behind the last byte of code', LIBRARY, true],
  ['of the first byte of code, to which nothing returns', 0x7f00_0000_1000, false],
  ['between two mappings of code', 0x6000_0000_0000, false],
  ['of the top of the stack', SP, true],
  ['of the stack behind 4 GiB', FAR, true],
  ['above the top of the stack', SP - 8, false],
  ['of what is no stack any more', SP + (8 << 20), false],
  ['that is none', 42, false],
])('a word %s', (_name, word, isAddress) => {
  expect([...wordsOf(wayOf(stack(1, word, 2)))]).toEqual([0, isAddress ? word : 0, 0]);
});
test('values between the addresses are not of the way, an address is', () => {
  const way = wayOf(stack(1, RETURNS, 2, FAR));
  expect(isSameWay(way, stack(7, RETURNS, 8, FAR), 0)).toBe(true);
  expect(isSameWay(way, stack(1, RETURNS + 5, 2, FAR), 0)).toBe(false);
  expect(isSameWay(way, stack(1, RETURNS, 2, FAR + 8), 0)).toBe(false);
});
test('a stack that begins within a copy is the same', () => {
  const way = wayOf(stack(9, 9, 1, RETURNS, 2), 2);
  expect([...wordsOf(way)]).toEqual([0, RETURNS, 0]);
  expect(isSameWay(way, stack(3, RETURNS, 3), 0)).toBe(true);
  expect(isSameWay(way, stack(4, 4, 4, 3, RETURNS, 3), 3)).toBe(true);
  expect(isSameWay(way, stack(4, 4, 4, 3, RETURNS, 3), 2)).toBe(false);
});
test('code is found at its first and its last byte, and not beside it', () => {
  const at = [0x5555_0000_0000, 0x5555_0000_1fff, 0x5555_0000_2000, 0x7f00_0000_0fff];
  expect(at.map((pc) => code.has(pc))).toEqual([true, true, false, false]);
});
