/**
 * Lines of ours where nothing may wait: a terminal that is stopped, or a pipe that is full, takes them later.
 *
 * The description behind standard error is the program's as well, so it is not made non-blocking: it is opened once more.
 * Where that is forbidden we ask before each write, and another writer may still come between.
 */
import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';
import { cString, syscall } from './ffi.ts';
import { poll, POLLOUT } from './libc.ts';
import {
  HOST_ERRNO,
  MSG_NOSIGNAL,
  NR,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  O_WRONLY,
  SIG_SETMASK,
  SIGTTOU,
} from './numbers.ts';

const MSG_DONTWAIT = 0x40;
const SIG_BLOCK = 0;
/** In a poll's result: bytes are taken, or the write says why not. */
const ANSWERS = 0x1c;
/** PIPE_BUF: a pipe with room has room for so much. */
const PIPE_BUF = 4096;

/** A write that does not wait: bytes, or minus an errno. */
type Write = (bytes: Uint8Array) => number;

const ways = new Map<number, Write>();

/** As much as is taken now: bytes, or minus an errno. EAGAIN: later. */
export function writeNow(fd: number, bytes: Uint8Array): number {
  let way = ways.get(fd);
  if (!way) ways.set(fd, (way = wayTo(fd)));
  return way(bytes);
}

function wayTo(fd: number): Write {
  const direct: Write = (bytes) => syscall(NR.write, fd, bytes, bytes.length);
  const stat = statOf(fd);
  if (stat?.isSocket() === true) {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    return (bytes) => syscall(NR.sendto, fd, bytes, bytes.length, flags, 0, 0);
  }
  const isTerminal = isatty(fd);
  if (stat?.isFIFO() !== true && !isTerminal) return direct;
  const how = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  const own = syscall(NR.open, cString(`/proc/self/fd/${fd}`), how, 0);
  const write: Write =
    own < 0 ? whenReady(fd) : (bytes) => syscall(NR.write, own, bytes, bytes.length);
  return isTerminal ? unstopped(write) : write;
}
function statOf(fd: number) {
  try {
    return fstatSync(fd);
  } catch {
    return undefined; // it is closed, as the write will say
  }
}

function whenReady(fd: number): Write {
  return (bytes) => {
    const found = poll(fd, POLLOUT);
    if (found < 0 || (found & ANSWERS) === 0) return -HOST_ERRNO.EAGAIN;
    return syscall(NR.write, fd, bytes, Math.min(bytes.length, PIPE_BUF));
  };
}

/** A terminal with `tostop` stops who writes from the background, but for threads that do not hear of it. */
function unstopped(write: Write): Write {
  const only = Buffer.alloc(8);
  only.writeBigUInt64LE(1n << BigInt(SIGTTOU - 1));
  const before = Buffer.alloc(8);
  return (bytes) => {
    syscall(NR.rt_sigprocmask, SIG_BLOCK, only, before, 8);
    const done = write(bytes);
    syscall(NR.rt_sigprocmask, SIG_SETMASK, before, 0, 8);
    return done;
  };
}
