/**
 * Lists of system calls against the same calls one by one (`SOFTIOMMU_STEPS=0`): programs made at random see the same answers and
 * the same memory by both, and the machine the same calls.
 */
import { readFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SEED } from '../random-seed.ts';
import { compile, softiommu } from './environments.ts';

const program = compile('test/host/programs/random-calls.c');
const loads = compile('test/host/programs/random-loads.c');
const GENERIC = '0000:00:05.0';
const folder = mkdtempSync(join(tmpdir(), 'steps-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SELFTEST = ['--selftest'];
const TRAPPED_BAR = ['--device', `generic,bdf=${GENERIC},bar=trap`];
/** How a run goes by lists, and how one by one. */
const TWINS = { lists: '', 'one by one': '0' } as const;

interface Seen {
  readonly said: string;
  readonly trace: string;
}
function run(twin: keyof typeof TWINS, args: readonly (string | number)[], traced: boolean): Seen {
  return runOf([program, ...args.map(String)], twin, { traced, flags: SELFTEST });
}
function runOf(
  command: readonly string[],
  twin: keyof typeof TWINS,
  { traced, flags }: { readonly traced: boolean; readonly flags: readonly string[] },
): Seen {
  const file = join(folder, 'trace');
  const argv = ['env', `SOFTIOMMU_STEPS=${TWINS[twin]}`];
  const { stdout, stderr, status } = softiommu(command, {
    flags: traced ? [...flags, `--trace=${file}`] : flags,
    environment: { name: twin, mode: 'traps', prefix: argv },
  });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return { said: stdout, trace: traced ? processesByTurn(readFileSync(file, 'utf8')) : '' };
}
/** Processes in the order they come, for their numbers are the host's. */
function processesByTurn(trace: string): string {
  const known = new Map<string, number>();
  const turn = (pid: string): number => {
    if (!known.has(pid)) known.set(pid, known.size);
    return known.get(pid)!;
  };
  return trace
    .replaceAll(/^\s*\[pid\s+(\d+)\]/gm, (_all, pid: string) => `[${turn(pid)}]`)
    .replaceAll(/openedBy=(\d+)/g, (_all, pid: string) => `openedBy=${turn(pid)}`);
}

test.for([0, 1, 2, 3])('of a program at random, answers, memory and trace: %i', (n) => {
  const args = [SEED + n, 900];
  const lists = run('lists', args, true);
  const oneByOne = run('one by one', args, true);
  expect(lists.trace).toBe(oneByOne.trace);
  expect(lists.said).toBe(oneByOne.said);
  // Else nothing was compared: it has had successes, refusals and faults.
  for (const seen of [/ioctl 0 /, /ioctl EFAULT/, /ioctl ENOENT/, /open EBUSY/, /close 0/]) {
    expect(lists.said).toMatch(seen);
  }
});

test('of one that is not traced, where nobody reads what a call has been given before it is made', () => {
  const args = [SEED + 4, 900];
  expect(run('lists', args, false)).toEqual(run('one by one', args, false));
});

test('of eight processes at once, each sees what it sees when calls are made one by one', () => {
  const args = [SEED, 300, 'many'];
  const lists = run('lists', args, false);
  expect(lists).toEqual(run('one by one', args, false));
  expect(lists.said.split('\n')).toHaveLength(8 * 300 + 1);
});

test('what a process held that was killed in the middle of calls is free when its parent hears of it', () => {
  const { said } = run('lists', [SEED, 150, 'kill'], false);
  const lines = [...new Set(said.trim().split('\n'))].map((line) => line.replace(/ \S+$/, ''));
  expect(lines).toEqual(['the group afterwards 0', 'its status 0']);
});

describe('loads and stores of registers at random', () => {
  const run = (twin: keyof typeof TWINS, seed: number, traced: boolean): Seen =>
    runOf([loads, String(seed), '400', '1', GENERIC], twin, { traced, flags: TRAPPED_BAR });

  test.for([0, 1, 2])('registers, faults, signals and trace: %i', (n) => {
    const lists = run('lists', SEED + n, true);
    const oneByOne = run('one by one', SEED + n, true);
    expect(lists.trace).toBe(oneByOne.trace);
    expect(lists.said).toBe(oneByOne.said);
    // SIGSEGV and SIGBUS, what a child did, and what was written anew.
    for (const seen of [/^fault 2afa/m, /^fault 1b5a/m, /^child 300/m, /^load written/m]) {
      expect(lists.said).toMatch(seen);
    }
  });
  test('of a program that is not traced', () => {
    expect(run('lists', SEED + 3, false)).toEqual(run('one by one', SEED + 3, false));
  });
});
