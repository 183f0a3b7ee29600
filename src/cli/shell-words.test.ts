/** Lines for a shell, which a shell takes apart. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { onOneLine } from '../machine/description/wording.ts';
import { shellLine } from './shell-words.ts';

/** What a program is given when bash is given this line. */
function wordsOf(line: string): string[] {
  const script = `printf '%s\\0' ${line}`;
  const { stdout, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout.split('\0').slice(0, -1);
}
const HARD = [
  'a b',
  '',
  '$HOME',
  '`id`',
  '~',
  "it's",
  '*',
  'x;y',
  '\n',
  '\x1b[2J',
  "\\'\n1",
  '-é\u202e',
];

test('a shell takes them apart into the same words', () => {
  expect(wordsOf(shellLine(HARD))).toEqual(HARD);
});
test('so it does with any, and each line can be shown', () => {
  const word = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1 }), (words) => {
      const line = shellLine(words);
      expect(onOneLine(line)).toBe(line);
      expect(wordsOf(line)).toEqual(words);
    }),
    { numRuns: 50 },
  );
});
test('what needs no quotes has none', () => {
  const words = ['softiommu', 'run', '--inject-token', '1~inject=a:error=EIO', '--', './prog'];
  expect(shellLine(words)).toBe(words.join(' '));
  expect(shellLine(['A=1', 'x y'])).toBe("'A=1' 'x y'");
});
