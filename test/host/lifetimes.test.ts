/** Who outlives whom: of a run nothing is left, whoever of it dies first, and nothing ends that should go on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  command,
  compile,
  ENVIRONMENTS,
  softiommu,
  startSoftiommu,
  strayDirectories,
} from './environments.ts';
import { commandOf, ended, newMark, nothingLeft, processesWith, said } from './processes.ts';
import { DIST, MAIN } from './project.ts';

function killLauncher(mark: string): void {
  for (const pid of processesWith(mark)) {
    if (commandOf(pid).includes('launcher-main')) process.kill(Number(pid), 'SIGKILL');
  }
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const start = (argv: readonly string[], flags: readonly string[] = []) =>
    startSoftiommu(argv, { environment, flags });

  it.for([
    ['a child', (mark: string) => `sleep ${mark} & echo ready; wait`],
    ['an orphan', (mark: string) => `(sleep ${mark} &); echo ready; sleep ${mark}`],
    ['a session of its own', (mark: string) => `setsid sleep ${mark} & echo ready; sleep ${mark}`],
    [
      'a child that is stopped',
      (mark: string) => `sleep ${mark} & kill -STOP $!; echo ready; sleep ${mark}`,
    ],
    ['a program that never calls', (mark: string) => `echo ready; while :; do :; done # ${mark}`],
    [
      'a child whose memory a device may reach',
      (mark: string) => `exec 3<>/dev/vfio/0; sleep ${mark} & echo ready; wait`,
    ],
  ] as const)('softiommu is killed, and %s ends too', async ([, script]) => {
    const mark = newMark();
    const child = start(['sh', '-c', script(mark)]);
    const end = ended(child);
    await said(child, 'ready');
    child.kill('SIGKILL');
    expect((await end).stderr).toMatch(/^softiommu: ended with the run: .+ \(\d+\)\n$/);
    await nothingLeft(mark);
    expect(strayDirectories()).toEqual([]);
  });

  it('softiommu is killed, and a program that has become another user ends too', async ({
    skip,
  }) => {
    skip(!environment.name.startsWith('as root'), 'only root can become somebody else');
    const mark = newMark();
    const other = ['setpriv', '--reuid=65534', '--clear-groups'];
    const child = start([...other, 'sh', '-c', `sleep ${mark} & echo ready; wait`]);
    const end = ended(child);
    await said(child, 'ready');
    child.kill('SIGKILL');
    await end;
    await nothingLeft(mark);
  });

  it('softiommu is killed while it starts, and nothing comes of it', async () => {
    const mark = newMark();
    for (const delay of [30, 90, 150, 190, 220, 250, 280, 310, 350, 400, 480, 650]) {
      const child = start(['sleep', mark]);
      const end = ended(child);
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill('SIGKILL');
      await end;
    }
    await nothingLeft(mark);
    // A directory that was not yet in the launcher's care goes with the next run.
    expect(softiommu(['true'], { environment }).status).toBe(0);
    expect(strayDirectories()).toEqual([]);
  });

  it('a signal that comes during the start ends it, as it would have ended the program', async () => {
    const mark = newMark();
    for (const delay of [90, 180, 240, 300, 360, 450, 650]) {
      const child = start(['sleep', mark]);
      const end = ended(child);
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill('SIGTERM');
      expect((await end).signal).toBe('SIGTERM');
    }
    await nothingLeft(mark);
  });

  it('the launcher is killed: the run ends with a line, and nothing is left', async () => {
    const mark = newMark();
    const child = start(['sh', '-c', `sleep ${mark} & echo ready; wait`]);
    const end = ended(child);
    await said(child, 'ready');
    killLauncher(mark);
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([
      125,
      'softiommu: the launcher, which is above the program, was killed\n',
    ]);
    await nothingLeft(mark);
  });
  it('the launcher is killed while a thread makes a call for us: that ends as well, and soon', async () => {
    const mark = newMark();
    const child = start([compile('test/host/programs/held-read.c'), mark]);
    const end = ended(child);
    await said(child, 'ready');
    await new Promise((resolve) => setTimeout(resolve, 300)); // it is in its call by now
    killLauncher(mark);
    // With a stop of the program that nobody takes it is some 20 seconds of looking for the end.
    const late = new Promise((resolve) => setTimeout(resolve, 10_000, 'late').unref());
    expect(await Promise.race([end, late])).toMatchObject({ code: 125 });
    await nothingLeft(mark);
  });

  it('what outlives the program is waited for, and the status is the program’s', () => {
    const { stdout, status } = softiommu(
      ['sh', '-c', '(sleep 0.5; cat /dev/vfio/none 2>&1 | cut -d: -f2-; echo late) & exit 3'],
      { environment },
    );
    expect(stdout).toBe(' /dev/vfio/none: No such file or directory\nlate\n');
    expect(status).toBe(3);
  });

  it('who is waited for is said, and a signal to softiommu ends them', async () => {
    const mark = newMark();
    const child = start(['sh', '-c', `sleep ${mark} & exit 3`]);
    const end = ended(child);
    await said(child, 'waiting for sleep');
    child.kill('SIGTERM');
    const { code, stderr } = await end;
    expect(code).toBe(3);
    expect(stderr.replaceAll(/\d{2,}/g, 'N')).toBe(
      'softiommu: the program has ended; waiting for sleep (N) (--wait=program would end them)\n' +
        'softiommu: ended with the run: sleep (N)\n',
    );
    await nothingLeft(mark);
  });

  it('with --wait=program what outlives the program is ended, and that is said', async () => {
    const mark = newMark();
    const script = `sleep ${mark} & setsid sleep ${mark} & sleep 0.3; exit 3`;
    const { code, stderr } = await ended(start(['sh', '-c', script], ['--wait=program']));
    expect(code).toBe(3);
    expect(stderr).toMatch(/^softiommu: ended with the run: sleep \(\d+\), sleep \(\d+\)\n$/);
    await nothingLeft(mark);
  });
});

test('a launcher nobody takes the listener of ends with a line', async () => {
  const order = { killable: true, pathTraps: true, wait: 'all', temporary: '/nonexistent' };
  // Its fourth stream is a socket whose other end is closed before it looks.
  const launcher = join(DIST, 'host/launch/launcher-main.cjs');
  const child = spawn(process.execPath, [launcher, 'start', '3', JSON.stringify(order), 'true'], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  child.stdio[3]!.destroy();
  const { code, stderr } = await ended(child);
  expect([code, stderr]).toEqual([125, 'softiommu: softiommu is gone\n']);
});

test.for([
  [['--wait', 'what'], "option '--wait <for>' argument 'what' is invalid"],
  [['--wait=all', '--wait=all'], "option '--wait <for>' is given twice"],
] as const)('a wrong --wait is 125: %o', ([flags, message]) => {
  const { status, stderr } = softiommu(['true'], { flags });
  expect(status).toBe(125);
  expect(stderr).toContain(message);
});

test('the program is in the group of whoever started softiommu, the launcher is not', () => {
  const group = (pid: string): string => `cut -d" " -f5 /proc/${pid}/stat`;
  const script = `${group('$$')}; ${group('$PPID')}`;
  const prefix = ['setsid', 'sh', '-c', `echo $$; exec "$@"`, 'sh'];
  const { stdout } = command(['run', '--', 'sh', '-c', script], { prefix });
  const [starter, program, launcher] = stdout.trim().split('\n');
  expect(program).toBe(starter);
  expect(launcher).not.toBe(starter);
});

/** With files of 100 bytes at most there is no file of the small program to be executed. */
const NO_FILES = ['prlimit', '--fsize=100'];

