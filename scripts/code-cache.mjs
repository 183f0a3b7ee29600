/**
 * `node scripts/code-cache.mjs FOLDER`: what V8 has compiled of each bundle after typical starts, for src/host/sys/code-cache.ts.
 *
 * The programs are run for it. Where this host runs no programs there is less in the caches, and a start takes longer.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Each has a cache, the last one that of all other commands. */
const STARTS = [['topology'], ['run', '--', 'true']];
const bundles = join(resolve(process.argv[2]), 'bundles');
const { cacheOf } = createRequire(import.meta.url)(join(bundles, 'code-cache.cjs'));
const recorder = fileURLToPath(new URL('record-code.cjs', import.meta.url));
for (const words of STARTS) {
  const argv = [recorder, bundles, ...words];
  const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  if (existsSync(cacheOf(join(bundles, 'main.cjs'), words[0]))) continue;
  console.error(`no code was kept of ${words[0]} (status ${status}): ${stderr}`);
  process.exitCode = 1;
}
