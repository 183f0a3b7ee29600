/** Links of the host into the simulated tree, in each environment: followed as on Linux, with the rights of whoever follows. */
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, has, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const PYTHON = '/usr/bin/python3';
const PROGRAM = `${PROJECT}/test/host/programs/links.py`;
const isRoot = process.getuid?.() === 0;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip ?? (has(PYTHON) ? undefined : `no ${PYTHON}`);
  const it = skip === undefined ? test : test.skip;
  const asRoot = isRoot && environment.prefix.length === 0 ? it : test.skip;
  const said = (part: string): string[] => {
    const { stdout, stderr } = softiommu([PYTHON, PROGRAM, part], { environment });
    return (stderr + stdout).trimEnd().split('\n');
  };

  it('a link of the host leads into the tree, whatever call follows it', () => {
    expect(said('followed')).toEqual([
      'read: 0x1234 0x1234 0x1234 0x1234',
      'opened: /dev/iommu ELOOP',
      'stat: True True True /dev/iommu',
      'access: True False ELOOP',
      'relative: 0x1234 0x1234 0x1234',
      'beside: True True',
      'gone to: True 0x1234',
      'changed: True True EXDEV ENOENT',
      'and elsewhere: True False True',
      'of /proc: True python3',
    ]);
  });
  it('dots lead out of directories that are there and may be searched, and of no others', () => {
    const script = [
      'open=$(mktemp -d); mkdir $open/down; up=..',
      // The depth of a temporary directory is the host's affair.
      'for level in $(echo $open | tr / " "); do up=$up/..; done',
      'for path in /usr /nonexistent /etc/passwd /..; do stat -c %F $path/../dev/iommu; done',
      'stat -c %F $open/down/$up/dev/iommu',
      'cd $open; stat -c %F $up/dev/iommu down/$up/dev/iommu gone/$up/dev/iommu',
      'rm -r $open',
    ].join('\n');
    const { stdout, stderr } = softiommu(['sh', '-c', script], { environment });
    const there = 'character special file';
    expect(stdout.trimEnd().split('\n')).toEqual([there, there, there, there, there]);
    const errors = stderr
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/.*: /, ''));
    expect(errors).toEqual([
      'No such file or directory',
      'Not a directory',
      'No such file or directory',
    ]);
  });
  asRoot('nobody leaves a directory that he may not search', () => {
    const as = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
    const script = `d=$(mktemp -d); ${as} stat -c %F $d/../../dev/iommu $d/../../../dev/iommu; rm -r $d`;
    const { stdout, stderr } = softiommu(['sh', '-c', script], { environment });
    expect([stdout, stderr.match(/Permission denied/g)]).toEqual([
      '',
      ['Permission denied', 'Permission denied'],
    ]);
  });
  asRoot('nobody follows a link that he may not reach or follow', () => {
    expect(said('forbidden')).toEqual([
      'behind a closed door: EACCES EACCES 0x1234',
      'of another, where everybody writes: True',
    ]);
  });
  asRoot('in a chroot links lead to what is there of the tree', () => {
    expect(said('elsewhere')).toEqual([
      'from outside of it: 0x1234 True',
      'in a chroot: 0x1234 0x1234 0x1234 ENOENT ENOENT',
    ]);
  });
});
