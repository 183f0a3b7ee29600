// `npm run conformance -- vfio`: the kernel's VFIO selftests, unmodified, on devices their library has a driver for.
// As whoever runs it; by root also as an ordinary user. `--device TYPE` and `--test PROGRAM` choose.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needPackages } from './debian.mjs';
import { buildVfio, fetchSelftests } from './kernel-selftests.mjs';
import { lastRefusal, runTap, selecting, SOFTIOMMU } from './tap.mjs';

const NEEDED = {
  gcc: 'builds the programs',
  'libc6-dev': 'C headers',
  'uuid-dev': 'tokens of virtual functions',
  'util-linux': 'setpriv, for the ordinary user',
  'xz-utils': 'unpacks the kernel source',
};
const BDFS = ['0000:06:00.0', '0000:07:00.0'];
const DEVICES = ['ioat', 'dsa', 'igb'];
/** How many devices each is given, and those it says nothing new on. */
const PROGRAMS = {
  vfio_pci_driver_test: {},
  vfio_pci_device_test: {},
  vfio_dma_mapping_mmio_test: {},
  vfio_dma_mapping_test: { only: 'ioat' },
  vfio_iommufd_setup_test: { only: 'ioat' },
  vfio_pci_device_init_perf_test: { devices: 2 },
  vfio_pci_sriov_uapi_test: { only: 'igb' },
};
/** The library refuses to start without one. */
const SKIPPED = 4;
const NOBODY = 65534;

export async function vfio(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const kernel = fetchSelftests();
  const names = Object.keys(PROGRAMS).filter((name) => !options.test || name === options.test);
  const programs = buildVfio(kernel, names);
  console.log(`\nLinux ${kernel.version}: tools/testing/selftests/vfio\n`);
  const rows = [];
  const home = mkdtempSync(join(tmpdir(), 'conformance-vfio-'));
  try {
    for (const type of DEVICES) writeFileSync(join(home, type), machineOf(type));
    chmodSync(home, 0o755);
    options = { ...options, home };
    for (const user of process.getuid() === 0 ? ['root', 'nobody'] : ['user']) {
      for (const program of programs) {
        for (const type of devicesOf(program, options)) {
          rows.push(await run({ program, type, user, options }));
        }
      }
    }
  } finally {
    rmSync(home, { recursive: true });
  }
  print(rows);
  return rows.every(({ failed, missing }) => failed.length + missing === 0) ? 0 : 1;
}

/** As an administrator who gives accelerators and virtual functions to users has it. */
function machineOf(type) {
  const kernel = { with: ['vfio-denylist-off', 'vfio-sriov'] };
  return JSON.stringify({ kernel, devices: BDFS.map((at) => ({ type, at })) });
}

function devicesOf(program, options) {
  const { only } = PROGRAMS[nameOf(program)];
  return DEVICES.filter(
    (type) => (!only || only === type) && (!options.device || options.device === type),
  );
}
const nameOf = (program) => program.split('/').at(-1);

function commandOf({ program, type, user, options }, { trace = [], filter = [] } = {}) {
  const bdfs = BDFS.slice(0, PROGRAMS[nameOf(program)].devices ?? 1);
  const as =
    user === 'nobody'
      ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'env', 'HOME=/tmp']
      : [];
  return [
    ...as,
    ...[process.execPath, SOFTIOMMU, 'run'],
    ...(options.mode ? ['--mode', options.mode] : []),
    ...(options.pin ? [`--pin=${options.pin}`] : []),
    ...['--machine', join(options.home, type)],
    // The programs map gigabytes; what a user may lock is the business of whoever starts them.
    ...['--memlock', 'unlimited', ...trace, '--', program, ...filter, ...bdfs],
  ];
}

async function run(what) {
  const { program, type, user, options } = what;
  const results = await runTap(commandOf(what));
  const of = (outcome) => results.filter((result) => result.outcome === outcome);
  const failed = of('failed');
  const isSkipped = results.planned === 0 && results.exit === SKIPPED;
  const row = {
    ...{ title: nameOf(program), type, user, failed, isSkipped, exit: results.exit },
    ...{ passed: of('passed').length, skipped: of('skipped').length, planned: results.planned },
    missing: isSkipped || results.planned > 0 ? results.planned - results.length : 1,
  };
  if (row.missing > 0)
    console.log(`${row.title} on ${type}: ${results.stderr.trim().slice(-1000)}`);
  for (const failure of failed) {
    console.log(`  ${user}: ${type}: ${failure.name}\n    ${failure.note || '(no message)'}`);
    const reason =
      options.explain === false
        ? undefined
        : lastRefusal(commandOf(what, { trace: ['--trace'], filter: selecting(failure.name) }));
    if (reason) console.log(`    softiommu: ${reason}`);
  }
  return row;
}

function print(rows) {
  const head = ['program', 'device', 'as', 'passed', 'failed', 'skipped', 'of'];
  const cells = rows.map((row) => [
    ...[row.title, row.type, row.user, row.passed, row.failed.length],
    row.isSkipped ? 'all' : row.skipped,
    row.planned,
  ]);
  const widths = head.map((name, n) =>
    Math.max(name.length, ...cells.map((row) => String(row[n]).length)),
  );
  const line = (row) => `| ${row.map((cell, n) => String(cell).padEnd(widths[n])).join(' | ')} |`;
  console.log(line(head));
  console.log(line(widths.map((width) => '-'.repeat(width))));
  for (const row of cells) console.log(line(row));
}
