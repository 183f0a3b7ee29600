/**
 * `node scripts/bundle.mjs FOLDER`: what runs by itself, in as few files as there are moments to load them. A start opens some
 * 100 files instead of 1,170. Packages stay outside.
 *
 * What plugins import of the library is bundled with it, in plugin-entries/, for it must be the very modules that run.
 */
import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const PROGRAMS = ['cli/main', 'host/loop/kernel-thread', 'host/launch/launcher-main'];
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const outdir = resolve(process.argv[2]);
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const ENTRIES = Object.values(exports)
  .map((entry) => /^\.\/dist\/(.*)\.js$/.exec(entry.default ?? '')?.[1])
  .filter(Boolean);

for (const folder of ['parts', 'plugin-entries']) {
  rmSync(join(outdir, folder), { recursive: true, force: true });
}
await build({
  absWorkingDir: root,
  entryPoints: [
    ...PROGRAMS.map((name) => ({ in: `src/${name}.ts`, out: name })),
    ...ENTRIES.map((name) => ({ in: `src/${name}.ts`, out: `plugin-entries/${name}` })),
  ],
  outdir,
  chunkNames: 'parts/[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  allowOverwrite: true,
  logLevel: 'warning',
});
chmodSync(join(outdir, 'cli/main.js'), 0o755);
// The page of reports, which is put together from these two.
await build({
  absWorkingDir: root,
  entryPoints: ['src/page/main.tsx', 'src/page/styles.css'],
  tsconfig: 'src/page/tsconfig.json',
  outdir: join(outdir, 'page'),
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  logLevel: 'warning',
});
