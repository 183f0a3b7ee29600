/** Every call that would change the tree, with what Linux answers of sysfs and devtmpfs. */
import { expect, test } from 'vitest';
import {
  EACCES,
  EADDRINUSE,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  isErrno,
} from '../../base/errno.ts';
import { Machine } from '../../machine/machine.ts';
import { KERNEL, type Cred } from '../../machine/files/rights.ts';
import { acrossTrees, CHANGES, temporaryFile, type Target } from './node-changes.ts';
import { NO_PATH, type PathCall } from './path-calls.ts';

const { vfs } = new Machine();
const STRANGER: Cred = { uid: 1000, gid: 1000, groups: [], capable: () => false };
const DIRECTORY = '/sys/bus/pci/devices';
const ATTRIBUTE = '/sys/bus/pci/rescan';
const DEVICE = '/dev/vfio/vfio';

function at(path: string): Target {
  const place = vfs.resolve(path, { cred: KERNEL });
  return isErrno(place) || place.kind === 'host' ? { kind: 'nothing', path } : place;
}

test.for([
  ['make', DIRECTORY, EEXIST, EEXIST],
  ['make', `${DIRECTORY}/new`, EPERM, EACCES],
  ['make', `${DIRECTORY}/no/new`, ENOENT, ENOENT],
  ['remove', DEVICE, EPERM, EACCES],
  ['remove', DIRECTORY, EISDIR, EISDIR],
  ['remove-directory', DIRECTORY, EPERM, EACCES],
  ['remove-directory', DEVICE, ENOTDIR, ENOTDIR],
  ['move', DEVICE, EPERM, EACCES],
  ['link', `${DIRECTORY}/new`, EPERM, EACCES],
  ['truncate', DIRECTORY, EISDIR, EISDIR],
  ['truncate', DEVICE, EINVAL, EINVAL],
  ['truncate', ATTRIBUTE, undefined, EACCES],
  ['setxattr', DEVICE, EPERM, EPERM],
  ['removexattr', ATTRIBUTE, EOPNOTSUPP, EOPNOTSUPP],
  ['execute', DEVICE, EACCES, EACCES],
  ['chroot', DIRECTORY, EPERM, EPERM],
  ['chroot', DEVICE, ENOTDIR, ENOTDIR],
  ['account', ATTRIBUTE, EINVAL, EACCES],
  ['account', DEVICE, EACCES, EACCES],
  ['account', DIRECTORY, EISDIR, EISDIR],
  ['swap', ATTRIBUTE, EACCES, EACCES],
  ['swap', DEVICE, EINVAL, EINVAL], // everybody may open it
  ['quota', DEVICE, -15, -15],
  ['flags', ATTRIBUTE, EOPNOTSUPP, EOPNOTSUPP],
  ['handle', DEVICE, EOPNOTSUPP, EOPNOTSUPP],
  ['mount', DIRECTORY, EBUSY, EPERM],
  ['unmount', DIRECTORY, EINVAL, EPERM],
  ['bind', DEVICE, EADDRINUSE, EADDRINUSE],
  ['bind', `${DIRECTORY}/socket`, EPERM, EACCES],
  ['connect', DEVICE, -111, -111],
  ['connect', ATTRIBUTE, -111, EACCES],
] as const)('%s of %s', ([kind, path, byRoot, byStranger]) => {
  const call: PathCall = { ...NO_PATH, kind };
  expect(CHANGES[kind]({ vfs, cred: KERNEL }, at(path), call)).toBe(byRoot);
  expect(CHANGES[kind]({ vfs, cred: STRANGER }, at(path), call)).toBe(byStranger);
});
test.for([
  [DIRECTORY, EOPNOTSUPP, EACCES],
  [DEVICE, ENOTDIR, ENOTDIR],
] as const)('a file without a name in %s', ([path, byRoot, byStranger]) => {
  const place = at(path);
  if (place.kind !== 'node') throw new Error(`${path} is not there`);
  expect(temporaryFile({ vfs, cred: KERNEL }, place)).toBe(byRoot);
  expect(temporaryFile({ vfs, cred: STRANGER }, place)).toBe(byStranger);
});
test('between the tree and the host nothing is moved or linked', () => {
  expect(acrossTrees(DEVICE)).toBe(EXDEV);
});
