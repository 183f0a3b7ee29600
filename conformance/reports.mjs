// Results of a suite for people, and for machines: --ktap FILE (the kernel's test protocol), --junit FILE.
import { writeFileSync } from 'node:fs';

/** Prints the total and the first reason of what failed, and writes the reports asked for. A status for the shell. */
export function reportRows(results, { ktap, junit }) {
  const failed = results.filter(({ reason }) => reason);
  console.log(`\n${results.length - failed.length} of ${results.length} passed`);
  for (const { name, reason } of failed) console.log(`  ${name}\n    ${reason}`);
  if (ktap) writeFileSync(ktap, ktapOf(results));
  if (junit) writeFileSync(junit, junitOf(results));
  return failed.length === 0 && results.length > 0 ? 0 : 1;
}

function ktapOf(results) {
  const lines = results.flatMap(({ name, reason }, n) => [
    ...(reason ? [`# ${oneLine(reason)}`] : []),
    `${reason ? 'not ok' : 'ok'} ${n + 1} ${oneLine(name).replaceAll('#', '\\#')}`,
  ]);
  return ['KTAP version 1', `1..${results.length}`, ...lines, ''].join('\n');
}

function junitOf(results) {
  const suites = [...new Set(results.map(({ suite }) => suite))].map((suite) => {
    const own = results.filter((result) => result.suite === suite);
    const failures = own.filter(({ reason }) => reason).length;
    const cases = own.map(({ name, reason, seconds = 0 }) => {
      const head = `    <testcase classname="${xml(suite)}" name="${xml(name)}" time="${seconds.toFixed(3)}"`;
      return reason
        ? `${head}>\n      <failure message="${xml(oneLine(reason))}"/>\n    </testcase>`
        : `${head}/>`;
    });
    const counts = `tests="${own.length}" failures="${failures}"`;
    return [`  <testsuite name="${xml(suite)}" ${counts}>`, ...cases, '  </testsuite>'].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}

const oneLine = (text) => text.replace(/\s+/g, ' ').trim();
const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
// What XML has no way to write is left out.
const xml = (text) =>
  text.replace(/[^\x20-\uFFFD]/g, '').replace(/[&<>"]/g, (char) => ENTITIES[char]);
