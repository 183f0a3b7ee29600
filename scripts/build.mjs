/** `npm run build`: the package as it is shipped, in dist/: the library file by file, the programs in bundles. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const steps = [
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')],
  [join(root, 'scripts/bundle.mjs'), join(root, 'dist')],
];
// What earlier sources became would be shipped with it.
rmSync(join(root, 'dist'), { recursive: true, force: true });
for (const step of steps) {
  const { status } = spawnSync(process.execPath, step, { stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status !== 0) break;
}
