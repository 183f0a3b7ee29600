/** Every system call of x86-64 that takes a path, or a descriptor to begin one at: it is trapped, or the reason is here. */
import { expect, test } from 'vitest';
import { TRAPPED_CALLS } from './trapped.ts';

/** Of the table of Linux 7.0, by hand; calls that name nothing but a file they have open already are not in it. */
const WITH_A_PATH = [
  ...['access', 'acct', 'bind', 'bpf', 'chdir', 'chmod', 'chown', 'chroot', 'connect', 'creat'],
  ...['execve', 'execveat', 'faccessat', 'faccessat2', 'fanotify_mark', 'fchmodat', 'fchmodat2'],
  ...['fchownat', 'file_getattr', 'file_setattr', 'fsconfig', 'fspick', 'futimesat', 'getcwd'],
  ...['getxattr', 'getxattrat', 'inotify_add_watch', 'landlock_add_rule', 'lchown', 'lgetxattr'],
  ...['link', 'linkat', 'listxattr', 'listxattrat', 'llistxattr', 'lremovexattr', 'lsetxattr'],
  ...['lstat', 'mkdir', 'mkdirat', 'mknod', 'mknodat', 'mount', 'mount_setattr', 'move_mount'],
  ...['mq_open', 'mq_unlink', 'name_to_handle_at', 'newfstatat', 'open', 'open_by_handle_at'],
  ...['open_tree', 'open_tree_attr', 'openat', 'openat2', 'pivot_root', 'quotactl', 'quotactl_fd'],
  ...['readlink', 'readlinkat', 'removexattr', 'removexattrat', 'rename', 'renameat', 'renameat2'],
  ...[
    'rmdir',
    'sendmmsg',
    'sendmsg',
    'sendto',
    'setxattr',
    'setxattrat',
    'stat',
    'statfs',
    'statx',
  ],
  ...['swapoff', 'swapon', 'symlink', 'symlinkat', 'truncate', 'umount2', 'unlink', 'unlinkat'],
  ...['uselib', 'utime', 'utimensat', 'utimes'],
];
/** Not because of their paths. */
const OTHERWISE: Readonly<Record<string, string>> = {
  bpf: 'names what is pinned in a file system of its own, of which the tree has none',
  landlock_add_rule: 'a rule speaks of the stand-in; what the tree answers is bound by no rule',
  mq_open: 'names no file',
  mq_unlink: 'names no file',
  open_by_handle_at: 'nothing simulated has a handle (name_to_handle_at)',
  sendmmsg: 'no socket is in the tree; the gate above the stand-ins keeps who is in a chroot',
  sendmsg: 'as sendmmsg',
  sendto: 'as sendmmsg',
};

test('every call with a path is trapped, or it is said why not', () => {
  const trapped = TRAPPED_CALLS.filter(({ purpose }) => purpose.includes('the simulated tree'));
  const names = new Set<string>(trapped.map(({ name }) => name));
  const missing = WITH_A_PATH.filter((name) => !names.has(name));
  expect(missing).toEqual(Object.keys(OTHERWISE));
});
