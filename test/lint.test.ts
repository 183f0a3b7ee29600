/** The lint rules of this repository: what they find, and what they leave alone. */
import { Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { expect, test } from 'vitest';
import castNeedsReason from '../lint/cast-needs-reason.mjs';

function casts(code: string): number[] {
  const found = new Linter().verify(
    code,
    [
      {
        files: ['**/*.ts'],
        languageOptions: { parser: tseslint.parser as Linter.Parser },
        plugins: { here: { rules: { cast: castNeedsReason } } },
        rules: { 'here/cast': 'error' },
      },
    ],
    'a.ts',
  );
  return found.map((message) => message.line);
}

test('a cast without a reason is found, once for a chain of them', () => {
  expect(casts('const a = b as C;')).toEqual([1]);
  expect(casts('const a = b as unknown as C;')).toEqual([1]);
  expect(casts('// a comment\nconst a = b as C;\n// cast: too late')).toEqual([2]);
});

test('a cast with its reason above it or behind it is left alone, and so is what is no cast', () => {
  expect(casts('// cast: C is all there is\nconst a = b as C;')).toEqual([]);
  expect(casts('const a = b as C; // cast: C is all there is')).toEqual([]);
  expect(casts('const a = [1] as const;\nconst d = {} satisfies object;')).toEqual([]);
});
