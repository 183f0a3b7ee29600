// `npm run conformance -- SUITE [--install] [--mode namespace|traps] [--pin copy|exact] [--test NAME] [--sanitize KINDS]`: foreign programs, unmodified, with a table of results.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { UserError } from './debian.mjs';
import { border } from './border.mjs';
import { dpdk } from './dpdk.mjs';
import { explore } from './explore.mjs';
import { sanitized } from './findings.mjs';
import { host } from './host.mjs';
import { iommufd } from './iommufd.mjs';
import { qemu } from './qemu.mjs';
import { tools } from './tools.mjs';
import { vfio } from './vfio.mjs';

const SUITES = { border, dpdk, explore, host, iommufd, qemu, tools, vfio };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    install: { type: 'boolean', default: false },
    mode: { type: 'string' },
    pin: { type: 'string' },
    test: { type: 'string' },
    device: { type: 'string' },
    ktap: { type: 'string' },
    junit: { type: 'string' },
    cycles: { type: 'string' },
    kills: { type: 'string' },
    sanitize: { type: 'string' },
    explain: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const suite = SUITES[positionals[0]];
if (!suite || positionals.length !== 1) {
  console.error(
    `usage: npm run conformance -- {${Object.keys(SUITES).join('|')}} [--install] [--mode MODE] [--pin HOW] [--test NAME] [--device TYPE] [--ktap FILE] [--junit FILE] [--cycles N] [--kills N] [--sanitize KINDS]`,
  );
  process.exit(2);
}
if (!existsSync(new URL('../dist/cli/main.js', import.meta.url))) {
  console.error('dist/ is missing: run npm run build first');
  process.exit(2);
}
try {
  const run = () => suite(values);
  process.exitCode = await (values.sanitize ? sanitized(values.sanitize, run) : run());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`conformance: ${error.message}`);
  process.exitCode = 2;
}
