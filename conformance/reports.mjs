// Results of a suite for people, and for machines: --ktap FILE (the kernel's test protocol), --junit FILE.
// A result is { suite, name } and, unless it passed, `reason` it failed for or `skipped` for; `seconds` it took;
// and `group`, the cells of the table it is counted in.
import { writeFileSync } from 'node:fs';

/** A table whose rows are printed as they come: its head as [name, width] is printed now. */
export function liveTable(columns) {
  const line = (cells) =>
    console.log(`| ${columns.map(([, width], n) => String(cells[n]).padEnd(width)).join(' | ')} |`);
  line(columns.map(([name]) => name));
  line(columns.map(([, width]) => '-'.repeat(width)));
  return line;
}
/** A table as wide as what is in it. */
export function printTable(head, rows) {
  const widths = head.map((name, n) =>
    Math.max(name.length, ...rows.map((row) => String(row[n]).length)),
  );
  const line = liveTable(head.map((name, n) => [name, widths[n]]));
  for (const row of rows) line(row);
}
/** How many results of each group passed, failed and were skipped. */
export function printCounts(head, results) {
  const groups = grouped(results, ({ group }) => group.join('\n'));
  const counts = [...groups.values()].map((own) => {
    const of = (kind) => own.filter((result) => outcomeOf(result) === kind).length;
    return [...own[0].group, of('passed'), of('failed'), of('skipped')];
  });
  printTable([...head, 'passed', 'failed', 'skipped'], counts);
}

/** Prints the total and the first reason of what failed, and writes the reports asked for. A status for the shell. */
export function reportRows(results, { ktap, junit }) {
  const of = (kind) => results.filter((result) => outcomeOf(result) === kind);
  const [failed, skipped] = [of('failed'), of('skipped')];
  const also = skipped.length > 0 ? `, ${skipped.length} skipped` : '';
  console.log(`\n${of('passed').length} of ${results.length - skipped.length} passed${also}`);
  for (const { name, reason } of failed) console.log(`  ${name}\n    ${reason}`);
  if (ktap) writeFileSync(ktap, ktapOf(results));
  if (junit) writeFileSync(junit, junitOf(results));
  return failed.length === 0 && results.length > 0 ? 0 : 1;
}

function outcomeOf({ reason, skipped }) {
  if (reason) return 'failed';
  return skipped ? 'skipped' : 'passed';
}

/** Results in the kernel's test protocol, version 1. */
export function ktapOf(results) {
  const lines = results.flatMap(({ name, reason, skipped }, n) => [
    ...(reason ? [`# ${oneLine(reason)}`] : []),
    `${reason ? 'not ok' : 'ok'} ${n + 1} ${oneLine(name).replaceAll('#', '\\#')}` +
      (skipped && !reason ? ` # SKIP ${oneLine(skipped)}` : ''),
  ]);
  return ['KTAP version 1', `1..${results.length}`, ...lines, ''].join('\n');
}

/** Results as a JUnit file has them: a test suite for each name of a suite. */
export function junitOf(results) {
  const suites = [...grouped(results, ({ suite }) => suite)].map(([suite, own]) => {
    const of = (kind) => own.filter((result) => outcomeOf(result) === kind).length;
    const counts = `tests="${own.length}" failures="${of('failed')}" skipped="${of('skipped')}"`;
    return [
      `  <testsuite name="${xml(suite)}" ${counts}>`,
      ...own.map(junitCase),
      '  </testsuite>',
    ].join('\n');
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}
function junitCase({ suite, name, reason, skipped, seconds = 0 }) {
  const head = `    <testcase classname="${xml(suite)}" name="${xml(oneLine(name))}" time="${seconds.toFixed(3)}"`;
  const why = (element, text) =>
    `${head}>\n      <${element} message="${xml(oneLine(text))}"/>\n    </testcase>`;
  if (reason) return why('failure', reason);
  return skipped ? why('skipped', skipped) : `${head}/>`;
}

/** Map.groupBy, which Node 20 has not. */
function grouped(results, keyOf) {
  const groups = new Map();
  for (const result of results) {
    const own = groups.get(keyOf(result));
    if (own) own.push(result);
    else groups.set(keyOf(result), [result]);
  }
  return groups;
}

const oneLine = (text) => text.replace(/\s+/g, ' ').trim();
const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
// What XML has no way to write is left out.
const UNWRITABLE = /[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;
const xml = (text) => text.replace(UNWRITABLE, '').replace(/[&<>"]/g, (char) => ENTITIES[char]);
