/**
 * `node scripts/code-cache.mjs FOLDER`: what V8 has compiled of each bundle after typical starts, for src/host/sys/code-cache.ts.
 *
 * The programs are run for it. Where this host runs no programs there is less in the caches, and a start takes longer.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const bundles = join(resolve(process.argv[2]), 'bundles');
const recorder = fileURLToPath(new URL('record-code.cjs', import.meta.url));
const { status, stderr } = spawnSync(process.execPath, [recorder, bundles], { encoding: 'utf8' });
if (!existsSync(join(bundles, 'main.cjs.cache'))) {
  console.error(`no code was kept of the programs (status ${status}): ${stderr}`);
  process.exitCode = 1;
}
