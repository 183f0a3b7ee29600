/**
 * Whose rights, whose process and whose patience count on a path between the simulated tree and the host, in each
 * environment. In a run of root the program is nobody, where the rights of the run and the program's differ most.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { compile, ENVIRONMENTS, has, softiommu, strayDirectories } from './environments.ts';
import type { Environment } from './environments.ts';

const isRoot = process.getuid?.() === 0;
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
const PYTHON = '/usr/bin/python3';

/** Where nobody can read it, and what it imports. */
const directory = mkdtempSync(join(tmpdir(), 'rights-'));
const PROGRAM = join(directory, 'paths.py');
chmodSync(directory, 0o755);
for (const file of ['paths.py', 'observing.py']) {
  copyFileSync(join(PROJECT, 'test/host/programs', file), join(directory, file));
  chmodSync(join(directory, file), 0o644);
}

afterAll(() => {
  rmSync(directory, { recursive: true });
  expect(strayDirectories()).toEqual([]);
});

/** What each part of the program says, whoever runs it. */
const SAID = {
  leave: `
    from /dev: EACCES python3
    by dots: EACCES
    from devices: EACCES python3
    by a descriptor: ENOENT
    through /proc: 0x1234 0x1234
    where: /sys/bus/pci/devices /sys/bus/pci/devices
    a new file: 0o600 True
    and others: ['directory', 'linked', 'moved'] 0o640
    a program: 0
    a socket: True
    a name that is no text: True
    gone to: /`,
  spellings: `
    //proc/self/cwd 0x1234
    /proc/self/task/../cwd 0x1234
    /proc/self/../self/fd/FD 0x1234
    /proc/PID/cwd/. 0x1234
    /dev True
    /sys True
    /sys/bus True
    /sys/devices True
    /dev/vfio True
    /sys/bus/pci/devices True`,
  others: `
    cwd/0000:00:04.0 0x1234
    fd/40 0x1234
    task/PID/cwd/0000:00:04.0 0x1234
    root/sys/bus/pci/devices/0000:00:04.0 0x1234
    its links: /sys/bus/pci/devices True
    of no thread of it: ENOENT ENOENT`,
  magic: `
    self/cwd 0x1234 python3 ENOENT
    thread-self/cwd 0x1234 python3 ENOENT
    PID/cwd 0x1234 python3 ENOENT
    PID/task/PID/cwd 0x1234 python3 ENOENT
    self/fd/FD 0x1234 python3 ENOENT
    self/root/sys/bus/pci/devices/0000:00:04.0 0x1234 python3 ENOENT
    beside them: 0x1234 0x1234 ENOTDIR
    changed: None ['moved']
    relative: 0x1234 python3 python3
    from the host: 0x1234
    gone to: /sys/devices/pci0000:00`,
  temporary: `
    in it: True EINVAL
    in a file of it: ENOTDIR
    a link, cut: EINVAL EINVAL 5 b'../..'
    out of it: True`,
  killed: 'all ended',
  wait: `
    meanwhile: True data
    a signal came
    interrupted: EINTR`,
  change: `
    make: DENIED DENIED EEXIST EACCES
    remove: DENIED DENIED ENOENT
    move: DENIED EXDEV EXDEV
    make: DENIED DENIED EEXIST EACCES
    remove: DENIED DENIED ENOENT
    move: DENIED EXDEV EXDEV
    link: EXDEV
    attributes: EPERM EACCES
    sockets: EADDRINUSE DENIED ECONNREFUSED
    length: EINVAL EISDIR`,
  lists: `
    /dev True True True
    /sys True True True
    /sys/bus True True True
    /sys/kernel True True True
    again: True True`,
  bounds: `
    beneath: EXDEV EXDEV open
    in root: open open ENOENT
    links: ELOOP EXDEV open
    crossing: EXDEV open
    wrong: EINVAL EINVAL EINVAL EINVAL EINVAL E2BIG
    only named: open EINVAL EINVAL EINVAL EINVAL EINVAL
    only named: open EINVAL EINVAL EINVAL EINVAL EINVAL`,
  names: `
    True EBADF True
    True EBADF ENOENT
    True EBADF ENOENT`,
};

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip ?? (has(PYTHON) ? undefined : `no ${PYTHON}`);
  const it = skip === undefined ? test : test.skip;
  const inContainer = environment.name.includes('container');
  // There, what one user runs another cannot look into.
  const startedByRoot = isRoot && !inContainer && !environment.prefix.includes(NOBODY[1]!);
  const says = (part: string, prefix: readonly string[], flags: readonly string[] = []) =>
    said([...prefix, PYTHON, PROGRAM, part], { environment, flags });

  it.for(Object.entries(SAID))('a program has its own rights: %s', ([part, expected], { skip }) => {
    if (inContainer && isRoot && part === 'leave') skip('its root may read every file');
    if (inContainer && part === 'bounds') skip('it has no openat2');
    // Who owns the directories may write in them, but nobody makes anything.
    const denied = startedByRoot ? 'EACCES' : 'EPERM';
    const lines = linesOf(expected.replaceAll('DENIED', denied));
    expect(says(part, startedByRoot ? NOBODY : []).lines).toEqual(lines);
  });
  it('io_uring is refused as in a container, said once, and allowed by an option', ({ skip }) => {
    if (inContainer) skip('the container itself refuses it');
    const refused = says('uring', []);
    expect(refused.lines).toEqual(['io_uring_setup: EPERM']);
    expect(refused.stderr).toMatch(/^softiommu: a program wants io_uring, .*--io-uring=allow.*\n$/);
    expect(says('uring', [], ['--io-uring=allow']).stderr).toBe('');
  });
  const asRoot = startedByRoot ? it : test.skip;
  asRoot('root gets through links of /proc as everybody', () => {
    expect(says('magic', []).lines).toEqual(linesOf(SAID.magic));
  });
  const asNobody = startedByRoot ? it : test.skip;
  asNobody('a user namespace gives no capabilities over the devices', ({ skip }) => {
    const { lines } = says('namespace', NOBODY);
    if (lines[0] === 'cannot be tried') skip('this host gives users no namespaces');
    expect(lines).toEqual(['as its root: 0 EACCES EPERM']);
  });
  asRoot('modes and owners of nodes can be changed, and hold', () => {
    expect(says('owner', []).lines).toEqual([
      'by name: 0o640 12 34',
      'by descriptor: 0o400 0 56',
      'a stranger in its group: True EACCES',
      'and elsewhere: EACCES EPERM EPERM',
    ]);
  });
  asRoot('the tree is where it is mounted, and nowhere else', () => {
    expect(says('views', []).lines).toEqual([
      "in a chroot: ['empty'] ENOENT ENOENT",
      'in other mounts: True',
      'bound into a chroot: True True ENOENT',
      'under another: [] ENOENT',
    ]);
  });
  asRoot('who is shut in finds no way out of a simulated directory', () => {
    expect(says('shut', []).lines).toEqual(['ways out: {}']);
  });
  asRoot('nothing simulated is mounted, and what is mounted over it is seen', () => {
    const mounts = { ...environment, prefix: ['unshare', '--mount', ...environment.prefix] };
    const [over, ...rest] = said([PYTHON, PROGRAM, 'mounts'], { environment: mounts }).lines;
    const isMounted = environment.mode === 'namespace';
    expect(over).toBe(`over it: ${isMounted ? 'done ENOENT ENOENT' : 'EBUSY EBUSY ENOENT'}`);
    expect(rest).toEqual([
      `elsewhere: ${isMounted ? 'done done' : 'EBUSY EBUSY'}`,
      `by a descriptor: ${isMounted ? '4 5' : 'EBUSY EBUSY'}`,
      `ended: ${isMounted ? '0 EINVAL' : 'EINVAL EBUSY'}`,
      'of the host: done 0',
      'still there: 0x1234 True',
      'over the rest: done [] ENOENT True',
      'over /dev: done [] ENOENT python3',
      'and gone: 0 True 0 0x1234',
    ]);
  });
  it('programs of 32 bits run, and are refused what is simulated', ({ skip }) => {
    const program = compile('test/host/programs/foreign-calls.c', '-no-pie');
    const { lines, stderr } = said([program], { environment });
    if (lines[0]!.startsWith('no calls')) skip('this kernel runs no programs of 32 bits');
    const attribute = environment.mode === 'traps' ? '-38' : expect.stringMatching(/^\d+$/);
    const [, device, other] = /^device (.*), attribute (.*)$/.exec(lines[0]!)!;
    expect([device, other]).toEqual(['-38', attribute]);
    expect(lines.slice(1)).toEqual(['file 1, directory 1', 'io_uring -1', 'x32 -1 38']);
    expect(stderr).toMatch(
      / \(foreign-calls-n\) is of 32 bits and wants \/dev\/vfio\/vfio: .*ENOSYS/,
    );
  });
  it('signals with values arrive whole while calls are made in a thread', () => {
    const { lines } = said([compile('test/host/programs/queued-signals.c')], { environment });
    expect(lines).toEqual(['every call 0, every signal once, each with its value']);
  });
});

function said(
  argv: readonly string[],
  options: { environment: Environment; flags?: readonly string[] },
): { lines: string[]; stderr: string } {
  const { stdout, stderr } = softiommu(argv, options);
  return { lines: stdout.trimEnd().split('\n'), stderr };
}
function linesOf(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim());
}
