/** The trace of a run while it is kept. */
import { constants } from 'node:buffer';
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { UserMistake } from '../user-mistake.ts';
import { KeptTrace } from './kept-trace.ts';

test('it is read as it was written, whole or from a place on', () => {
  using trace = new KeptTrace();
  writeSync(trace.writeFd, 'one\ntwo\n');
  const piece = Buffer.alloc(16);
  expect(trace.text()).toBe('one\ntwo\n');
  expect(piece.toString('utf8', 0, trace.read(piece, 4))).toBe('two\n');
  closeSync(trace.writeFd);
});
test('what no text can hold is a mistake that says how much it is', () => {
  using trace = new KeptTrace();
  const size = constants.MAX_STRING_LENGTH + 1;
  ftruncateSync(trace.writeFd, size); // takes no place on the disk
  expect(() => trace.text()).toThrow(UserMistake);
  expect(() => trace.text()).toThrow(`the trace of the report has ${size} bytes`);
  closeSync(trace.writeFd);
});
