// `npm run conformance -- SUITE`: foreign programs, unmodified, with a table of results.
import { existsSync } from 'node:fs';
import { UserError } from './debian.mjs';
import { border } from './border.mjs';
import { dpdk } from './dpdk.mjs';
import { explore } from './explore.mjs';
import { sanitized } from './findings.mjs';
import { host } from './host.mjs';
import { iommufd } from './iommufd.mjs';
import { readOptions } from './options.mjs';
import { qemu } from './qemu.mjs';
import { tools } from './tools.mjs';
import { vfio } from './vfio.mjs';

const SUITES = { border, dpdk, explore, host, iommufd, qemu, tools, vfio };

try {
  const { suite, values } = readOptions(process.argv.slice(2), Object.keys(SUITES));
  if (!existsSync(new URL('../dist/cli/main.js', import.meta.url))) {
    throw new UserError('dist/ is missing: run npm run build first');
  }
  const run = () => SUITES[suite](values);
  process.exitCode = await (values.sanitize ? sanitized(values.sanitize, run) : run());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`conformance: ${error.message}`);
  process.exitCode = 2;
}
