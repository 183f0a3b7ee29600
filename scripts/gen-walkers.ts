/**
 * src/pt/walk/written/*.ts: a page walk of each format with its constants and its levels written out.
 *
 *   npx tsx scripts/gen-walkers.ts [--check]
 *
 * What is written out is the walk that succeeds, in tables in RAM; everything else is left to the interpreted walker, which
 * starts again and judges. `--check` fails when a file is not what would be written.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { format as prettify, resolveConfig } from 'prettier';
import { FORMATS } from '../src/pt/all-formats.ts';
import { indexText, walkerFile, walkerText } from './walker-text.ts';
import { factsOf } from './format-facts.ts';

const DIR = 'src/pt/walk/written';
const options = await resolveConfig(`${DIR}/x.ts`);
const files = new Map<string, string>();
const put = async (file: string, text: string): Promise<void> => {
  files.set(file, await prettify(text, { ...options, parser: 'typescript' }));
};
for (const [name, format] of FORMATS) await put(walkerFile(name), walkerText(factsOf(format)));
await put('index.ts', indexText([...FORMATS.keys()]));

if (process.argv.includes('--check')) {
  const there = existsSync(DIR) ? readdirSync(DIR) : [];
  const stale = [...files].filter(
    ([name, text]) => !there.includes(name) || readFileSync(`${DIR}/${name}`, 'utf8') !== text,
  );
  const strange = there.filter((name) => !files.has(name));
  for (const name of [...stale.map(([file]) => file), ...strange])
    console.error(`${DIR}/${name} is stale: npx tsx scripts/gen-walkers.ts`);
  if (stale.length + strange.length > 0) process.exitCode = 1;
} else {
  mkdirSync(DIR, { recursive: true });
  for (const [name, text] of files) writeFileSync(`${DIR}/${name}`, text);
}
