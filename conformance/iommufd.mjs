// `npm run conformance -- iommufd`: the kernel's iommufd selftests, unmodified, under `softiommu run --selftest`.
import { needPackages } from './debian.mjs';
import { buildIommu, fetchSelftests } from './kernel-selftests.mjs';
import { printCounts, reportRows } from './reports.mjs';
import { lastRefusal, runTap, selecting, SOFTIOMMU, tapResults } from './tap.mjs';

const NEEDED = {
  gcc: 'builds the programs',
  'libc6-dev': 'C headers',
  'libcap-dev': 'iommufd.c drops capabilities',
  'xz-utils': 'unpacks the kernel source',
};

export async function iommufd(options) {
  if (!needPackages(NEEDED, options.install)) return 2;
  const kernel = fetchSelftests();
  const programs = buildIommu(kernel, ['iommufd', 'iommufd_fail_nth']);
  console.log(`\nLinux ${kernel.version}: tools/testing/selftests/iommu\n`);
  const results = [];
  for (const program of programs) results.push(...(await runProgram(program, options)));
  printCounts(['program', 'fixture'], results);
  return reportRows(results, options);
}

function command(options, program, { trace = [], filter = [] } = {}) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  const run = [process.execPath, SOFTIOMMU, 'run', '--selftest', ...mode, ...pin, ...trace];
  return [...run, '--', program, ...filter];
}

async function runProgram(program, options) {
  const filter = options.test ? ['-t', options.test] : [];
  const ran = await runTap(command(options, program, { filter }));
  const title = program.split('/').at(-1);
  const explain = (name) => {
    if (options.explain === false) return undefined;
    const alone = { trace: ['--trace'], filter: selecting(name) };
    return lastRefusal(command(options, program, alone));
  };
  const where = { suite: title, prefix: `${title}: ` };
  return tapResults(ran, { where, explain }).map((row) => {
    return { ...row, group: [title, fixtureOf(row.name.slice(where.prefix.length))] };
  });
}
/** The fixture of a test, and its variant where it has some. */
function fixtureOf(test) {
  return test.split('.').slice(0, -1).join('.') || '-';
}
