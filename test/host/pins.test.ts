/** Pinned pages of real programs: a device sees what a pinned page would show, whatever becomes of the mapping. */
import { describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';
import type { Environment } from './environments.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/pins.py');

const EXPECTED = {
  unmap: `
    after munmap: old
    written there: ok
    behind a new mapping: dev
    the new one: new
    mapped as well: ok
    is another page: ('dev', 'new')
    and written by itself: ('two', 'dev')`,
  over: `
    a mapping over the middle: ['old', 'old', 'old']
    its neighbours are the program's: one
    munmap of one page: ['one', 'old', 'old']
    at a bad address: (-1, 'EINVAL')
    with a bad descriptor: (None, 'EBADF')
    leaves it the program's: two`,
  remap: `
    moved: True
    the device follows: dev
    and sees: cpu
    shrunk: True
    the tail is kept: cpu
    the head is the program's: now
    another page in its place: ('end', 'now')`,
  advice: `
    thrown away: ...
    the device keeps: old
    and shares the next: cpu`,
  holes: `
    advice on a hole: (-1, 'ENOMEM')
    is taken beside it: ['...', '...']
    the device: ['old', 'old', 'old']`,
  lazy: `
    to be freed at need: 0
    by ranges: 4096
    a pinned page stays: ('old', 'old')
    and is the program's: cpu`,
  ranges: `
    two ranges: 12288
    the device: ['old', 'new', 'old', 'old']`,
  guarded: `
    behind a guard: old`,
  segments: `
    detached: 0
    nobody has it: old
    attached twice: cpu
    in its place: True
    the program: cpu
    the device: old`,
  heap: `
    a new page: ...
    the device has: ('cpu', 'two')`,
  cow: `
    a child's store is its own: ('old', 'old')
    the parent's is seen: cpu
    and the device's: dev
    the child has: kid`,
  protect: `
    no access for the program: old
    much of it: 8
    written: ok
    seen: dev`,
  ended: `
    after exit: end
    after the last thread: old
    written: ok
    read: dev`,
  execed: `
    after exec: old
    after an exec that failed: new`,
  shared: `
    a child still maps it: old
    and writes: kid
    nobody maps it: kid
    nobody ever did but we: two`,
  truncated: `
    a memfd: ok
    a hole: ...
    the program: ['cpu', 'new', '...', 'p..']
    the device: ['cpu', 'pg1', 'pg2', 'p..']
    nothing left: cpu`,
  names: `
    truncated and opened: ['no0', 'new']
    truncated and opened: ['no1', 'new']
    truncated and opened: ['no2', 'new']
    not there: ENOENT`,
};

const READ_ONLY = {
  readonly: `
    to read only: ok
    kept: old`,
};
const ELSEWHERE = {
  elsewhere: `
    pinned by a child: old`,
};
const MANY = {
  many: `
    mapped: ok
    kept: 600`,
};
const KILLED = (after: string) => ({
  killed: `
    status: 9
    after SIGKILL: ${after}`,
});

function lines(text: string): string[] {
  return text.trim().split(/\n\s*/);
}
/** What the program prints for all these parts, each in a process of its own. */
function output(parts: Record<string, string>): string[] {
  return Object.entries(parts).flatMap(([part, text]) => [`==: ${part}`, ...lines(text)]);
}
function run(
  parts: Record<string, string>,
  options: { environment: Environment; flags?: string[]; limit?: string },
): { lines: string[]; stderr: string } {
  const program = ['python3', PROGRAM, ...Object.keys(parts)];
  const { environment, flags = [], limit } = options;
  const prefix = [...environment.prefix, ...(limit === undefined ? [] : ['prlimit', limit])];
  const { stdout, stderr } = softiommu(program, {
    environment: { ...environment, prefix },
    flags: ['--selftest', ...flags],
  });
  return { lines: lines(stdout), stderr };
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it('a device sees the pages it has pinned, whatever the program maps, moves and ends', () => {
    const parts = { ...EXPECTED, ...READ_ONLY, ...ELSEWHERE, ...MANY };
    expect(run(parts, { environment })).toEqual({ lines: output(parts), stderr: '' });
  });
  it('userfaultfd cannot move a pinned page', () => {
    const { lines: printed } = run({ userfault: '' }, { environment });
    const refused = `
      pinned: ('EBUSY', -16)
      moved: old
      the device: old`;
    // Containers forbid it, and so may a host.
    const without = 'userfaultfd: cannot move';
    const expected = [refused, without].map((userfault) => output({ userfault }));
    expect(expected).toContainEqual(printed);
  });
  it('a pinned page of a process that ends by SIGKILL is lost, which is said', () => {
    const parts = KILLED('EFAULT');
    const { lines, stderr } = run(parts, { environment });
    expect(lines).toEqual(output(parts));
    expect(stderr).toMatch(/^softiommu: a device lost its pages of a process that was killed/);
  });
});

describe.for(ENVIRONMENTS)('--pin=exact, $name', (environment) => {
  const it = environment.skip === undefined && allowsRing(environment) ? test : test.skip;
  const flags = ['--pin=exact'];
  it('--pin=exact is the same, and outlives SIGKILL', () => {
    const parts = { ...EXPECTED, ...MANY, ...KILLED('old') };
    expect(run(parts, { environment, flags })).toEqual({ lines: output(parts), stderr: '' });
  });
  it.for([
    [READ_ONLY, 'they are read-only, which io_uring does not pin'],
    [ELSEWHERE, 'they were pinned in a call of another process'],
  ] as const)('what cannot be pinned so is copied, which is said: %o', ([parts, reason]) => {
    const { lines, stderr } = run(parts, { environment, flags });
    expect(lines).toEqual(output(parts));
    expect(stderr).toBe(`${COPIED}${reason}\n`);
  });
  it('a thread that takes the ring of its process can do nothing with it', ({ skip }) => {
    const { status, stdout } = softiommu([compile('test/host/programs/ring-thief.c')], {
      environment,
      flags,
    });
    const lines = stdout.trim().split('\n');
    if (lines[0] === 'stolen: no') skip('no thread came at the right moment');
    expect(status).toBe(0);
    expect(lines.slice(1)).toEqual([
      'its queues are mapped: 0 0 0',
      'operations made: 0',
      'files: EACCES',
      'no buffers: EACCES',
      'a probe: EACCES',
      'unmapped: done',
    ]);
  });
  it('the limit of locked memory is that of the user', ({ skip }) => {
    const isRoot = process.getuid?.() === 0 && environment.name.startsWith('as root');
    skip(isRoot, 'CAP_IPC_LOCK passes over the limit');
    const limited = { environment, flags, limit: '--memlock=65536' };
    const { lines, stderr } = run(MANY, limited);
    expect(lines).toEqual(output(MANY));
    expect(stderr).toBe(`${COPIED}the limit of locked memory is reached (ulimit -l)\n`);
  });
});

const COPIED = 'softiommu: --pin=exact: some pages are copied when their mapping goes: ';

function allowsRing(environment: Environment): boolean {
  return softiommu(['true'], { environment, flags: ['--pin=exact'] }).status === 0;
}

test('--pin=exact on a host without io_uring starts nothing and says what to do', ({ skip }) => {
  const environment = ENVIRONMENTS.find(({ name }) => name.includes('container'))!;
  skip(environment.skip !== undefined, environment.skip);
  const { status, stdout, stderr } = softiommu(['echo', 'started'], {
    environment,
    flags: ['--pin=exact'],
  });
  expect([status, stdout]).toEqual([125, '']);
  expect(stderr).toMatch(/^softiommu: --pin=exact: this host forbids io_uring \(errno 1\): allow/);
});
