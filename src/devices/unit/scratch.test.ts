import { expect, test } from 'vitest';
import { Scratch } from './scratch.ts';

test('a scratch buffer is as long as is asked for, whatever was before', () => {
  const scratch = new Scratch();
  expect([4, 0, 9, 2].map((length) => scratch.take(length).length)).toEqual([4, 0, 9, 2]);
});
test('it is the same memory where that is enough', () => {
  const scratch = new Scratch();
  scratch.take(9).fill(7);
  expect(scratch.take(3)).toEqual(Uint8Array.of(7, 7, 7));
});
