/**
 * Calls that would change a simulated node or its directory, or use it as what it is not: what Linux answers of sysfs and
 * of character devices. Nobody makes, removes or moves anything there; modes and owners can be changed.
 */
import {
  EACCES,
  EADDRINUSE,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EXDEV,
  isErrno,
  type Errno,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { CAP_SYS_ADMIN } from '../../base/task.ts';
import { MAY_EXEC, MAY_WRITE, type Cred } from '../../machine/files/rights.ts';
import type { NodePlace, Vfs } from '../../machine/files/vfs.ts';
import { HOST_ERRNO, O_RDWR, O_WRONLY } from '../sys/numbers.ts';
import { openHow } from '../tree/open-flags.ts';
import type { ChangeKind, PathCall } from './path-calls.ts';
import type { Found } from './path-lookup.ts';

/** What is there, or the path at whose end nothing is. */
export type Target = NodePlace | { readonly kind: 'nothing'; readonly path: string };
/** Of what was found at a path. */
export function targetOf(found: Found, path: string): Target {
  const isNode = typeof found === 'object' && !isErrno(found) && found.kind === 'node';
  return isNode ? found : { kind: 'nothing', path };
}

/** Who asks, of which tree. */
interface Asking {
  readonly vfs: Vfs;
  readonly cred: Cred;
}

/** Undefined: done. */
export type Change = (asking: Asking, target: Target, call: PathCall) => Status | number;

/** In the directory of a path: EACCES where its rights forbid it, and else EPERM, for sysfs has no such operation. */
function inDirectory({ vfs, cred }: Asking, path: string): Errno {
  const parent = vfs.resolve(path.replace(/\/+[^/]*\/*$/, '') || '/', { cred });
  if (isErrno(parent)) return parent;
  if (parent.kind === 'node') {
    const rc = vfs.mayAccess(parent, cred, MAY_WRITE | MAY_EXEC);
    if (rc) return rc;
  }
  return refuse(EPERM, 'nobody makes, removes or moves what is simulated', { path });
}

function making(asking: Asking, target: Target): Errno {
  const { path } = target;
  if (target.kind === 'node') return refuse(EEXIST, 'there is something of that name', { path });
  return inDirectory(asking, path);
}
function removing(asking: Asking, target: Target): Errno {
  return inDirectory(asking, target.path);
}
type OnNode = (asking: Asking, place: NodePlace, call: PathCall) => Status | number;
/** What is not there has been refused before. */
function onNode(change: OnNode): Change {
  return (asking, target, call) =>
    target.kind === 'node' ? change(asking, target, call) : inDirectory(asking, target.path);
}

/** A device has none by rule, and sysfs keeps none of users. */
const attributes = onNode((_asking, { node, path }) =>
  node.kind === 'device'
    ? refuse(EPERM, 'only files and directories have extended attributes', { path })
    : refuse(EOPNOTSUPP, 'sysfs keeps no extended attributes', { path }),
);
/** By what is done. */
export const CHANGES: Readonly<Record<Exclude<ChangeKind, 'watch'>, Change>> = {
  make: making,
  remove: onNode((asking, place) =>
    place.node.kind === 'dir'
      ? refuse(EISDIR, 'a directory is removed by rmdir', { path: place.path })
      : removing(asking, place),
  ),
  'remove-directory': onNode((asking, place) =>
    place.node.kind === 'dir'
      ? removing(asking, place)
      : refuse(ENOTDIR, 'rmdir removes directories', { path: place.path }),
  ),
  move: onNode(removing),
  link: onNode(removing),
  chmod: onNode(({ vfs, cred }, place, { mode }) => vfs.chmod(place, mode, cred)),
  chown: onNode(({ vfs, cred }, place, { owner }) => vfs.chown(place, owner!, cred)),
  touch: onNode(({ vfs, cred }, place, { isNow }) => vfs.touch(place, isNow === true, cred)),
  truncate: onNode(({ vfs, cred }, place) => {
    const { node, path } = place;
    if (node.kind === 'dir') return refuse(EISDIR, 'a directory has no length', { path });
    if (node.kind !== 'attr') return refuse(EINVAL, 'a device has no length', { path });
    return vfs.mayAccess(place, cred, MAY_WRITE);
  }),
  setxattr: attributes,
  removexattr: attributes,
  execute: (_asking, { path }) => refuse(EACCES, 'nothing simulated is a program', { path }),
  chroot: onNode((_asking, { node, path }) =>
    node.kind === 'dir'
      ? refuse(EPERM, 'a simulated directory cannot be a root directory', { path })
      : refuse(ENOTDIR, 'a root directory is a directory', { path }),
  ),
  // Nothing of the kernel's own file systems is written by it. @kernel acct_on
  account: onNode(({ vfs, cred }, place) => {
    const { node, path } = place;
    const opened = vfs.open(place, openHow(O_WRONLY), cred);
    if (isErrno(opened)) return opened;
    if (node.kind !== 'attr') return refuse(EACCES, 'accounting is in a regular file', { path });
    return refuse(EINVAL, 'a file of the kernel is no file to account in', { path });
  }),
  swap: onNode(({ vfs, cred }, place) => {
    const { path } = place;
    const opened = vfs.open(place, openHow(O_RDWR), cred);
    if (isErrno(opened)) return opened;
    return refuse(EINVAL, 'nothing is swapped to what is no disk', { path });
  }),
  // Of what is no block device. @kernel lookup_bdev
  quota: onNode(() => -HOST_ERRNO.ENOTBLK),
  flags: onNode((_asking, { path }) =>
    refuse(EOPNOTSUPP, 'nothing simulated has flags of a file system', { path }),
  ),
  handle: (_asking, { path }) => refuse(EOPNOTSUPP, 'there are no file handles here', { path }),
  bind: (asking, target) =>
    target.kind === 'node'
      ? refuse(EADDRINUSE, 'there is something of that name', { path: target.path })
      : inDirectory(asking, target.path),
  mount: onNode(({ cred }, { path }) => {
    if (!cred.capable(CAP_SYS_ADMIN))
      return refuse(EPERM, 'mounts are made with CAP_SYS_ADMIN', { path });
    return refuse(EBUSY, 'nothing simulated is mounted elsewhere or mounted over', { path });
  }),
  unmount: onNode(({ cred }, { path }) => {
    if (!cred.capable(CAP_SYS_ADMIN))
      return refuse(EPERM, 'mounts are ended with CAP_SYS_ADMIN', { path });
    return refuse(EINVAL, 'nothing is mounted on what is simulated', { path });
  }),
  // What is no socket, nobody listens at.
  connect: onNode(
    ({ vfs, cred }, place) => vfs.mayAccess(place, cred, MAY_WRITE) ?? -HOST_ERRNO.ECONNREFUSED,
  ),
};

/** O_TMPFILE: sysfs has no files without a name. @kernel vfs_tmpfile */
export function temporaryFile({ vfs, cred }: Asking, place: NodePlace): Errno {
  const { node, path } = place;
  if (node.kind !== 'dir')
    return refuse(ENOTDIR, 'a file without a name is made in a directory', { path });
  const rc = vfs.mayAccess(place, cred, MAY_WRITE | MAY_EXEC);
  return rc ?? refuse(EOPNOTSUPP, 'nothing simulated is without a name', { path });
}

/** A second name, or another: between the tree and the rest there is the border of a file system. */
export function acrossTrees(path: string): Errno {
  return refuse(EXDEV, 'a file stays in its file system', { path });
}
