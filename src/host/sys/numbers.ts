/**
 * Numbers of the host's x86-64 ABI, and our own marks in arguments the kernel does not look at.
 */
import { ERRNO_NUMBERS } from '../../base/errno.ts';

/** System calls, by number. */
export const NR = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  stat: 4,
  fstat: 5,
  lstat: 6,
  poll: 7,
  lseek: 8,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  brk: 12,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  ioctl: 16,
  pread64: 17,
  pwrite64: 18,
  readv: 19,
  writev: 20,
  access: 21,
  mremap: 25,
  madvise: 28,
  shmat: 30,
  getpid: 39,
  socket: 41,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  recvmsg: 47,
  recvmmsg: 299,
  sendmmsg: 307,
  bind: 49,
  listen: 50,
  socketpair: 53,
  clone: 56,
  execve: 59,
  exit: 60,
  wait4: 61,
  kill: 62,
  uname: 63,
  shmdt: 67,
  fcntl: 72,
  flock: 73,
  truncate: 76,
  ftruncate: 77,
  getdents: 78,
  getcwd: 79,
  chdir: 80,
  fchdir: 81,
  rename: 82,
  mkdir: 83,
  rmdir: 84,
  creat: 85,
  link: 86,
  unlink: 87,
  symlink: 88,
  readlink: 89,
  chmod: 90,
  fchmod: 91,
  chown: 92,
  fchown: 93,
  lchown: 94,
  getrlimit: 97,
  ptrace: 101,
  setpgid: 109,
  getpgid: 121,
  getsid: 124,
  capget: 125,
  capset: 126,
  rt_sigqueueinfo: 129,
  utime: 132,
  mknod: 133,
  uselib: 134,
  statfs: 137,
  fstatfs: 138,
  pivot_root: 155,
  prctl: 157,
  setrlimit: 160,
  chroot: 161,
  acct: 163,
  mount: 165,
  umount2: 166,
  swapon: 167,
  swapoff: 168,
  delete_module: 176,
  quotactl: 179,
  quotactl_fd: 443,
  gettid: 186,
  setxattr: 188,
  lsetxattr: 189,
  fsetxattr: 190,
  getxattr: 191,
  lgetxattr: 192,
  fgetxattr: 193,
  listxattr: 194,
  llistxattr: 195,
  flistxattr: 196,
  removexattr: 197,
  lremovexattr: 198,
  fremovexattr: 199,
  tkill: 200,
  getdents64: 217,
  timer_create: 222,
  timer_settime: 223,
  exit_group: 231,
  epoll_wait: 232,
  epoll_ctl: 233,
  utimes: 235,
  waitid: 247,
  inotify_add_watch: 254,
  inotify_rm_watch: 255,
  openat: 257,
  mkdirat: 258,
  mknodat: 259,
  fchownat: 260,
  futimesat: 261,
  newfstatat: 262,
  unlinkat: 263,
  renameat: 264,
  linkat: 265,
  symlinkat: 266,
  readlinkat: 267,
  fchmodat: 268,
  faccessat: 269,
  unshare: 272,
  vmsplice: 278,
  utimensat: 280,
  timerfd_create: 283,
  eventfd: 284,
  fallocate: 285,
  timerfd_settime: 286,
  accept4: 288,
  signalfd4: 289,
  eventfd2: 290,
  epoll_create1: 291,
  dup3: 292,
  pipe2: 293,
  inotify_init1: 294,
  preadv: 295,
  pwritev: 296,
  rt_tgsigqueueinfo: 297,
  fanotify_mark: 301,
  prlimit64: 302,
  name_to_handle_at: 303,
  process_vm_readv: 310,
  process_vm_writev: 311,
  kcmp: 312,
  renameat2: 316,
  seccomp: 317,
  memfd_create: 319,
  execveat: 322,
  userfaultfd: 323,
  preadv2: 327,
  pwritev2: 328,
  statx: 332,
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fspick: 433,
  pidfd_open: 434,
  openat2: 437,
  pidfd_getfd: 438,
  faccessat2: 439,
  process_madvise: 440,
  mount_setattr: 442,
  fchmodat2: 452,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
} as const;

/** System calls of i386, which programs of 32 bits make: those since 2019 have the numbers they have here. */
export const NR_I386 = {
  open: 5,
  execve: 11,
  mount: 21,
  kill: 37,
  mmap: 90,
  mmap2: 192,
  openat: 295,
  execveat: 358,
  userfaultfd: 374,
} as const;

/** Errnos as numbers: the kernel layers' own, and those that only the host speaks of. */
export const HOST_ERRNO = {
  ...ERRNO_NUMBERS,
  ENOEXEC: 8,
  ECHILD: 10,
  ENOTBLK: 15,
  ENODATA: 61,
  EPROTOTYPE: 91,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ENOTCONN: 107,
  ECONNREFUSED: 111,
} as const;

/** memfd_create(2): of huge pages. */
export const MFD_HUGETLB = 4;

