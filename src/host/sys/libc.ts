/**
 * Typed wrappers over the system calls the host layer uses, one each. Results are as the kernel gives them: a
 * number, negative for an errno. Numbers are those of x86-64.
 */
import { addressOf, cString, syscall } from './ffi.ts';
import type { Word } from './ffi.ts';

export const NR = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  stat: 4,
  fstat: 5,
  lstat: 6,
  poll: 7,
  mmap: 9,
  munmap: 11,
  brk: 12,
  ioctl: 16,
  pread64: 17,
  pwrite64: 18,
  readv: 19,
  writev: 20,
  access: 21,
  mremap: 25,
  madvise: 28,
  shmat: 30,
  sendmsg: 46,
  execve: 59,
  exit: 60,
  shmdt: 67,
  fcntl: 72,
  truncate: 76,
  ftruncate: 77,
  getcwd: 79,
  chdir: 80,
  fchdir: 81,
  creat: 85,
  readlink: 89,
  ptrace: 101,
  statfs: 137,
  prctl: 157,
  mount: 165,
  umount2: 166,
  capget: 125,
  capset: 126,
  getxattr: 191,
  lgetxattr: 192,
  listxattr: 194,
  llistxattr: 195,
  exit_group: 231,
  inotify_add_watch: 254,
  openat: 257,
  newfstatat: 262,
  readlinkat: 267,
  faccessat: 269,
  unshare: 272,
  eventfd: 284,
  fallocate: 285,
  eventfd2: 290,
  preadv: 295,
  pwritev: 296,
  process_vm_readv: 310,
  process_vm_writev: 311,
  seccomp: 317,
  memfd_create: 319,
  execveat: 322,
  preadv2: 327,
  pwritev2: 328,
  statx: 332,
  pidfd_open: 434,
  openat2: 437,
  pidfd_getfd: 438,
  faccessat2: 439,
  process_madvise: 440,
} as const;

/** Numbers of errnos that only the host speaks of; the kernel layers' own are in base/errno.ts. */
export const HOST_ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ESPIPE: 29,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENODATA: 61,
  EOPNOTSUPP: 95,
} as const;

/** Of mmap. */
export const MAP_FIXED = 0x10;

export const O_ACCMODE = 3;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const SIGKILL = 9;
export const SIGBUS = 7;
export const SIGTRAP = 5;
export const SIGCHLD = 17;
export const SIGPIPE = 13;

const POLLIN = 1;
/** A string whose bytes must live through the call. */
function withPath(text: string, call: (address: number) => number): number {
  const bytes = cString(text);
  const result = call(addressOf(bytes));
  return bytes.length > 0 ? result : 0;
}

export function open(path: string, flags: number, mode = 0): number {
  return withPath(path, (at) => syscall(NR.open, at, flags, mode));
}
export function close(fd: number): void {
  syscall(NR.close, fd);
}
export function read(fd: number, into: Uint8Array): number {
  return syscall(NR.read, fd, addressOf(into), into.length);
}
export function write(fd: number, from: Uint8Array): number {
  return syscall(NR.write, fd, addressOf(from), from.length);
}
export function pread(fd: number, into: Uint8Array, at: Word): number {
  return syscall(NR.pread64, fd, addressOf(into), into.length, at);
}
export function pwrite(fd: number, from: Uint8Array, at: Word): number {
  return syscall(NR.pwrite64, fd, addressOf(from), from.length, at);
}
export function ioctl(fd: number, command: number, arg: Word): number {
  return syscall(NR.ioctl, fd, command, arg);
}
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_HUGETLB = 4;
export function memfdCreate(name: string, flags = MFD_CLOEXEC): number {
  return withPath(name, (at) => syscall(NR.memfd_create, at, flags));
}
export function ftruncate(fd: number, length: Word): number {
  return syscall(77, fd, length);
}
export function eventfd2(value: number, flags: number): number {
  return syscall(NR.eventfd2, value, flags);
}
export function pipe2(flags: number): [readEnd: number, writeEnd: number] | number {
  const ends = Buffer.alloc(8);
  const rc = syscall(293, addressOf(ends), flags);
  return rc < 0 ? rc : [ends.readInt32LE(0), ends.readInt32LE(4)];
}
export function socketpair(): [number, number] | number {
  const ends = Buffer.alloc(8);
  const rc = syscall(53, 1, 1, 0, addressOf(ends));
  return rc < 0 ? rc : [ends.readInt32LE(0), ends.readInt32LE(4)];
}
export function setCloexec(fd: number, on: boolean): void {
  syscall(NR.fcntl, fd, 2, on ? 1 : 0);
}
export function pidfdOpen(pid: number): number {
  return syscall(NR.pidfd_open, pid, 0);
}
export function pidfdGetfd(pidfd: number, fd: number): number {
  return syscall(NR.pidfd_getfd, pidfd, fd, 0);
}
export function kill(pid: number, signal: number): number {
  return syscall(62, pid, signal);
}