describe.for([
  ['a small program of ours', [], '/memfd:softiommu-launcher (deleted)', 'end'],
  ['Node, where that cannot be executed', NO_FILES, realpathSync(process.execPath), 'start'],
] as const)('the launcher is %s', ([, prefix, executed, part]) => {
  const start = (script: string) => {
    const words = [...prefix, process.execPath, MAIN, 'run', '--', 'sh', '-c', script];
    return spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  test('and has words for Node', () => {
    const { stdout } = command(
      ['run', '--', 'sh', '-c', 'readlink /proc/$PPID/exe; tr "\\0" " " < /proc/$PPID/cmdline'],
      { prefix },
    );
    const [file, words] = stdout.split('\n');
    expect(file).toBe(executed);
    expect(words).toContain(`launcher-main.cjs ${part} `);
  });
  test.for([
    ['exit 5', 5],
    ['kill -9 $$', 'SIGKILL'],
    ['(sleep 0.3; exit 1) & (exit 2) & exit 5', 5],
    ['exec nosuch', 127],
  ] as const)('the program that says %s ends the run so', async ([script, expected]) => {
    const { code, signal } = await ended(start(script));
    expect(code ?? signal).toBe(expected);
  });
  test('orphans are its children', () => {
    const { stdout } = command(
      [
        'run',
        '--',
        'sh',
        '-c',
        'echo $PPID; (sh -c "sleep 0.3; cut -d\\  -f4 /proc/\\$\\$/stat" &)',
      ],
      { prefix },
    );
    const [launcher, above] = stdout.trim().split('\n');
    expect(above).toBe(launcher);
  });
  test('softiommu is killed, and what it is above ends', async () => {
    const mark = newMark();
    const child = start(`(sleep ${mark} &); echo ready; sleep ${mark}`);
    const end = ended(child);
    await said(child, 'ready');
    child.kill('SIGKILL');
    expect((await end).stderr).toMatch(/^softiommu: ended with the run: .+ \(\d+\)\n$/);
    await nothingLeft(mark);
    expect(strayDirectories()).toEqual([]);
  });
  test('SIGTERM, twice, is the end of what it is above', async () => {
    const mark = newMark();
    const child = start(`sleep ${mark} & echo $PPID; exit 5`);
    const end = ended(child);
    const waits = said(child, 'waiting for sleep');
    const launcher = Number(await firstLine(child));
    await waits;
    process.kill(launcher, 'SIGTERM');
    process.kill(launcher, 'SIGTERM');
    const { code, stderr } = await end;
    expect(code).toBe(5);
    expect(stderr).toMatch(/softiommu: ended with the run: sleep \(\d+\)\n$/);
    await nothingLeft(mark);
  });
});

const firstLine = (child: ChildProcess) =>
  new Promise<string>((resolve) => {
    child.stdout!.once('data', (bytes: Buffer) => resolve(bytes.toString().split('\n')[0]!));
  });