/** mmap(2) */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_READ_WRITE = 3;
/** mmap(2): changes are the file's. */
export const MAP_SHARED = 1;
/** mmap(2): changes stay with the process. */
export const MAP_PRIVATE = 2;
/** mmap(2): in the place of what is there. */
export const MAP_FIXED = 0x10;
/** mmap(2): at that place, or nowhere. */
export const MAP_FIXED_NOREPLACE = 0x100000;
/** mmap(2): of no file. */
export const MAP_ANONYMOUS = 0x20;
/** mmap(2): nothing is set aside for it. */
export const MAP_NORESERVE = 0x4000;
/** mmap(2): of huge pages. */
export const MAP_HUGETLB = 0x40000;

/** open(2): the bits that say what for; 0 is reading. */
export const O_ACCMODE = 3;
/** open(2) */
export const O_RDONLY = 0;
/** open(2): for writing only. */
export const O_WRONLY = 1;
/** open(2): for both. */
export const O_RDWR = 2;
/** open(2): make it when it is not there. */
export const O_CREAT = 0o100;
/** open(2): with O_CREAT, fail when it is there. */
export const O_EXCL = 0o200;
/** open(2): empty it. */
export const O_TRUNC = 0o1000;
/** open(2): calls that would wait are EAGAIN. */
export const O_NOCTTY = 0o400;
export const O_NONBLOCK = 0o4000;
/** open(2): only a directory. */
export const O_DIRECTORY = 0o200000;
/** open(2): not through a last link. */
export const O_NOFOLLOW = 0o400000;
/** open(2): closed by exec. */
export const O_CLOEXEC = 0o2000000;
/** open(2): name it and no more. */
export const O_PATH = 0o10000000;

/** Out-of-band data, and another size of a window: they mean nothing to most programs, and a debugger passes them on. */
export const SIGURG = 23;
/** Stops a program, and cannot be held back. */
export const SIGSTOP = 19;
export const SIGSYS = 31;
/** See SIGURG. */
export const SIGWINCH = 28;
/** Signals that call a thread, through its tracer, to do something for us; the last is for one that holds back the others. */
export const KNOCKS = [SIGURG, SIGWINCH, SIGSTOP] as const;

/** ptrace(2): requests that a tracer begins and ends with. */
export const PTRACE = { traceMe: 0, attach: 16, detach: 17, seize: 0x4206 } as const;

/** Cannot be caught. */
export const SIGKILL = 9;
/** What a signal can mean but a handler. */
export const SIG_DFL = 0n;
/** It is dropped. */
export const SIG_IGN = 1n;
/** An access to what has no memory behind it. */
export const SIGILL = 4;
export const SIGBUS = 7;
export const SIGSEGV = 11;
/** Time that a profile is taken at. */
export const SIGPROF = 27;
/** A step, for a tracer. */
export const SIGTRAP = 5;
/** Asks for the end. */
export const SIGTERM = 15;
/** A child has ended or stopped. */
export const SIGCHLD = 17;
/** Nobody reads what is written. */
export const SIGPIPE = 13;

/** A background process writes to its terminal. */
export const SIGTTOU = 22;
/** A file would become too long. */
export const SIGXFSZ = 25;
/** rt_sigprocmask(2): exactly these are blocked. */
export const SIG_SETMASK = 2;

/** clone(2): in the memory of the parent. */
export const CLONE_VM = 0x100;
/** clone(2): the parent waits until the child executes a program or ends. */
export const CLONE_VFORK = 0x4000;
/** sendmsg(2): EPIPE, but no signal, when nobody is at the other end. */
export const MSG_NOSIGNAL = 0x4000;

/** The current directory, where a descriptor of a directory is asked for. */
export const AT_FDCWD = -100;
/** With an empty path the descriptor itself is meant. */
export const AT_EMPTY_PATH = 0x1000;
/** Advices of madvise(2) and process_madvise(2) that take pages away. */
export const MADV = {
  dontNeed: 4,
  free: 8,
  remove: 9,
  dontNeedLocked: 24,
  guardInstall: 102,
} as const;
/** madvise(2): touch every page of a range, as loads or as stores would. */
export const MADV_POPULATE = { read: 22, write: 23 } as const;
/** Of shmat. */
export const SHM_REMAP = 0o40000;
/** struct uffdio_move of linux/userfaultfd.h: dst, src, len, mode, move. */
export const UFFDIO_MOVE = 0xc028aa05;
/** Of /dev/userfaultfd: what the system call gives. */
export const USERFAULTFD_IOC_NEW = 0xaa00;
/** The kernel makes the call again: of calls that return it, and of none that a program sees. */
export const ERESTARTNOINTR = 513;

/** In the upper half of the descriptor, which the kernel does not look at, of mappings made by injection. */
export const INJECTED_MMAP = 0x50f7_1001n;
/** In the upper half of the sixth argument, which the other calls made by injection do not have. */
export const INJECTED_CALL = 0x50f7_1002n;

/** PR_SET_PDEATHSIG of prctl(2): the signal we get when our parent dies. */
export const PR_SET_PDEATHSIG = 1;
/** PR_SET_CHILD_SUBREAPER of prctl(2): orphans among our descendants become our children. */
export const PR_SET_CHILD_SUBREAPER = 36;
/** PR_SET_NO_NEW_PRIVS of prctl(2): exec gives no rights any more. */
export const PR_SET_NO_NEW_PRIVS = 38;
/** Resources of prlimit64(2). */
export const RLIMIT = { core: 4, openFiles: 7, memlock: 8 } as const;

/** flock(2) */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
/** fallocate(2) */
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
