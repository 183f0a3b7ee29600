/**
 * Things done to open file descriptions, so that the host's kernel treats ours as the simulated one would.
 *
 * At the last position a file can have, read(2) and write(2) are EINVAL: what the kernel answers for a file that has
 * neither. And a lock that belongs to a description tells whether that still exists, mappings included.
 */
import { syscall } from './ffi.ts';
import { close, open } from './libc.ts';
import { NR, O_CLOEXEC, O_RDWR } from './numbers.ts';

const LAST_POSITION = (1n << 63n) - 1n;
/** fcntl(2) */
export const F_ADD_SEALS = 1033;
/** fcntl(2) */
export const F_GET_SEALS = 1034;
/** fcntl(2), since Linux 6.19: a lease of a directory. */
export const F_SETDELEG = 1040;
/** F_SEAL_… of a memfd. */
export const SEAL = { seal: 1, shrink: 2, grow: 4, write: 8, futureWrite: 16, exec: 32 } as const;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

/** Put the position where read(2) and write(2) are EINVAL. The position, or minus an errno. */
export function refuseReadAndWrite(fd: number): number {
  return syscall(NR.lseek, fd, LAST_POSITION, 0);
}
/** May a file not be written through descriptors? */
export function isSealedForWriting(fd: number): boolean {
  const seals = syscall(NR.fcntl, fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & (SEAL.write | SEAL.futureWrite)) !== 0;
}
/** Nobody can undo it. */
export function seal(fd: number, seals: number): number {
  return syscall(NR.fcntl, fd, F_ADD_SEALS, seals | SEAL.seal);
}

const lock = Buffer.alloc(32);
/** struct flock of one byte. */
function flockOf(byte: number, kind: number): Buffer {
  lock.fill(0).writeInt16LE(kind, 0);
  lock.writeBigInt64LE(BigInt(byte), 8);
  lock.writeBigInt64LE(1n, 16);
  return lock;
}
/**
 * An open file description of its own for a file of ours, of this access mode, marked: it lives as long as what is mapped through
 * it.
 */
export function reopenMarked(file: number, mark: number, access = O_RDWR): number {
  const fd = open(`/proc/self/fd/${file}`, access | O_CLOEXEC);
  const rc = fd < 0 ? fd : markDescription(fd, mark);
  if (rc >= 0) return fd;
  if (fd >= 0) close(fd);
  return rc;
}
/** Mark a description that may be read: the byte is locked as long as it lives. */
function markDescription(fd: number, byte: number): number {
  return syscall(NR.fcntl, fd, F_OFD_SETLK, flockOf(byte, F_RDLCK));
}
/** Does the description that marked this byte of the file still live? Asked through another one. */
export function descriptionLives(fd: number, byte: number): boolean {
  const rc = syscall(NR.fcntl, fd, F_OFD_GETLK, flockOf(byte, F_WRLCK));
  return rc === 0 && lock.readInt16LE(0) !== F_UNLCK;
}
