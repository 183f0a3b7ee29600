/** Bundles run the same with what V8 kept of them, without it, and with what is of no use. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { cacheOf, compileBundle, importModule } from './code-cache.ts';

const folder = mkdtempSync(join(tmpdir(), 'code-cache-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The number changes nothing but the text: V8 would find a text that it knows in this process. */
const source = (n: number): string => `
  const later = () => require('node:path').basename(__filename);
  globalThis.ofBundle = { name: later(), isModule: module.exports === exports }; // ${n}
`;
const LEFT = { name: 'bundle.cjs', isModule: true };

let texts = 0;
const bundle = join(folder, 'bundle.cjs');
/** As another text of the same length. */
function write(more = ''): void {
  writeFileSync(bundle, source(1000 + texts++) + more);
}
function keepCode(): void {
  const { script, run } = compileBundle(bundle);
  run();
  writeFileSync(cacheOf(bundle), script.createCachedData());
}
/** Did V8 take its cache, and what did it do? */
function ran(): { readonly rejected: boolean | undefined; readonly left: unknown } {
  const { script, run } = compileBundle(bundle);
  run();
  const { ofBundle } = globalThis as { ofBundle?: unknown }; // cast: the source sets it
  return { rejected: script.cachedDataRejected, left: ofBundle };
}

test('without a cache it is compiled', () => {
  write();
  expect(ran()).toEqual({ rejected: undefined, left: LEFT });
});

test('with a cache of it V8 takes that', () => {
  write();
  keepCode();
  write();
  expect(ran()).toEqual({ rejected: false, left: LEFT });
});

const SPOILT: readonly [string, (cache: string) => void, string][] = [
  ['of another source', () => undefined, '// more'],
  ['garbage', (cache: string) => writeFileSync(cache, 'garbage'), ''],
  ['half of it', (cache: string) => truncateSync(cache, 100), ''],
];
test.for(SPOILT)('a cache that is of no use is left aside: %s', ([, spoil, more]) => {
  write();
  keepCode();
  spoil(cacheOf(bundle));
  write(more);
  expect(ran()).toEqual({ rejected: true, left: LEFT });
});

test('a module is imported, of which a cache knows nothing', async () => {
  expect(await importModule('node:os')).toHaveProperty('EOL');
});
