/** What the host's kernel answered to a call of ours, in words for a person. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EAGAIN: 'it would have to be waited for',
  EBUSY: 'it is in use',
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
  EROFS: 'the file system is read-only',
  ETXTBSY: 'it is a program that runs',
};

/** Of an exception of node:fs: its errno in words, or its name. */
export function systemReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  return REASONS[code] ?? code;
}
