/** `npm run build`: the package as it is shipped, in dist/. The command line is made executable, as `npx softiommu` runs it. */
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(
  process.execPath,
  [compiler, '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);
if (status === 0) await bundlePrograms();
process.exitCode = status ?? 1;

/** What runs by itself, in as few files as there are moments to load them: a start opens 30 files instead of 1,100. */
async function bundlePrograms() {
  const programs = ['cli/main', 'host/loop/kernel-thread', 'host/launch/launcher-main'];
  rmSync(join(root, 'dist/parts'), { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: programs.map((name) => ({ in: `src/${name}.ts`, out: name })),
    outdir: 'dist',
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
  chmodSync(join(root, 'dist/cli/main.js'), 0o755);
}
