/** `npm run build`: the package as it is shipped, in dist/. The command line is made executable, as `npx softiommu` runs it. */
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(
  process.execPath,
  [compiler, '-p', join(root, 'tsconfig.build.json')],
  {
    stdio: 'inherit',
  },
);
if (status === 0) chmodSync(join(root, 'dist/cli/main.js'), 0o755);
process.exitCode = status ?? 1;
