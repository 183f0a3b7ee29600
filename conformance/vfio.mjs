// `npm run conformance -- vfio`: the kernel's VFIO selftests, unmodified, on devices their library has a driver for.
// As whoever runs it; by root also as an ordinary user. `--device TYPE` and `--test PROGRAM` choose.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { needPackages } from './debian.mjs';
import { buildVfio, fetchSelftests } from './kernel-selftests.mjs';
import { printCounts, reportRows } from './reports.mjs';
import { lastRefusal, runTap, selecting, SOFTIOMMU, tapResults } from './tap.mjs';
import { USERS } from './rows.mjs';

const NEEDED = {
  gcc: 'builds the programs',
  'libc6-dev': 'C headers',
  'uuid-dev': 'tokens of virtual functions',
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

export async function vfio(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const kernel = fetchSelftests();
  const names = Object.keys(PROGRAMS).filter((name) => !options.test || name === options.test);
  const programs = buildVfio(kernel, names);
  console.log(`\nLinux ${kernel.version}: tools/testing/selftests/vfio\n`);
  const results = [];
  const home = mkdtempSync(join(tmpdir(), 'conformance-vfio-'));
  try {
    for (const type of DEVICES) writeFileSync(join(home, type), machineOf(type));
    chmodSync(home, 0o755);
    options = { ...options, home };
    for (const user of USERS) {
      for (const program of programs) {
        for (const type of devicesOf(program, options)) {
          results.push(...(await run({ program, type, user, options })));
        }
      }
    }
  } finally {
    rmSync(home, { recursive: true });
  }
  printCounts(['program', 'device', 'as'], results);
  return reportRows(results, options);
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

function commandOf({ program, type, options }, { trace = [], filter = [] } = {}) {
  const bdfs = BDFS.slice(0, PROGRAMS[nameOf(program)].devices ?? 1);
  return [
    ...[process.execPath, SOFTIOMMU, 'run'],
    ...(options.mode ? ['--mode', options.mode] : []),
    ...(options.pin ? [`--pin=${options.pin}`] : []),
    ...['--machine', join(options.home, type)],
    // The programs map gigabytes.
    ...['--memlock', 'unlimited', ...trace, '--', program, ...filter, ...bdfs],
  ];
}

async function run(what) {
  const { program, type, user, options } = what;
  const how = { ...user.spawn, env: { ...process.env, HOME: '/tmp' } };
  const ran = await runTap(commandOf(what), how);
  const title = nameOf(program);
  const group = [title, type, user.who];
  const where = { suite: title, prefix: `${title} on ${type} as ${user.who}: `, group };
  const explain = (name) => {
    if (options.explain === false) return undefined;
    return lastRefusal(commandOf(what, { trace: ['--trace'], filter: selecting(name) }), how);
  };
  return tapResults(ran, { where, explain });
}
