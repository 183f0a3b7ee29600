import { expect, test } from 'vitest';
import { fillPattern } from './pattern.ts';

test.for([0, 1, 7, 8, 9, 100])('a pattern fills %i bytes', (length) => {
  const bytes = fillPattern(new Uint8Array(length), 0x0706_0504_0302_0100n);
  expect([...bytes]).toEqual(Array.from({ length }, (_, n) => n % 8));
});
