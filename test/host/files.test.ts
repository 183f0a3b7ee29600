/** What open, stat and directories say of simulated files, in each environment: the same by traps and by mounts. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, has, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const DEBUG = '/sys/kernel/debug';
const PYTHON = '/usr/bin/python3';
const PROGRAM = `${PROJECT}/test/host/programs/files.py`;

function isEmptyMountPoint(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch {
    return false; // not there, or not for us to see
  }
}

/** What each part of the program says, whoever runs it. */
const SAID = {
  modes: `
    driver_override 0r 1w 2rw 3 ENOTDIR
    config 0r 1w 2rw 3 ENOTDIR
    resource 0r 1w 2rw 3 ENOTDIR
    vfio 0r 1w 2rw 3 ENOTDIR
    null 0r 1w 2rw 3 ENOTDIR
    a directory EISDIR EISDIR
    vendor EACCES True
    drivers_probe EACCES True`,
  twice: `
    written: 4 6 6
    read: third`,
  long: `
    256 256 256
    257 257 257
    4000 4000 4000
    4095 4095 4095
    ids: 300`,
  directories: `
    /dev/vfio []
    /sys/bus/pci []
    /sys/kernel/iommu_groups []
    /sys/devices/pci0000:00 []
    /proc/bus/pci []
    a file: 1 1 1`,
  unmounted: `
    /proc/modules True True True
    /proc/misc True True True
    /proc/bus/pci/devices True True True
    /proc/bus/pci/00/04.0 True True True
    /lib/modules/RELEASE True True True
    there: /proc/bus/pci/00 True True /proc/bus/pci
    changed: True True
    and out of it: ['moved']`,
  threads: `
    a directory of its own: True 0x1234 True / True
    of all: /sys/bus/pci/devices 0x1234
    a root of its own: ENOENT ENOENT 0x1234 True
    descriptors of its own: 0 EBADF EBADF`,
  descriptors: `
    .. ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY not frozen: True True block: True
    delegation: EINVAL quota: ENOSYS EINVAL only named: EBADF
    link: True []
    vfio ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY not frozen: True True block: True
    delegation: EINVAL quota: ENOSYS EINVAL only named: EBADF
    link: True []
    pci ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY ENOTTY not frozen: True True block: True
    delegation: EINVAL quota: ENOSYS EINVAL only named: EBADF
    link: True []
    mounted over: False changed: False`,
  vfork: `
    0x1234 /
    /sys/devices/pci0000:00 0x1234 /`,
};

/** Without a bound, then NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH and IN_ROOT. */
const RESOLVED = `
    /dev vfio/vfio ok ok ok ok ok ok
    /dev ../dev/vfio/vfio ok EXDEV ok ok EXDEV ENOENT
    /dev /vfio/vfio ENOENT ENOENT ENOENT ENOENT EXDEV ok
    /dev fd/N ok EXDEV ELOOP ELOOP EXDEV ENOENT
    /dev/vfio vfio ok ok ok ok ok ok
    /dev/vfio ../vfio/vfio ok ok ok ok EXDEV ENOTDIR
    /dev/vfio ../../etc/passwd ok EXDEV ok ok EXDEV ENOENT
    DEVICES DEVICE/vendor ok ok ok ELOOP EXDEV ENOENT
    DEVICE vendor ok ok ok ok ok ok
    DEVICE driver/module ok ok ok ELOOP EXDEV ENOENT
    DEVICE ../../../../etc/passwd ok EXDEV ok ok EXDEV ENOENT
    DEVICE none ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT
    /sys bus/pci/devices/DEVICE/vendor ok ok ok ELOOP ok ok
    /sys kernel/iommu_groups/0/type ok ok ok ok ok ok
    / dev/vfio/vfio ok EXDEV ok ok ok ok
    / sys/bus/pci/devices/DEVICE/vendor ok EXDEV ok ELOOP ok ok
    / proc/bus/pci/devices ok EXDEV ok ok ok ok
    / /proc/self/cwd/dev/vfio/vfio ok EXDEV ELOOP ELOOP EXDEV EXDEV
    / etc/passwd ok ok ok ok ok ok
    SCRATCH link/vendor ok EXDEV ok ELOOP EXDEV ENOENT
    /etc ../dev/vfio/vfio ok EXDEV ok ok EXDEV ENOENT
    /etc passwd ok ok ok ok ok ok`;
/** What is bound into a namespace is a mount each. */
const CROSSING = /^(?:DEVICES? D|DEVICE driver|\/sys )/;

function linesOf(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim());
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip ?? (has(PYTHON) ? undefined : `no ${PYTHON}`);
  const isContainer = environment.name.includes('container');
  const it = skip === undefined ? test : test.skip;
  it.for(Object.entries(SAID))(
    'simulated files are as Linux has them: %s',
    ([part, expected], { skip }) => {
      if (isContainer && part === 'threads') skip('it forbids unshare(2)');
      const { stdout, stderr } = softiommu([PYTHON, PROGRAM, part], { environment });
      expect((stderr + stdout).trimEnd().split('\n')).toEqual(linesOf(expected));
    },
  );
  const KILL_PROCESS = '0x80000000';
  const TRAP = '0x30000';
  const EPERM = '0x50001';
  it.for([
    [KILL_PROCESS, 'SIGSYS'],
    [TRAP, 'SIGSYS'],
    [EPERM, null],
  ] as const)(
    "a program's own filter that says %s to a call of ours",
    ([action, end], { skip }) => {
      if (environment.mode === 'namespace') skip('there the kernel goes to directories by itself');
      const said = softiommu([PYTHON, PROGRAM, 'filtered', action], { environment });
      if (end === null) expect(said.stdout).toMatch(/^before\nafter: EPERM \//);
      else expect(said.stdout).toBe('before\n');
      const line =
        /^softiommu: process \d+ \(\w+\) has a seccomp filter of its own that forbids fchdir\(2\)/;
      expect([said.signal, line.test(said.stderr)]).toEqual([end, end !== null]);
    },
  );
  // Skipped where the host has a file system there.
  (skip === undefined && isEmptyMountPoint(DEBUG) ? test : test.skip)(
    'an empty mount point of the host is listed with what is ours in it',
    () => {
      const { stdout, stderr } = softiommu(['ls', '-aU', DEBUG], { environment });
      expect([stdout.split('\n').sort(), stderr]).toEqual([['', '.', '..', 'vfio'], '']);
    },
  );
  it('the bounds of openat2 hold from everywhere', () => {
    const { stdout, stderr } = softiommu([PYTHON, PROGRAM, 'resolve'], { environment });
    const isMounts = environment.mode === 'namespace';
    const expected = linesOf(RESOLVED).map((line) =>
      isMounts && CROSSING.test(line) ? line.replace(' ok ok ', ' ok EXDEV ') : line,
    );
    expect((stderr + stdout).trimEnd().split('\n')).toEqual(expected);
  });
});
