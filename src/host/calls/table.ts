/**
 * Who answers a trapped call: one handler for each row of seccomp/trapped.ts. A row without one does not compile.
 *
 * A handler is put together from what the call does: it names a path, moves bytes, removes pages.
 */
import { CAP_SYS_ADMIN, CAP_SYS_PACCT } from '../../base/task.ts';
import { HOST_ERRNO, NR, NR_I386, UFFDIO_MOVE, USERFAULTFD_IOC_NEW } from '../sys/numbers.ts';
import { F_SETDELEG } from '../sys/open-file-description.ts';
import type { Handled } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { TrappedCall, TrappedName } from '../seccomp/trapped.ts';
import type { CallContext } from './call-context.ts';
import { refusedRemap } from './fixed-mappings.ts';
import { argumentsAt, argumentsIn, foreignMmap, foreignOpen } from './foreign.ts';
import type { FileTraps } from './file-traps.ts';
import { deleteModule } from './modules.ts';
import type { MappingTraps } from './mapping-traps.ts';
import { PATH_CALLS, type DecodePath, type PathKind } from './path-calls.ts';
import type { PathTraps } from './path-traps.ts';
import * as removed from './removed-pages.ts';
import { slowPages } from '../process/slow-pages.ts';
import type { Removal } from './removed-pages.ts';
import { addSeals } from './seals.ts';
import { MESSAGES, type MessageSpelling } from './register-messages.ts';
import { SPELLINGS, type Spelling } from './transfers.ts';
import { delegation, ioctlOfNode, quotaOf } from './node-descriptors.ts';
import { refusedMark, WATCH_CALLS } from './watch-calls.ts';
import { XATTR_CALLS } from './xattr-calls.ts';

/** What handlers call. */
export interface Traps {
  readonly context: CallContext;
  readonly files: FileTraps;
  readonly paths: PathTraps;
  readonly mappings: MappingTraps;
}
/** Answers a call of one kind. */
export type Handler = (traps: Traps, call: Notification) => Handled;
/** One for every name. */
export type Handlers<Name extends string = TrappedName> = { readonly [Key in Name]: Handler };

/** The handlers by the numbers of their calls. */
export function bindHandlers<const Rows extends readonly TrappedCall[]>(
  rows: Rows,
  handlers: Handlers<Rows[number]['name']>,
): ReadonlyMap<number, Handler> {
  const byName: Readonly<Record<string, Handler>> = handlers;
  return new Map(rows.map(({ nr, name }) => [nr, byName[name]!]));
}

/** The host's kernel does it as it stands. */
const native: Handler = () => 'continue';

