// What runs leave behind: many starts and ends, and SIGKILL of softiommu at random moments. Nothing may be left of any.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { liveTable, reportRows } from './reports.mjs';

const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const MODES = ['traps', 'namespace'];
/** A start takes less than that on a quiet machine, so that kills fall into it and after it. */
const LATEST_KILL_MS = 1500;
const GONE_WITHIN_MS = 5000;

/** What is counted after all of them; the last column is of everybody, and no failure. */
const LEFT = ['failed', 'processes', 'mounts', 'directories'];
const COLUMNS = ['mode', 'what', 'times', ...LEFT, 'open files of the host'];

/** `--cycles N` starts and ends and `--kills N` kills in each mode; a status for the shell. */
export async function border(options) {
  const { mode, cycles = '500', kills = '200' } = options;
  const line = liveTable(COLUMNS.map((name) => [name, Math.max(name.length, 13)]));
  const results = [];
  for (const one of mode === undefined ? MODES : [mode]) {
    for (const [what, times, killWithin] of [
      ['start and end', Number(cycles)],
      ['SIGKILL', Number(kills), LATEST_KILL_MS],
    ]) {
      const begin = Date.now();
      const row = await measure(one, what, times, killWithin);
      line(COLUMNS.map((name) => row[name]));
      const left = LEFT.filter((name) => row[name] > 0).map((name) => `${name}: ${row[name]}`);
      results.push({
        ...{ suite: 'border', name: `${what}, ${times} times, --mode ${one}` },
        ...{ reason: left.join(', '), seconds: (Date.now() - begin) / 1000 },
      });
    }
  }
  return reportRows(results, options);
}

async function measure(mode, what, times, killWithin) {
  const before = { mounts: mounts(), directories: directories(), files: openFiles() };
  // Nobody else sleeps so long: in the command lines of a run it is found again.
  const mark = `3600.${process.pid}${Date.now()}`;
  let failed = 0;
  for (let n = 0; n < times; n++) {
    const program =
      killWithin === undefined
        ? ['sh', '-c', `exit 7 # ${mark}`]
        : ['sh', '-c', `sleep ${mark} & setsid sleep ${mark}`];
    const status = await once(['run', '--mode', mode, '--', ...program], killWithin);
    if (status !== (killWithin === undefined ? 7 : 'SIGKILL')) failed++;
  }
  const end = Date.now() + GONE_WITHIN_MS;
  while (processes(mark) > 0 && Date.now() < end) await pause(50);
  const left = processes(mark);
  // What was killed before the launcher had its directory goes with the next run.
  await once(['run', '--mode', mode, '--', 'true']);
  return {
    ...{ mode, what, times, failed, processes: left },
    mounts: mounts() - before.mounts,
    directories: directories() - before.directories,
    'open files of the host': openFiles() - before.files,
  };
}

function once(args, killWithin) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: 'ignore' });
  if (killWithin !== undefined) {
    setTimeout(() => child.kill('SIGKILL'), Math.random() * killWithin).unref();
  }
  return new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
}
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function processes(mark) {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(mark))
    .length;
}
function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
function mounts() {
  return readFileSync('/proc/self/mounts', 'latin1').split('\n').length;
}
/** Of runs that are over: others may be under way. */
function directories() {
  const places = new Set([process.env.XDG_RUNTIME_DIR ?? tmpdir(), tmpdir()]);
  return [...places]
    .flatMap((place) => readdirSync(place))
    .map((name) => /^softiommu-(\d+)-/.exec(name)?.[1])
    .filter((pid) => pid !== undefined && !existsSync(`/proc/${pid}`)).length;
}
/** Of everybody: to be read on a quiet machine. */
function openFiles() {
  return Number(readFileSync('/proc/sys/fs/file-nr', 'latin1').split('\t')[0]);
}
