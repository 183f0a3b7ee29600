/** Debuggers: what they trace cannot be traced by us, and is what it is without them, or a line says the way. */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { PROJECT } from './project.ts';
import {
  command,
  compile,
  ENVIRONMENTS,
  has,
  softiommu,
  strayDirectories,
} from './environments.ts';

const STRACE = ['strace', '-f', '-o', '/dev/null'];
const GDB = ['gdb', '-q', '-batch', '-nx'];
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];
const DEBUGGED = [compile('test/host/programs/debugged.c'), '1', GENERIC];
const DONE = [
  'the register: 42',
  'vectors: sixty-four bytes of registers, which are moved by wide registers',
  'of two threads: 100',
  'in a child: 43',
  'a buffer: 10',
  'arrived: 10 sixty-four',
  'chdir: 0',
  'cwd: /sys/devices/pci0000:00/0000:00:05.0',
  'a file in it: 0',
  'chdir out, all signals blocked: 0',
  'cwd: /tmp',
  'chdir to nothing: -1 No such file or directory',
  'by a path through the tree',
  'spawned: Success',
  'it ended: 0',
  'SIGURG of its own: 1',
  'decode off: signal 7, code 2, at +4',
  'decode on: 43',
  'beyond the end: signal 11, code 1, at +16384',
];
/** gdb's own lines, such as "[New Thread …]", would come between and within the program's. */
const OUTPUT = mkdtempSync(join(tmpdir(), 'debuggers-'));
chmodSync(OUTPUT, 0o777);
const SAID = /^softiommu: process \d+ is traced by process \d+ \((strace|gdb)\): each touch of its/;

afterAll(() => {
  rmSync(OUTPUT, { recursive: true });
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const there = environment.skip === undefined;

  (there ? test : test.skip)('without a debugger', () => {
    const run = softiommu(DEBUGGED, { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual(DONE);
    expect([run.stderr, run.status]).toEqual(['', 5]);
  });
  // Skipped where there is no strace.
  (there && has('strace') ? test : test.skip)(
    'under strace a program is what it is without',
    () => {
      const run = softiommu([...STRACE, ...DEBUGGED], { environment, flags });
      expect(run.stdout.trimEnd().split('\n')).toEqual(DONE);
      expect(run.stderr.trimEnd().split('\n')).toEqual([expect.stringMatching(SAID)]);
      expect(run.status).toBe(5);
    },
  );
  // Skipped where there is no gdb.
  (there && has('gdb') ? test : test.skip)('in gdb, which passes signals on, as well', () => {
    const passes = 'handle SIGBUS SIGSTOP nostop noprint pass';
    const [program, ...args] = DEBUGGED;
    const output = join(OUTPUT, environment.name);
    const starts = `run ${args.join(' ')} > '${output}'`;
    const run = softiommu([...GDB, '-ex', passes, '-ex', starts, program!], { environment, flags });
    expect(readFileSync(output, 'utf8').trimEnd().split('\n')).toEqual(DONE);
    expect(run.stdout).toContain('exited with code 05');
    expect(run.stderr).toMatch(SAID);
  });
});

describe.skipIf(!has('strace'))('under strace', () => {
  test('calls are answered as ever under strace', () => {
    const list = [...STRACE, 'cat', '/sys/bus/pci/devices/0000:00:04.0/vendor'];
    const { status, stdout, stderr } = softiommu(list);
    expect([status, stdout, stderr]).toEqual([0, '0x1234\n', '']);
  });
  // The open of a FIFO by a way out of the simulated tree waits in the thread for softiommu.
  const fifo = (inDevice: string): string =>
    `d=$(mktemp -d); mkfifo $d/f; cd /sys/bus/pci/devices/0000:00:04.0; ${inDevice}; rm -r $d`;
  test('a call that waits for another program of the same tracer does not hold that one up', () => {
    const both = 'cat ../../../../../..$d/f & sleep 0.3; echo through > $d/f; wait';
    const { status, stdout } = softiommu([...STRACE, 'sh', '-c', fifo(both)], {
      flags: ['--mode', 'traps'],
    });
    expect([status, stdout]).toEqual([0, 'through\n']);
  });
  test('a call that waits is interrupted by a signal under strace', () => {
    const opens =
      'import signal, sys; signal.signal(signal.SIGALRM, lambda *_: sys.exit("alarm")); ' +
      'signal.alarm(1); open(sys.argv[1])';
    const one = `python3 -c '${opens}' ../../../../../..$d/f`;
    const { stderr } = softiommu([...STRACE, 'sh', '-c', fifo(one)], {
      flags: ['--mode', 'traps'],
    });
    expect(stderr).toBe('alarm\n');
  });
  test('pinned pages outlive their mapping under strace', () => {
    const program = join(PROJECT, 'test/host/programs/pins.py');
    const { status, stdout, stderr } = softiommu([...STRACE, 'python3', program, 'unmap'], {
      flags: ['--selftest'],
    });
    expect(stdout).toContain("is another page: ('dev', 'new')");
    expect([stderr, status]).toEqual(['', 0]);
  });
  test('--pin=exact copies instead under strace, and says why', ({ skip }) => {
    const program = join(PROJECT, 'test/host/programs/pins.py');
    const { stdout, stderr, status } = softiommu([...STRACE, 'python3', program, 'advice'], {
      flags: ['--selftest', '--pin=exact'],
    });
    skip(status === 125, 'no io_uring here');
    expect(stdout).toContain('the device keeps: old');
    expect(stderr).toContain(
      'some pages are copied when their mapping goes: the program is traced',
    );
  });
  test('strace of the run itself has the program too: a line says the way for registers', () => {
    const run = ['run', '--', compile('examples/edu-dma.c')];
    const { stderr } = command(run, { prefix: STRACE });
    expect(stderr).toMatch(
      /^softiommu: process \d+ is traced by process \d+ \(strace\): loads and stores of its mapped registers are SIGBUS, unless the tracer is a program of the run \(softiommu run -- strace -f PROGRAM\)/m,
    );
  });
  test('strace of the run itself: a line says the way for directories', () => {
    const run = ['run', '--', 'sh', '-c', 'cd /sys/bus/pci/devices/0000:00:04.0'];
    const { status, stderr } = command(run, { prefix: STRACE });
    expect(stderr).toMatch(
      /^softiommu: a program that process \d+ \(strace\) traces cannot be moved into a simulated directory: start the tracer inside the run \(softiommu run -- strace -f PROGRAM\), or use --mode namespace$/m,
    );
    expect(status).not.toBe(0);
  });
});
