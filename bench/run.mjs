#!/usr/bin/env node
/**
 * Run every bench/*.bench.ts beside its C baseline and print a table.
 *
 *   node bench/run.mjs [--only WORD] [--repeat N] [--json FILE] [--check] [--quick] [--keep] | --whole [--only WORD]
 *
 * Both sides run in the same session, in turns; the figure is the best of the per-run medians. --check fails when an
 * aim is missed. --quick takes one turn and aims four times as wide: on a shared machine it tells a path that has broken
 * from one that is slow today. --keep adds the figures to bench/results.jsonl, and each run shows how it differs from the last
 * one kept on a machine like this. The sources are compiled with tsc into .cache/bench, as the package ships the library; programs are
 * bundled there, as it ships them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { busyProblem, change, keep, lastOf, thisMachine } from './history.mjs';
import { whole } from './whole.mjs';

const USAGE =
  'usage: npm run bench -- [--only WORD] [--repeat N] [--json FILE] [--check] [--quick] [--keep] | --whole [--only WORD]';
const options = readOptions();

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', default: '' },
        repeat: { type: 'string', default: '3' },
        json: { type: 'string' },
        check: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        whole: { type: 'boolean', default: false },
      },
    });
    if (!/^[1-9]\d?$/.test(values.repeat)) stop(`--repeat ${values.repeat}: a number from 1 to 99`);
    if (values.keep && (values.quick || values.only !== '')) {
      stop('--keep keeps whole runs: without --quick and --only');
    }
    const problem = values.keep ? busyProblem(loadavg()[0], cpus().length) : undefined;
    if (problem) stop(problem);
    if (values.whole && (values.quick || values.keep || values.check || values.json)) {
      stop('--whole goes with --only alone: its programs have no aims');
    }
    return values;
  } catch (error) {
    return stop(error.message);
  }
}
function stop(message) {
  console.error(`bench: ${message}\n${USAGE}`);
  process.exit(2);
}

if (options.whole) process.exit(await whole(options.only));

const repeat = options.quick ? 1 : Number(options.repeat);
/** How much wider than said the aims are. */
const slack = options.quick ? 4 : 1;
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const cache = path.join(root, '.cache', 'bench');
const js = path.join(cache, 'js');

