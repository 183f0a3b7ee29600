/** `softiommu new device`: what it writes passes its own test, and its program drives it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CHECKOUT, MAIN } from './project.ts';

const folder = mkdtempSync(join(tmpdir(), 'new-device-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const BDF = '0000:00:06.0';

/** Output of a command in the folder; fails with what it says where its status is another. */
function ran(file: string, args: readonly string[], status = 0): string {
  const out = spawnSync(file, args, { cwd: folder, encoding: 'utf8', timeout: 110_000 });
  const text = out.stdout + out.stderr;
  expect([out.status, text]).toEqual([status, text]);
  return text;
}
function softiommu(...args: string[]): string {
  return ran(process.execPath, [MAIN, ...args]);
}

test('the device that was written passes its test, and its program drives it', () => {
  expect(softiommu('new', 'device', 'frame-grabber', '.')).toContain('How to run them: README.md');

  // As after `npm install`, with the sources in place of what was built.
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  symlinkSync(join(CHECKOUT, 'node_modules/vitest'), join(modules, 'vitest'));
  const alias = [
    `{ find: /^softiommu[/](\\w+)$/, replacement: ${JSON.stringify(join(CHECKOUT, 'src'))} + '/$1/index.ts' }`,
  ];
  writeFileSync(
    join(folder, 'vitest.config.mjs'),
    `export default { resolve: { alias: [${alias.join()}] } };\n`,
  );
  const vitest = join(CHECKOUT, 'node_modules/vitest/vitest.mjs');
  const tested = ran(process.execPath, [vitest, 'run', '--root', '.', '--no-color']);
  expect(tested).toMatch(/Tests +2[0-9] passed/);

  writeFileSync(join(folder, 'softiommu.h'), softiommu('header'));
  ran('cc', ['-O2', '-Wall', '-Werror', '-o', 'frame-grabber', 'frame-grabber.c']);
  const strips = 'typescript' in process.features && process.features.typescript;
  if (!strips) {
    const esbuild = join(CHECKOUT, 'node_modules/esbuild/bin/esbuild');
    ran(esbuild, ['frame-grabber.mts', '--outfile=frame-grabber.mjs']);
  }
  const plugin = strips ? 'frame-grabber.mts' : 'frame-grabber.mjs';
  const device = `frame-grabber,bdf=${BDF}`;
  const run = ['run', '--plugin', plugin, '--device', device, '--', './frame-grabber', BDF];
  expect(softiommu(...run)).toBe('status 2: xxxxx\nstatus 3 where nothing is mapped\n');
});
