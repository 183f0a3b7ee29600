/**
 * Typed wrappers over the system calls the host layer uses, one each. Results are as the kernel gives them: a
 * number, negative for an errno. Those that make a descriptor of ours throw Shortage when there is none. Numbers are those
 * of x86-64.
 */
import {
  HostError,
  cString,
  setPointer,
  syscall,
  type Argument,
  type SyscallArgument,
} from './ffi.ts';
import {
  AT_FDCWD,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  HOST_ERRNO,
  MSG_NOSIGNAL,
  NR,
  O_CLOEXEC,
  O_EXCL,
  O_NONBLOCK,
} from './numbers.ts';
import { INOTIFY_WATCHES, notShort, notShortOfWatches } from './shortage.ts';

export const POLLIN = 1;
export const POLLOUT = 4;
const POLLHUP = 0x10;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;
/** IN_CLOSE_WRITE | IN_CLOSE_NOWRITE */
const IN_CLOSE = 0x18;
const PIDFD_THREAD = O_EXCL;
const KCMP_VM = 1;
export const WNOHANG = 1;
/** Children of every kind, clones too. */
export const WALL = 0x40000000;

/** open(2): a descriptor, or minus an errno. */
export function open(path: string, flags: number, mode = 0): number {
  return notShort(syscall(NR.open, cString(path), flags, mode));
}
/** openat2(2) of a path without links in it; minus an errno, ENOSYS before Linux 5.6 too. */
export function openWithoutLinks(path: string, flags: number): number {
  const RESOLVE_NO_MAGICLINKS = 2n;
  const RESOLVE_NO_SYMLINKS = 4n;
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0);
  how.writeBigUInt64LE(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS, 16);
  return notShort(syscall(NR.openat2, AT_FDCWD, cString(path), how, how.length));
}
/** close(2) */
export function close(fd: number): void {
  syscall(NR.close, fd);
}
/** read(2): bytes, or minus an errno. */
export function read(fd: number, into: Uint8Array): number {
  return syscall(NR.read, fd, into, into.length);
}
/** write(2): bytes, or minus an errno. */
export function write(fd: number, from: Uint8Array): number {
  return syscall(NR.write, fd, from, from.length);
}
/** pread(2) at a byte offset. */
export function pread(fd: number, into: Uint8Array, at: SyscallArgument): number {
  return syscall(NR.pread64, fd, into, into.length, at);
}
/** pwrite(2) at a byte offset. */
export function pwrite(fd: number, from: Uint8Array, at: SyscallArgument): number {
  return syscall(NR.pwrite64, fd, from, from.length, at);
}
/** lseek(2) to the start. */
export function rewind(fd: number): void {
  syscall(NR.lseek, fd, 0, 0);
}
/** ioctl(2) */
export function ioctl(fd: number, command: number, arg: Argument): number {
  return syscall(NR.ioctl, fd, command, arg);
}
/** memfd_create(2): closed by exec. */
export const MFD_CLOEXEC = 1;
/** memfd_create(2): seals may be added. */
export const MFD_ALLOW_SEALING = 2;
/** memfd_create(2): a descriptor, or minus an errno. */
export function memfdCreate(name: string, flags = MFD_CLOEXEC): number {
  return notShort(syscall(NR.memfd_create, cString(name), flags));
}
/** ftruncate(2): bytes. */
export function ftruncate(fd: number, length: SyscallArgument): number {
  return syscall(NR.ftruncate, fd, length);
}
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Where a sparse file has bytes, [start, end) each, ascending. */
export function* dataIn(fd: number): Generator<readonly [start: number, end: number]> {
  for (let at = 0; ;) {
    const start = syscall(NR.lseek, fd, at, SEEK_DATA);
    if (start < 0) return;
    const end = syscall(NR.lseek, fd, start, SEEK_HOLE);
    if (end < 0) return;
    yield [start, end];
    at = end;
  }
}
/** The first `length` bytes of a file are holes, and read as 0: 0, or minus an errno. */
export function punchHole(fd: number, length: number): number {
  return syscall(NR.fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, length);
}
/** eventfd2(2): a descriptor, or minus an errno. */
export function eventfd2(value: number, flags: number): number {
  return notShort(syscall(NR.eventfd2, value, flags));
}
/** pipe2(2): both ends, or minus an errno. */
export function pipe2(flags: number): [readEnd: number, writeEnd: number] | number {
  const ends = Buffer.alloc(8);
  const rc = notShort(syscall(NR.pipe2, ends, flags));
  return rc < 0 ? rc : [ends.readInt32LE(0), ends.readInt32LE(4)];
}
/** A pair of stream sockets, or minus an errno. */
export function socketpair(): [number, number] | number {
  const ends = Buffer.alloc(8);
  const rc = notShort(syscall(NR.socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
  return rc < 0 ? rc : [ends.readInt32LE(0), ends.readInt32LE(4)];
}
/** Has the other end of a socket gone, now or in so many milliseconds? */
export function isHungUp(fd: number, ms: number): boolean {
  const found = poll(fd, 0, ms);
  return found > 0 && (found & POLLHUP) !== 0;
}
const polled = Buffer.alloc(8);
/** poll(2) of one descriptor, for so many milliseconds: which of these events, of errors and of its end there are, or minus an errno. */
export function poll(fd: number, events: number, ms = 0): number {
  polled.writeInt32LE(fd, 0);
  polled.writeInt32LE(events, 4); // and none found
  const rc = syscall(NR.poll, polled, 1, ms);
  return rc < 0 ? rc : polled.readUInt16LE(6);
}
/** FD_CLOEXEC of a descriptor. */
export function setCloexec(fd: number, on: boolean): void {
  syscall(NR.fcntl, fd, F_SETFD, on ? FD_CLOEXEC : 0);
}
/** pidfd_open(2): readable once the process has ended; minus an errno. */
export function pidfdOpen(pid: number): number {
  return notShort(syscall(NR.pidfd_open, pid, 0));
}
/** pidfd_getfd(2): another process's descriptor as one of ours, or minus an errno. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return notShort(syscall(NR.pidfd_getfd, pidfd, fd, 0));
}
/** pidfd_open(2) of one thread (Linux 6.9), for its own table of descriptors; minus an errno. */
export function pidfdOpenThread(tid: number): number {
  return notShort(syscall(NR.pidfd_open, tid, PIDFD_THREAD));
}
/** kcmp(2): do two threads have one address space? Undefined: we may not ask. */
export function sharesMemory(tid: number, other: number): boolean | undefined {
  const order = syscall(NR.kcmp, tid, other, KCMP_VM);
  return order < 0 ? undefined : order === 0;
}
/** kill(2) */
export function kill(pid: number, signal: number): number {
  return syscall(NR.kill, pid, signal);
}

/** A signal with what sigqueue(3) gave it, which makes it ours to say; any other is as of kill(2). */
export function forwardSignal(
  pid: number,
  { signal, code = 0, value = 0n }: { signal: number; code?: number; value?: bigint },
): void {
  if (code !== SI_QUEUE) {
    kill(pid, signal);
    return;
  }
  const info = Buffer.alloc(128);
  info.writeInt32LE(signal, 0);
  info.writeInt32LE(code, 8);
  info.writeInt32LE(process.pid, 16);
  info.writeUInt32LE(process.getuid?.() ?? 0, 20);
  info.writeBigUInt64LE(value, 24);
  syscall(NR.rt_sigqueueinfo, pid, signal, info);
}
const SI_QUEUE = -1;

const linkBytes = Buffer.alloc(4096);
/** The text of a symbolic link, or minus an errno. */
export function readlink(path: string): string | number {
  const length = syscall(NR.readlink, cString(path), linkBytes, linkBytes.length);
  return length < 0 ? length : linkBytes.toString('utf8', 0, length);
}
/** Is there something we can see at this path? */
export function exists(path: string): boolean {
  return syscall(NR.access, cString(path), 0) === 0;
}

/** An inotify descriptor that never waits. */
export function inotifyInit(): number {
  return notShort(syscall(NR.inotify_init1, O_CLOEXEC | O_NONBLOCK));
}
/** Watch for the last close of open files of this inode. */
export function watchClose(inotify: number, path: string): number {
  const watch = syscall(NR.inotify_add_watch, inotify, cString(path), IN_CLOSE);
  return notShortOfWatches(watch, INOTIFY_WATCHES);
}
/** Watch descriptors with an event since the last look. */
export function readInotify(inotify: number): { watch: number; gone: boolean }[] {
  const events: { watch: number; gone: boolean }[] = [];
  for (;;) {
    const length = read(inotify, linkBytes);
    if (length <= 0) return events;
    for (let at = 0; at < length; at += 16 + linkBytes.readUInt32LE(at + 12)) {
      const mask = linkBytes.readUInt32LE(at + 4);
      events.push({ watch: linkBytes.readInt32LE(at), gone: (mask & IN_CLOSE) !== 0 });
    }
  }
}
/** End a watch. */
export function unwatch(inotify: number, watch: number): void {
  syscall(NR.inotify_rm_watch, inotify, watch);
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
  /** Milliseconds, or -1 for ever. HostError: there are more descriptors to wait on than softiommu may have open. */
  wait(timeoutMs: number): number {
    const ready = syscall(NR.poll, this.#entries, this.#count, timeoutMs);
    if (ready >= 0 || ready === -HOST_ERRNO.EINTR) return ready;
    throw new HostError(
      `softiommu cannot wait any more (errno ${-ready}): raise its limit of open files`,
    );
  }
  events(index: number): number {
    return this.#entries.readUInt16LE(index * 8 + 6);
  }
}

const waitStatus = Buffer.alloc(4);
/** wait4(pid, WNOHANG | __WALL): undefined when nothing happened, minus an errno when there is no child. */
export function waitNow(pid: number): { pid: number; status: number } | undefined {
  return waitWith(pid, WNOHANG | WALL);
}
/** The same, until it happens: our own SIGCHLD ends no wait. */
export function waitFor(pid: number): { pid: number; status: number } | undefined {
  return waitWith(pid, WALL);
}
function waitWith(pid: number, flags: number): { pid: number; status: number } | undefined {
  let got: number;
  do got = syscall(NR.wait4, pid, waitStatus, flags, 0);
  while (got === -HOST_ERRNO.EINTR);
  return got > 0 ? { pid: got, status: waitStatus.readInt32LE(0) } : undefined;
}

/** The thread sleeps so long, or until a signal comes. */
export function sleepMs(ms: number): void {
  syscall(NR.poll, 0, 0, ms);
}
/** Take the ends of all children that have ended. False: there is no child left. */
export function reapChildren(ended: (pid: number, status: number) => void): boolean {
  for (;;) {
    const got = syscall(NR.wait4, -1, waitStatus, WNOHANG | WALL, 0);
    if (got <= 0) return got === 0;
    ended(got, waitStatus.readInt32LE(0));
  }
}

/** Nanoseconds of CLOCK_MONOTONIC. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

/** Pass one descriptor over a socket. */
export function sendFd(socket: number, fd: number): number {
  const { header, descriptor } = preparedMessage();
  descriptor.writeInt32LE(fd, 0);
  return syscall(NR.sendmsg, socket, header, MSG_NOSIGNAL);
}
/** A message that lacks nothing but its descriptor and its number. */
export function preparedMessage(): FdMessage {
  const message = newMessage();
  const { control } = message;
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  message.descriptor.writeInt32LE(-1, 0);
  return message;
}
/** Receive one descriptor and the number with it; a message without one, or end of file, gives -EBADF. */
export function receiveFd(socket: number): { readonly fd: number; readonly number: number } {
  const { header, descriptor, number } = newMessage();
  const length = syscall(NR.recvmsg, socket, header, MSG_CMSG_CLOEXEC);
  if (length < 0) return { fd: length, number: 0 };
  const got = length === FD_MESSAGE_LENGTH && header.readBigUInt64LE(40) >= 20n;
  const fd = got ? descriptor.readInt32LE(0) : -HOST_ERRNO.EBADF;
  return { fd, number: number.readInt32LE(0) };
}
/** Bytes of data in such a message. */
export const FD_MESSAGE_LENGTH = 4;
/** struct msghdr of a number and a descriptor, 32 bits each. */
export interface FdMessage {
  readonly header: Buffer;
  readonly control: Buffer;
  readonly number: Buffer;
  /** In the control data. */
  readonly descriptor: Buffer;
}
function newMessage(): FdMessage {
  const number = Buffer.alloc(FD_MESSAGE_LENGTH);
  const control = Buffer.alloc(24);
  const header = Buffer.alloc(56);
  setPointer(header, 16, iovec(number));
  header.writeBigUInt64LE(1n, 24);
  setPointer(header, 32, control);
  header.writeBigUInt64LE(24n, 40);
  return { header, control, number, descriptor: control.subarray(16) };
}
/** struct iovec of bytes of ours. */
export function iovec(bytes: Uint8Array): Buffer {
  const iov = Buffer.alloc(16);
  setPointer(iov, 0, bytes);
  iov.writeBigUInt64LE(BigInt(bytes.length), 8);
  return iov;
}
/** struct iovec of a program's memory, or of nothing. */
export function remoteIovec(address: bigint, length: number): Buffer {
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(address, 0);
  iov.writeBigUInt64LE(BigInt(length), 8);
  return iov;
}

/** fcntl-free uname, for the doctor. */
export function kernelRelease(): string {
  const name = Buffer.alloc(390);
  syscall(NR.uname, name);
  return name.toString('latin1', 130, name.indexOf(0, 130));
}

/** dup(2), close-on-exec. */
export function duplicate(fd: number): number {
  return notShort(syscall(NR.fcntl, fd, F_DUPFD_CLOEXEC, 0));
}