const linkBytes = Buffer.alloc(4096);
/** The text of a symbolic link, or minus an errno. */
export function readlink(path: string): string | number {
  const length = withPath(path, (at) =>
    syscall(NR.readlink, at, addressOf(linkBytes), linkBytes.length),
  );
  return length < 0 ? length : linkBytes.toString('utf8', 0, length);
}
export function exists(path: string): boolean {
  return withPath(path, (at) => syscall(NR.access, at, 0)) === 0;
}

export function inotifyInit(): number {
  return syscall(294, O_CLOEXEC | O_NONBLOCK);
}
/** Watch for the last close of open files of this inode. */
export function watchClose(inotify: number, path: string): number {
  return withPath(path, (at) => syscall(NR.inotify_add_watch, inotify, at, 0x18));
}
/** Watch descriptors with an event since the last look. */
export function readInotify(inotify: number): { watch: number; gone: boolean }[] {
  const events: { watch: number; gone: boolean }[] = [];
  for (;;) {
    const length = read(inotify, linkBytes);
    if (length <= 0) return events;
    for (let at = 0; at < length; at += 16 + linkBytes.readUInt32LE(at + 12)) {
      const mask = linkBytes.readUInt32LE(at + 4);
      events.push({ watch: linkBytes.readInt32LE(at), gone: (mask & 0x18) !== 0 });
    }
  }
}
export function unwatch(inotify: number, watch: number): void {
  syscall(255, inotify, watch);
}

/** Wait until one of the descriptors is readable or hung up. The result holds their poll events, in order. */
export class Poller {
  #entries = Buffer.alloc(8 * 16);
  #count = 0;
  set(fds: readonly number[]): void {
    if (fds.length * 8 > this.#entries.length) this.#entries = Buffer.alloc(fds.length * 16);
    this.#count = fds.length;
    fds.forEach((fd, index) => {
      this.#entries.writeInt32LE(fd, index * 8);
      this.#entries.writeInt32LE(POLLIN, index * 8 + 4);
    });
  }
  /** Milliseconds, or -1 for ever. */
  wait(timeoutMs: number): number {
    return syscall(NR.poll, addressOf(this.#entries), this.#count, timeoutMs);
  }
  events(index: number): number {
    return this.#entries.readUInt16LE(index * 8 + 6);
  }
}

const waitStatus = Buffer.alloc(4);
/** wait4(pid, WNOHANG | __WALL): undefined when nothing happened, minus an errno when there is no child. */
export function waitNow(pid: number): { pid: number; status: number } | undefined {
  return waitWith(pid, 0x40000001);
}
/** The same, until it happens. */
export function waitFor(pid: number): { pid: number; status: number } | undefined {
  return waitWith(pid, 0x40000000);
}
function waitWith(pid: number, flags: number): { pid: number; status: number } | undefined {
  const got = syscall(61, pid, addressOf(waitStatus), flags, 0);
  return got > 0 ? { pid: got, status: waitStatus.readInt32LE(0) } : undefined;
}

export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

/** Pass one descriptor over a socket. */
export function sendFd(socket: number, fd: number): number {
  const message = preparedMessage();
  message.keep.control.writeInt32LE(fd, 16);
  return syscall(NR.sendmsg, socket, message.at, 0);
}
/** A message that lacks nothing but the number of the descriptor. */
export function preparedMessage(): { at: number; descriptorAt: number; keep: FdMessage } {
  const message = newMessage();
  const { control } = message;
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(1, 8); // SOL_SOCKET
  control.writeInt32LE(1, 12); // SCM_RIGHTS
  const descriptorAt = addressOf(control) + 16;
  return { at: addressOf(message.header), descriptorAt, keep: message };
}
/** Receive one descriptor; a message without one, or end of file, gives -EBADF. */
export function receiveFd(socket: number): number {
  const message = newMessage();
  const length = syscall(47, socket, addressOf(message.header), 0x40000000);
  if (length < 0) return length;
  const got = length > 0 && message.header.readBigUInt64LE(40) >= 20n;
  return got ? message.control.readInt32LE(16) : -HOST_ERRNO.EBADF;
}
/** struct msghdr of one byte and one descriptor, with what it points to: whoever uses its address keeps all of it. */
export interface FdMessage {
  readonly header: Buffer;
  readonly control: Buffer;
  readonly data: readonly Buffer[];
}
function newMessage(): FdMessage {
  const byte = Buffer.from('x');
  const iov = iovec(addressOf(byte), 1);
  const control = Buffer.alloc(24);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(addressOf(iov)), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(addressOf(control)), 32);
  header.writeBigUInt64LE(24n, 40);
  return { header, control, data: [byte, iov] };
}
/** struct iovec. */
export function iovec(address: number | bigint, length: number | bigint): Buffer {
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(BigInt(address), 0);
  iov.writeBigUInt64LE(BigInt(length), 8);
  return iov;
}

/** fcntl-free uname, for the doctor. */
export function kernelRelease(): string {
  const name = Buffer.alloc(390);
  syscall(63, addressOf(name));
  return name.toString('latin1', 130, name.indexOf(0, 130));
}

/** dup(2), close-on-exec. */
export function duplicate(fd: number): number {
  return syscall(NR.fcntl, fd, 1030, 0);
}
