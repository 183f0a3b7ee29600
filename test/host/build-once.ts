/**
 * Before the first file of tests that start real processes: the programs as they are shipped, in bundles of the sources. Type
 * errors are the type checker's business.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT, DIST, PROJECT } from './project.ts';

/** Packages that the programs load. */
const RUNTIME = [
  '@bufbuild',
  '@commander-js',
  '@koromix',
  'commander',
  'iced-x86',
  'koffi',
  'yaml',
  'zod',
];

/** Vitest calls it. */
export function setup(): void {
  if (PROJECT !== CHECKOUT) copyCheckout();
  mkdirSync(DIST, { recursive: true });
  writeFileSync(join(DIST, 'package.json'), '{"type":"module"}');
  const bundle = join(CHECKOUT, 'scripts/bundle.mjs');
  const { status, stderr } = spawnSync(process.execPath, [bundle, DIST], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the programs could not be bundled: ${stderr}`);
}

function copyCheckout(): void {
  const parts = ['src', 'examples', 'docs/errno.md', 'test/host', 'package.json'];
  const packages = RUNTIME.map((name) => join('node_modules', name));
  for (const part of [...parts, ...packages]) {
    const from = join(CHECKOUT, part);
    if (!statSync(from, { throwIfNoEntry: false })) continue;
    cpSync(from, join(PROJECT, part), { recursive: true, preserveTimestamps: true });
  }
  spawnSync('chmod', ['-R', 'a+rX', PROJECT]);
}
