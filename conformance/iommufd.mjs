// `npm run conformance -- iommufd`: the kernel's iommufd selftests, unmodified, under `softiommu run --selftest`.
import { needPackages } from './debian.mjs';
import { buildIommu, fetchSelftests } from './kernel-selftests.mjs';
import { lastRefusal, runTap, selecting, SOFTIOMMU } from './tap.mjs';

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
  const totals = [];
  for (const program of programs) {
    const results = await runProgram(program, options);
    totals.push(report(program, results, options));
  }
  console.log(
    `as ${process.getuid() === 0 ? 'root' : `user ${process.getuid()}`}, Linux ${kernel.version}:`,
  );
  for (const { title, passed, failed, skipped, planned } of totals) {
    const missing = planned - passed - failed - skipped;
    const rest = [
      skipped > 0 && `${skipped} skipped by the program itself`,
      failed > 0 && `${failed} failed`,
      missing > 0 && `${missing} not run`,
    ].filter(Boolean);
    console.log(
      `  ${title.padEnd(18)} ${passed + skipped} of ${planned} ok${rest.map((r) => `, ${r}`).join('')}`,
    );
  }
  return totals.every((t) => t.planned > 0 && t.passed + t.skipped === t.planned) ? 0 : 1;
}

function softiommuArgs(options, more) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  return [SOFTIOMMU, 'run', '--selftest', ...mode, ...pin, ...more];
}

function runProgram(program, options) {
  const filter = options.test ? ['-t', options.test] : [];
  return runTap([process.execPath, ...softiommuArgs(options, []), '--', program, ...filter]);
}

function report(program, results, options) {
  const rows = new Map();
  for (const { name, outcome, note } of results) {
    const [fixture, variant] = name.split('.');
    const key = name.split('.').length === 3 ? `${fixture}.${variant}` : fixture;
    const row = rows.get(key) ?? { passed: 0, failed: 0, skipped: 0, failures: [] };
    row[outcome]++;
    if (outcome === 'failed') row.failures.push({ name, note });
    rows.set(key, row);
  }
  const title = program.split('/').at(-1);
  console.log(`| ${title.padEnd(52)} | passed | failed | skipped |`);
  console.log(`| ${'-'.repeat(52)} | -----: | -----: | ------: |`);
  let passed = 0;
  let skipped = 0;
  for (const [fixture, row] of rows) {
    passed += row.passed;
    skipped += row.skipped;
    const cells = [row.passed, row.failed, row.skipped].map((n) => String(n).padStart(6));
    console.log(`| ${fixture.padEnd(52)} | ${cells[0]} | ${cells[1]} | ${cells[2].padStart(7)} |`);
  }
  console.log(`\n${title}: ${passed} of ${results.length} passed, exit ${results.exit}\n`);
  if (results.stderr.trim()) console.log(results.stderr.trim().slice(-2000), '\n');
  const failures = [...rows.values()].flatMap((row) => row.failures);
  for (const failure of failures) {
    console.log(`  ${failure.name}\n    ${failure.note || '(no message)'}`);
    const reason = options.explain === false ? undefined : explain(program, failure.name, options);
    if (reason) console.log(`    softiommu: ${reason}`);
  }
  // A program that died half way has run fewer tests than it planned.
  return { title, passed, failed: failures.length, skipped, planned: results.planned };
}

/** Runs one test alone under a trace; the last refusal before it failed is the reason. */
function explain(program, name, options) {
  const args = [...softiommuArgs(options, ['--trace']), '--', program, ...selecting(name)];
  return lastRefusal([process.execPath, ...args]);
}
