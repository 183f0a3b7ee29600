// Programs that print TAP, as the kernel's selftests do: run once under `softiommu run`, results collected and shown.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;

/** Runs the whole command, showing progress, and collects its TAP lines: [{ name, outcome, note }] with planned, exit, stderr. */
export function runTap([program, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
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

/** The harness's arguments for one test alone. */
export function selecting(name) {
  const parts = name.split('.');
  if (parts.length === 3) return ['-f', parts[0], '-v', parts[1], '-t', parts[2]];
  return ['-f', parts[0], '-t', parts[1]];
}

/** The last refusal in a trace of this command, which gets `--trace=FILE` in the place of '--trace': why it failed. */
export function lastRefusal([program, ...args]) {
  const dir = mkdtempSync(join(tmpdir(), 'conformance-trace-'));
  const trace = join(dir, 'trace.jsonl');
  try {
    const traced = args.map((arg) => (arg === '--trace' ? `--trace=${trace}` : arg));
    spawnSync(program, traced, { timeout: 90_000 });
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
