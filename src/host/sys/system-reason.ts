/** What the host's kernel answered to a call of ours, in words for a person. */
import { HOST_ERRNO } from './numbers.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'it is in use',
  EAGAIN: 'it would have to be waited for',
  EBUSY: 'it is in use',
  ECONNREFUSED: 'nobody listens there',
  EEXIST: 'it is there already',
  EDQUOT: 'the quota is used up',
  EFBIG: 'it would be too large',
  EIO: 'an input or output error',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many open files in the system',
  ENODEV: 'there is no such device',
  ENOENT: 'there is no such file',
  ENOSPC: 'no space is left on the device',
  ENOTDIR: 'there is no such file',
  ENXIO: 'there is nobody at the other end',
  EPERM: 'it is not permitted',
  EPROTOTYPE: 'it is a socket of another kind',
  EROFS: 'the file system is read-only',
  ETXTBSY: 'it is a program that runs',
};

/** Of an errno, as a positive number. */
export function errnoReason(errno: number): string {
  const [name = `errno ${errno}`] = Object.entries(HOST_ERRNO).find(([, n]) => n === errno) ?? [];
  return REASONS[name] ?? name;
}
/** Of an exception of node:fs: its errno in words, or its name. */
export function systemReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  return REASONS[code] ?? code;
}