function path(decode: DecodePath): Handler {
  return ({ paths }, call) => paths.answer(call, decode);
}
/** Without it, it does not matter what the path names. */
function withCapability(capability: number, decode: DecodePath): Handler {
  return ({ context: { processes }, paths }, call) =>
    processes.cred(call.tid, 'fs').capable(capability)
      ? paths.answer(call, decode)
      : -HOST_ERRNO.EPERM;
}
function onOpen(kind: PathKind): Handler {
  return ({ paths }, call) => paths.answerOpen(call, { kind });
}
function mounting(decode: DecodePath): Handler {
  return ({ context, paths }, call) => {
    if (call.nr === NR.mount) slowPages.expect();
    return context.makesOurCalls(call.tid) ? 'continue' : paths.mounts(call, decode);
  };
}
/** It may make a file shorter that a device has pinned. */
function emptying(decode: DecodePath): Handler {
  return ({ mappings, paths }, call) =>
    mappings.removingFromNamed(call, decode, () => paths.answer(call, decode));
}
function transfer(spelling: Spelling): Handler {
  return ({ files }, call) => files.transfer(call, spelling);
}
/** Sockets are never ours, and their buffers are as those of `spelling`. */
function socketTransfer(spelling: Spelling): Handler {
  return ({ files }, call) => files.foreignTransfer(call, spelling);
}
/** Messages of sockets: what their vectors lead to may be registers. */
function messages(spelling: MessageSpelling): Handler {
  return ({ files }, call) => files.messages(call, spelling);
}
/** With pinned pages among them the call is made by injection, else `otherwise` answers. */
function removing(removal: Removal, otherwise: Handler = native): Handler {
  return (traps, call) => traps.mappings.removing(call, removal, () => otherwise(traps, call));
}
function executing(named: Handler): Handler {
  return (traps, call) => {
    const { context, mappings } = traps;
    const isOurs = context.makesOurCalls(call.tid);
    if (!isOurs) mappings.executing(call);
    const answer = isOurs ? 'continue' : named(traps, call);
    // Last, for whoever asks for the caller's memory takes its exec for over.
    context.processes.executing(call.tid);
    return answer;
  };
}
/** Of a program of 32 bits: its path is the host's. */
const foreignExec = executing(native);
/** From now on some memory may be such that a copy of it would wait for a program. */
const filling: Handler = () => {
  slowPages.expect();
  return 'continue';
};
const exiting: Handler = ({ context: { lockLimits: limits, processes }, mappings }, call) => {
  mappings.exiting(call);
  if (call.nr !== NR.exit_group) return 'continue';
  for (const one of [limits, processes.capabilities]) one?.ending(processes.processOf(call.tid));
  return 'continue';
};
/** Whether it reaches us is the host's to say. */
const signalling: Handler = ({ context: { groupSignals, processes } }, call) => {
  groupSignals.note(processes.processOf(call.tid), call.int(1));
  return 'continue';
};
const capabilities: Handler = ({ context: { processes } }, call) => {
  const { pid, mem } = processes.task(call);
  return processes.capabilities?.handle(call, pid, mem) ?? 'continue';
};

const lockLimits: Handler = ({ context: { lockLimits: limits, processes } }, call) =>
  limits?.handle(call, processes) ?? 'continue';

const NO_IO_URING =
  'a program wants io_uring, whose requests softiommu cannot see: refused with EPERM, as a container does; --io-uring=allow lets it, and they see the host';

/** Those that are asked for by their number. */
const IOCTLS: Readonly<Record<number, (traps: Traps, call: Notification) => Handled | undefined>> =
  {
    [UFFDIO_MOVE]: ({ mappings }, call) => mappings.userfaultMove(call),
    [USERFAULTFD_IOC_NEW]: filling,
  };

/** Of what is no open file of ours it may be a directory that stands for one of the tree. */
const ioctl: Handler = ({ context, files, paths }, call) => {
  const answer = files.ioctl(call);
  return answer === 'continue' ? ioctlOfNode(context, paths, call) : answer;
};

