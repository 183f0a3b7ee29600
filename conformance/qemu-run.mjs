// A row of the suite `qemu`: steps, each a run of its own in one directory with two disks. A step passes when its program
// says what it should and ends as it should, and every device of its machine opens again after it.
import { spawn } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { qmp } from './qmp.mjs';

const SOFTIOMMU = new URL('../dist/cli/main.js', import.meta.url).pathname;
const OPENS_AGAIN = new URL('opens-again.py', import.meta.url).pathname;
/** A step that is not over by then has failed. */
const LIMIT_MS = 120_000;
/** Status of a step whose program was well, and whose devices are not. */
const NOT_AGAIN = 99;
/** A shell, as the programs of a run are its children: the status is the program's. */
const AND_AGAIN = `"$@"; status=$?; /usr/bin/python3 ${OPENS_AGAIN} || exit ${NOT_AGAIN}; exit $status`;

const MIB = 2 ** 20;
/** Bytes of a disk. */
export const SIZE = 32 * MIB;
/** The function with the disk. */
export const AT = '0000:00:05.0';
export const MEMORY = ['--device', `nvme,bdf=${AT},size_mib=${SIZE / MIB}`];
/** A disk of this type on the file `disk.raw`. */
export const onFile = (mode, type = 'nvme', options = '') => [
  ...['--block', `d0,file=disk.raw${mode ? `,mode=${mode}` : ''}`],
  ...['--device', `${type},bdf=${AT},${type === 'nvme' ? 'drives' : 'drive'}=d0${options}`],
];

/**
 * A step: the machine's flags, the program, what it says. Of `more`: `exit`, its status where that is not 0; `limitMs`;
 * and `talk`, pairs [words, command of QMP]: the command is given when the program has said the words.
 */
export const step = (flags, program, says = [], more = {}) => ({ flags, program, says, ...more });

/** The reason why not, or what it says of itself. */
export async function outcome(row, user, options) {
  const home = mkdtempSync(join(tmpdir(), 'conformance-qemu-'));
  try {
    writeFileSync(join(home, 'a.raw'), pattern());
    writeFileSync(join(home, 'disk.raw'), Buffer.alloc(SIZE));
    row.prepare?.(home);
    giveTo(home, user.spawn.uid);
    let last = '';
    for (const each of row.steps) {
      const { out, exit } = await run(each, home, user, options);
      const missing = each.says.find((words) => !out.includes(words));
      const first = complaint(out) ?? `exit ${exit}`;
      if (exit === NOT_AGAIN) return { reason: first };
      if (missing) return { reason: `it does not say '${missing}'; ${first}` };
      if (exit !== (each.exit ?? 0)) return { reason: `exit ${exit}; ${first}` };
      const error = /^guest: error: .*$/m.exec(out)?.[0];
      if (error) return { reason: error.trim() };
      last = out;
    }
    return { reason: row.check?.(home, last), said: row.says?.(last) };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
/** Each page of it is another. */
function pattern() {
  const bytes = Buffer.alloc(SIZE);
  for (let at = 0; at < SIZE; at += 4096) bytes.writeUInt32LE(at + 1, at);
  return bytes;
}
function giveTo(home, uid) {
  if (uid === undefined) return;
  for (const name of ['.', ...readdirSync(home)]) chownSync(join(home, name), uid, uid);
}

/** The first line of the output that looks like a reason. */
function complaint(out) {
  const lines = out.split(/\r?\n/).filter((line) => !line.includes('io_uring'));
  const says = (words) => lines.find((line) => words.test(line));
  return (
    says(/Kernel panic|^guest: error/) ?? says(/softiommu:|[Ee]rror|[Cc]annot|[Ff]ail|[Cc]ould not/)
  )?.trim();
}

function run({ flags, program, talk = [], limitMs = LIMIT_MS }, home, user, options) {
  const mode = options.mode ? ['--mode', options.mode] : [];
  const pin = options.pin ? [`--pin=${options.pin}`] : [];
  const how = [SOFTIOMMU, 'run', ...mode, ...pin, ...user.flags, ...flags, '--'];
  const args = [...how, 'sh', '-c', AND_AGAIN, 'sh', ...program];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      ...{ cwd: home, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
      ...{ env: { ...process.env, HOME: home }, ...user.spawn },
    });
    const limit = setTimeout(() => {
      out += `\nerror: not over after ${limitMs / 1000} s\n`;
      process.kill(-child.pid, 'SIGKILL');
    }, limitMs);
    let out = '';
    const open = [...talk];
    const heard = (data) => {
      out += data;
      while (open.length > 0 && out.includes(open[0][0])) {
        const [, command] = open.shift();
        qmp(join(home, 'qmp'), command).catch((error) => (out += `\nerror: ${error.message}\n`));
      }
    };
    child.stdout.on('data', heard);
    child.stderr.on('data', heard);
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      resolve({ out, exit: signal === 'SIGKILL' ? 137 : (signal ?? code) });
    });
  });
}
