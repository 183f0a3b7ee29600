// Programs that print TAP, as the kernel's selftests do: run once under `softiommu run`, results collected and shown.
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
/** How a program of the kernel's selftests ends that cannot be run here. */
const SKIPPED = 4;

/** Runs the whole command, showing progress, and collects its TAP lines: [{ name, outcome, note }] with planned, exit, stderr. */
export function runTap([program, ...args], how = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { ...how, stdio: ['ignore', 'pipe', 'pipe'] });
    const results = Object.assign([], { planned: 0 });
    const notes = [];
    let rest = '';
    let err = '';
    child.stdout.on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      for (const line of lines) takeLine(line, results, notes);
      if (process.stdout.isTTY)
        process.stdout.write(`\r${results.length} of ${results.planned} tests run`);
    });
    child.stderr.on('data', (data) => (err += data));
    child.on('close', (code, signal) => {
      if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
      results.exit = signal ?? code;
      results.stderr = err;
      resolve(results);
    });
  });
}

function takeLine(line, results, notes) {
  const plan = /^1\.\.(\d+)$/.exec(line);
  if (plan) results.planned = Number(plan[1]);
  const tap = /^(ok|not ok) \d+ (\S+)(?: # (SKIP|XFAIL|XPASS)?\s*(.*))?/.exec(line);
  if (tap) {
    const [, word, name, directive, why] = tap;
    const outcome = directive === 'SKIP' ? 'skipped' : word === 'ok' ? 'passed' : 'failed';
    results.push({ name, outcome, note: why || notes.join(' ') });
    notes.length = 0;
  } else if (/^# .*:\d+:/.test(line)) notes.push(line.slice(2).trim());
  else if (/^# .*(timed out|terminated|timeout)/i.test(line)) notes.push(line.slice(2).trim());
  else if (/^# +RUN/.test(line)) notes.length = 0;
}

/** The harness's arguments for one test alone: of several of -f, -v and -t the first that fits a test decides. */
export function selecting(name) {
  return ['-r', name];
}

/**
 * Results for reports.mjs: one a test, and one for those that were planned and not run. `where` is what they have in
 * common, `explain` says of the name of one that failed why that may be.
 */
export function tapResults(results, { where, explain }) {
  const { prefix = '', ...common } = where;
  const rows = results.map(({ name, outcome, note }) => {
    const row = { ...common, name: `${prefix}${name}` };
    if (outcome === 'skipped') return { ...row, skipped: note || 'by the program itself' };
    if (outcome === 'passed') return row;
    const why = explain(name);
    const said = note || lastWords(results.stderr, name) || '(no message)';
    return { ...row, reason: `${said}${why ? `; softiommu: ${why}` : ''}` };
  });
  const row = { ...common, name: `${prefix}all of its tests` };
  if (results.planned === 0 && results.exit === SKIPPED) {
    return [{ ...row, skipped: results.stderr.trim().split('\n')[0] || 'by the program itself' }];
  }
  // A program that died half way has run fewer tests than it planned.
  if (results.planned > 0 && results.length === results.planned) return rows;
  const last = results.stderr.trim().split('\n').at(-1);
  const reason = `${results.length} of ${results.planned || 'unknown'} run, exit ${results.exit}: ${last}`;
  return [...rows, { ...row, reason }];
}

/** What the harness says of a test on standard error: what an assertion expected, else why or by which signal it ended. */
function lastWords(stderr, name) {
  const test = name.split('.').at(-1);
  const own = `# ${test}: `;
  const expected = new RegExp(`^# (?:.*/)?([^/]+:\\d+:${test}:.*)`);
  const lines = stderr.split('\n').filter((line) => line.startsWith('# '));
  const last = lines.findLast((line) => line.startsWith(own) || expected.test(line));
  const asserted = last?.endsWith('terminated by assertion')
    ? lines[lines.lastIndexOf(last) - 1]
    : last;
  return expected.exec(asserted ?? '')?.[1] ?? last?.slice(own.length).trim();
}

/** The last refusal in a trace of this command, which gets `--trace=FILE` in the place of '--trace': why it failed. */
export function lastRefusal([program, ...args], how = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'conformance-trace-'));
  const trace = join(dir, 'trace.jsonl');
  try {
    if (how.uid !== undefined) chownSync(dir, how.uid, how.gid);
    const traced = args.map((arg) => (arg === '--trace' ? `--trace=${trace}` : arg));
    spawnSync(program, traced, { ...how, timeout: 90_000 });
    const last = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => line.includes('"refusals":[{'))
      .map((line) => JSON.parse(line))
      .at(-1)?.event;
    const refusal = last?.refusals.at(-1);
    return refusal && `${last.command ?? last.name}: ${refusal.errno}: ${refusal.rule}`;
  } catch {
    return undefined;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
