/** One word for one thing: no two files of src/ export a type of the same name (docs/language.md). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** The public class, and the one it stands before. */
const TWO_FACES = ['Machine', 'Program'];
const EXPORTED_TYPE = /^export (?:interface|type|class) (\w+)/gm;

test('no two files export a type of the same name', () => {
  const files = new Map<string, string[]>();
  for (const name of readdirSync('src', { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const file = join('src', name);
    for (const [, type] of readFileSync(file, 'utf8').matchAll(EXPORTED_TYPE)) {
      files.set(type!, [...(files.get(type!) ?? []), file]);
    }
  }
  const twice = [...files].filter(([name, { length }]) => length > 1 && !TWO_FACES.includes(name));
  expect(twice).toEqual([]);
});