/** Standard output of a command, or a stop with what it said. */
function capture(command, args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (done.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${done.error ?? done.stderr}${done.stdout}`);
  }
  return done.stdout;
}

function compileTypeScript() {
  mkdirSync(js, { recursive: true });
  writeFileSync(path.join(js, 'package.json'), '{ "type": "module" }\n');
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const done = spawnSync(process.execPath, [tsc, '-p', path.join(root, 'bench')], {
    encoding: 'utf8',
  });
  // Type errors do not stop the emit; `npm run types` is where they are reported.
  if (done.status !== 0) process.stderr.write(`tsc reported errors:\n${done.stdout}`);
}

function bundlePrograms() {
  const dist = path.join(cache, 'dist');
  mkdirSync(dist, { recursive: true });
  writeFileSync(path.join(dist, 'package.json'), '{ "type": "module" }\n');
  capture(process.execPath, [path.join(root, 'scripts', 'bundle.mjs'), dist]);
}

const hasGcc = spawnSync('gcc', ['--version']).status === 0;

/** Path of the compiled baseline, or undefined when there is none. */
function compileC(name) {
  const source = path.join(root, 'bench', 'c', `${name}.c`);
  if (!existsSync(source) || !hasGcc) return undefined;
  const binary = path.join(cache, name);
  capture('gcc', ['-O2', '-std=gnu11', '-Wall', '-Werror', '-o', binary, source]);
  return binary;
}

/** Keep the best figure of each id. */
function keepBest(best, rows) {
  for (const row of rows) {
    const known = best.get(row.id);
    if (!known || row.ns < known.ns) best.set(row.id, row);
  }
}

function runFile(name) {
  const binary = compileC(name);
  const child = [
    '--expose-gc',
    path.join(js, 'bench', 'measure-file.js'),
    path.join(js, 'bench', `${name}.bench.js`),
  ];
  const inC = new Map();
  const inJs = new Map();
  for (let n = 0; n < repeat; n++) {
    if (binary) {
      const lines = capture(binary, []).trim().split('\n');
      keepBest(
        inC,
        lines.map((line) => ({ id: line.split(' ')[0], ns: Number(line.split(' ')[1]) })),
      );
    }
    const lines = capture(process.execPath, child).trim().split('\n');
    keepBest(
      inJs,
      lines.map((line) => JSON.parse(line)),
    );
  }
  return [...inJs.values()].map(({ id, title, aim, aimNs, reference, ns }) => {
    const c = inC.get(id)?.ns ?? reference;
    return { file: name, id, title, c, ours: ns, ratio: c === null ? null : ns / c, aim, aimNs };
  });
}

function verdict({ ratio, aim, ours, aimNs }) {
  if (aimNs !== null && ours > aimNs * slack) return 'MISSED';
  if (aim === null && aimNs !== null) return 'ok';
  if (aim === null) return '';
  if (ratio === null) return 'no C';
  return ratio <= aim * slack ? 'ok' : 'MISSED';
}

function print(rows, before) {
  const figure = (value, digits = 2) => (value === null ? '-' : value.toFixed(digits));
  const table = [['benchmark', 'C ns', 'ours ns', 'ratio', 'aim', '', before ? 'change' : '']];
  for (const row of rows) {
    const ratioAim = row.aim === null ? '' : `<= ${row.aim}`;
    const aim = row.aimNs === null ? ratioAim : `${ratioAim} <= ${row.aimNs} ns`.trim();
    const figures = [figure(row.c), figure(row.ours), figure(row.ratio)];
    table.push([row.title, ...figures, aim, verdict(row), change(row, before)]);
  }
  const widths = table[0].map((_, n) => Math.max(...table.map((line) => line[n].length)));
  for (const line of table) {
    const cells = line.map((cell, n) =>
      n === 0 ? cell.padEnd(widths[n]) : cell.padStart(widths[n]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

/** Ahead and behind, in a line. */
function summary(rows, before) {
  const missed = rows.filter((row) => verdict(row) === 'MISSED').map(({ title }) => title);
  const judged = rows.filter((row) => verdict(row) !== '').length;
  const aims = `${judged - missed.length} of ${judged} aims reached${slack > 1 ? ` (${slack} times as wide)` : ''}`;
  const since = before ? `; the last column is against ${before.commit}` : '';
  return [`${aims}${since}`, ...missed.map((title) => `missed: ${title}`)].join('\n');
}

/** Those that start the command. */
const OF_PROGRAMS = ['dma', 'programs', 'sanitize', 'start', 'trap'];

const results = path.join(root, 'bench', 'results.jsonl');
const names = readdirSync(path.join(root, 'bench'))
  .filter((file) => file.endsWith('.bench.ts') && file.includes(options.only))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort();
if (names.length === 0)
  stop(`--only ${options.only}: there is no bench/*${options.only}*.bench.ts`);
const before = lastOf(results, thisMachine());
compileTypeScript();
if (names.some((name) => OF_PROGRAMS.includes(name))) bundlePrograms();
if (!hasGcc) console.error('gcc is not installed: no C figures');
const rows = names.flatMap(runFile);
print(rows, before);
console.log(`\n${summary(rows, before)}`);
if (options.json)
  writeFileSync(options.json, `${JSON.stringify({ node: process.version, rows }, null, 2)}\n`);
if (options.keep) {
  const commit = capture('git', ['rev-parse', '--short', 'HEAD']).trim();
  keep(results, { commit, machine: thisMachine(), rows });
}
if (options.check && rows.some((row) => verdict(row) === 'MISSED')) process.exitCode = 1;