/** Sorted as the rows are. */
export const HANDLERS: Handlers = {
  ioctl: (traps, call) => IOCTLS[call.uint(1)]?.(traps, call) ?? ioctl(traps, call),
  mmap: removing(removed.mappedOver, ({ files }, call) => files.mmap(call)),
  read: transfer(SPELLINGS.read),
  write: transfer(SPELLINGS.write),
  recvfrom: socketTransfer(SPELLINGS.read),
  sendto: socketTransfer(SPELLINGS.write),
  readv: transfer(SPELLINGS.readv),
  writev: transfer(SPELLINGS.writev),
  recvmsg: messages(MESSAGES.recvmsg),
  sendmsg: messages(MESSAGES.sendmsg),
  recvmmsg: messages(MESSAGES.recvmmsg),
  sendmmsg: messages(MESSAGES.sendmmsg),
  pread64: transfer(SPELLINGS.pread64),
  pwrite64: transfer(SPELLINGS.pwrite64),
  preadv: transfer(SPELLINGS.preadv),
  pwritev: transfer(SPELLINGS.pwritev),
  preadv2: transfer(SPELLINGS.preadv2),
  pwritev2: transfer(SPELLINGS.pwritev2),
  memfd_create: ({ files }, call) => files.memfdCreate(call),
  munmap: removing(removed.unmapped),
  mremap: (traps, call) =>
    refusedRemap(traps.context, call) ?? removing(removed.remapped)(traps, call),
  brk: removing(removed.lowered),
  madvise: ({ mappings }, call) => mappings.madvise(call),
  process_madvise: ({ mappings }, call) => mappings.processMadvise(call),
  shmat: removing(removed.attachedOver),
  shmdt: removing(removed.detached),
  truncate: emptying(PATH_CALLS.truncate),
  ftruncate: removing(removed.shortened, ({ files }, call) =>
    files.resize(call, HOST_ERRNO.EINVAL),
  ),
  fallocate: removing(removed.punched, ({ files }, call) => files.resize(call, HOST_ERRNO.ENODEV)),
  fcntl: ({ context, paths }, call) =>
    call.uint(1) === F_SETDELEG ? delegation(paths, call) : addSeals(context, call),
  execve: executing(path(PATH_CALLS.execve)),
  execveat: executing(path(PATH_CALLS.execveat)),
  exit: exiting,
  exit_group: exiting,
  ptrace: ({ context }, call) => context.tracers.answer(call),
  kill: signalling,
  rt_sigaction: ({ context }, call) => context.changeFault(call),
  open: emptying(PATH_CALLS.open),
  openat: emptying(PATH_CALLS.openat),
  openat2: emptying(PATH_CALLS.openat2),
  creat: emptying(PATH_CALLS.creat),
  stat: path(PATH_CALLS.stat),
  lstat: path(PATH_CALLS.lstat),
  access: path(PATH_CALLS.access),
  faccessat: path(PATH_CALLS.faccessat),
  faccessat2: path(PATH_CALLS.faccessat2),
  chdir: path(PATH_CALLS.chdir),
  getcwd: ({ paths }, call) => paths.getcwd(call),
  getxattr: path(PATH_CALLS.getxattr),
  lgetxattr: path(PATH_CALLS.lgetxattr),
  listxattr: path(PATH_CALLS.listxattr),
  llistxattr: path(PATH_CALLS.llistxattr),
  mkdir: path(PATH_CALLS.mkdir),
  mkdirat: path(PATH_CALLS.mkdirat),
  mknod: path(PATH_CALLS.mknod),
  mknodat: path(PATH_CALLS.mknodat),
  symlink: path(PATH_CALLS.symlink),
  symlinkat: path(PATH_CALLS.symlinkat),
  link: path(PATH_CALLS.link),
  linkat: path(PATH_CALLS.linkat),
  rename: path(PATH_CALLS.rename),
  renameat: path(PATH_CALLS.renameat),
  renameat2: path(PATH_CALLS.renameat2),
  unlink: path(PATH_CALLS.unlink),
  unlinkat: path(PATH_CALLS.unlinkat),
  rmdir: path(PATH_CALLS.rmdir),
  chmod: path(PATH_CALLS.chmod),
  fchmod: ({ paths }, call) => paths.answerOpen(call, { kind: 'chmod', mode: call.uint(1) }),
  fchmodat: path(PATH_CALLS.fchmodat),
  fchmodat2: path(PATH_CALLS.fchmodat2),
  chown: path(PATH_CALLS.chown),
  lchown: path(PATH_CALLS.lchown),
  fchown: ({ paths }, call) =>
    paths.answerOpen(call, { kind: 'chown', owner: { uid: call.int(1), gid: call.int(2) } }),
  fchownat: path(PATH_CALLS.fchownat),
  utime: path(PATH_CALLS.utime),
  utimes: path(PATH_CALLS.utimes),
  futimesat: path(PATH_CALLS.futimesat),
  utimensat: path(PATH_CALLS.utimensat),
  setxattr: path(PATH_CALLS.setxattr),
  lsetxattr: path(PATH_CALLS.lsetxattr),
  removexattr: path(PATH_CALLS.removexattr),
  lremovexattr: path(PATH_CALLS.lremovexattr),
  fsetxattr: onOpen('setxattr'),
  fgetxattr: onOpen('getxattr'),
  flistxattr: onOpen('listxattr'),
  fremovexattr: onOpen('removexattr'),
  setxattrat: path(XATTR_CALLS.setxattrat),
  getxattrat: path(XATTR_CALLS.getxattrat),
  listxattrat: path(XATTR_CALLS.listxattrat),
  removexattrat: path(XATTR_CALLS.removexattrat),
  file_getattr: path(PATH_CALLS.file_getattr),
  file_setattr: path(PATH_CALLS.file_setattr),
  inotify_add_watch: path(WATCH_CALLS.inotify_add_watch),
  fanotify_mark: (traps, call) =>
    refusedMark(traps.context, call) ?? path(WATCH_CALLS.fanotify_mark)(traps, call),
  acct: withCapability(CAP_SYS_PACCT, PATH_CALLS.acct),
  swapon: withCapability(CAP_SYS_ADMIN, PATH_CALLS.swapon),
  swapoff: withCapability(CAP_SYS_ADMIN, PATH_CALLS.swapoff),
  quotactl: path(PATH_CALLS.quotactl),
  quotactl_fd: ({ paths }, call) => quotaOf(paths, call),
  uselib: path(PATH_CALLS.uselib),
  chroot: mounting(PATH_CALLS.chroot),
  name_to_handle_at: path(PATH_CALLS.name_to_handle_at),
  getdents: ({ paths }, call) => paths.getdents(call),
  getdents64: ({ paths }, call) => paths.getdents(call),
  bind: path(PATH_CALLS.bind),
  connect: path(PATH_CALLS.connect),
  newfstatat: path(PATH_CALLS.newfstatat),
  statx: path(PATH_CALLS.statx),
  fstat: ({ paths }, call) => paths.fstat(call),
  readlink: path(PATH_CALLS.readlink),
  readlinkat: path(PATH_CALLS.readlinkat),
  statfs: path(PATH_CALLS.statfs),
  fstatfs: ({ paths }, call) => paths.fstatfs(call),
  userfaultfd: filling,
  fsopen: filling,
  mount: mounting(PATH_CALLS.mount),
  umount2: mounting(PATH_CALLS.umount2),
  pivot_root: mounting(PATH_CALLS.pivot_root),
  open_tree: mounting(PATH_CALLS.open_tree),
  open_tree_attr: mounting(PATH_CALLS.open_tree_attr),
  fsconfig: mounting(PATH_CALLS.fsconfig),
  move_mount: mounting(PATH_CALLS.move_mount),
  fspick: mounting(PATH_CALLS.fspick),
  mount_setattr: mounting(PATH_CALLS.mount_setattr),
  delete_module: ({ context }, call) => deleteModule(context, call),
  capget: capabilities,
  capset: capabilities,
  getrlimit: lockLimits,
  setrlimit: lockLimits,
  prlimit64: lockLimits,
  io_uring_setup: ({ context }) => {
    context.sayOnce(NO_IO_URING);
    return -HOST_ERRNO.EPERM;
  },
  eventfd: ({ context }, call) => context.eventfds.create(context.transport, call, 0),
  eventfd2: ({ context }, call) => context.eventfds.create(context.transport, call, call.uint(1)),
};

/** The handlers of FOREIGN_CALLS. */
export const FOREIGN_HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [NR_I386.open, ({ context }, call) => foreignOpen(context, call, 0)],
  [NR_I386.openat, ({ context }, call) => foreignOpen(context, call, 1)],
  [NR_I386.execve, foreignExec],
  [NR_I386.execveat, foreignExec],
  [NR_I386.mmap, ({ context }, call) => foreignMmap(context, call, argumentsAt)],
  [NR_I386.mmap2, ({ context }, call) => foreignMmap(context, call, argumentsIn)],
  [NR_I386.mount, filling],
  [NR_I386.kill, signalling],
  [NR_I386.userfaultfd, filling],
  [NR.fsopen, filling],
  [NR.io_uring_setup, HANDLERS.io_uring_setup],
]);
