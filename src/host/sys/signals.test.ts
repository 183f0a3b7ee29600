/** What /proc says of signals, as we read it, against what another of its files says of the same. */
import { expect, test } from 'vitest';
import { statusLine, textOf } from './procfs.ts';
import { meaningsIn } from './signals.ts';

const stat = (name: string, ignored: number, caught: number): Buffer => {
  const before = Array.from({ length: 33 - 4 }, (_, n) => n); // fields 4 to 32
  return Buffer.from(`17 (${name}) S ${before.join(' ')} ${ignored} ${caught} 0 0 17\n`);
};

test.for(['sh', 'a b', 'x) R 1 2 3', '((', ' '])('of a program called %j', (name) => {
  expect(meaningsIn(stat(name, 4096, 65_538))).toEqual({ ignored: 4096, caught: 65_538 });
});
test('of the largest sets there are', () => {
  expect(meaningsIn(stat('sh', 2 ** 31 - 1, 0))).toEqual({ ignored: 2 ** 31 - 1, caught: 0 });
});
test('a process that is gone has none', () => {
  for (const text of ['', '17', '17 (sh) S', '17 (sh) S 1 2 3'])
    expect(meaningsIn(Buffer.from(text))).toEqual({ ignored: 0, caught: 0 });
});
test('as the kernel says of this process in another file', () => {
  const status = textOf('/proc/self/status');
  const lower = (line: string): number =>
    Number(BigInt(`0x${statusLine(status, line)}`) & 0x7fff_ffffn);
  const text = Buffer.from(textOf('/proc/self/stat'), 'latin1');
  expect(meaningsIn(text)).toEqual({ ignored: lower('SigIgn'), caught: lower('SigCgt') });
});
