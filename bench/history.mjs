/**
 * Figures of earlier runs: bench/results.jsonl, a line a run, written by --keep. Figures of two machines say nothing of each
 * other, so a run is compared with the newest one of its own machine.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Where it says 'PTI', a system call changes page tables and takes three times as long. */
const MELTDOWN = '/sys/devices/system/cpu/vulnerabilities/meltdown';

/** What has to be the same for figures to be comparable. */
export function thisMachine() {
  const [cpu] = cpus();
  const [major] = process.versions.node.split('.');
  const hasPti = existsSync(MELTDOWN) && readFileSync(MELTDOWN, 'utf8').includes('PTI');
  return `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}${hasPti ? ' with PTI' : ''}, node ${major}`;
}

/**
 * Why figures of this moment are not to be kept; undefined: they may be. Others take the caches and the cores: page tables were
 * ten times slower beside six busy programs, and every later run would be compared with that.
 */
export function busyProblem(load, cores) {
  if (load <= cores / 4) return undefined;
  return `--keep: this machine is busy (a load of ${load.toFixed(1)} on ${cores} cores, at most ${cores / 4}): keep the figures of a quiet one`;
}

/** The newest entry of a machine; undefined: none. A line that is none is an error that names it. */
export function lastOf(file, machine) {
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const entries = lines.flatMap((line, n) =>
    line === '' ? [] : [entryOf(line, `${file}:${n + 1}`)],
  );
  return entries.filter((entry) => entry.machine === machine).at(-1);
}
function entryOf(line, place) {
  try {
    const entry = JSON.parse(line);
    if (typeof entry.machine === 'string' && typeof entry.figures === 'object') return entry;
  } catch {
    // not JSON: the same mistake
  }
  throw new Error(`${place}: not an entry of bench/results.jsonl`);
}

/** What is kept of a row: what it is judged by. */
function figureOf({ ratio, ours }) {
  return Number((ratio ?? ours).toPrecision(4));
}

/** Change of a row against an entry, such as '+4%'; '' where there is nothing to compare. */
export function change(row, entry) {
  const before = entry?.figures[row.id];
  if (before === undefined || before === 0) return '';
  const percent = Math.round((figureOf(row) / before - 1) * 100);
  return `${percent > 0 ? '+' : ''}${percent}%`;
}

/** Add a run. */
export function keep(file, { commit, machine, rows }) {
  const figures = Object.fromEntries(rows.map((row) => [row.id, figureOf(row)]));
  appendFileSync(file, `${JSON.stringify({ commit, machine, figures })}\n`);
}
