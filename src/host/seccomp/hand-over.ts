/** Descriptors of ours that become a program's. */
import * as libc from '../sys/libc.ts';
import type { FdInstaller, Notification } from './notification.ts';

/** Give the caller a descriptor for an open file of ours, and close our own: its number there, or minus an errno. */
export function handOver(
  transport: FdInstaller,
  call: Notification,
  fd: number,
  cloexec: boolean,
): number {
  const theirs = transport.addFd(call, fd, { cloexec });
  libc.close(fd);
  return theirs;
}
