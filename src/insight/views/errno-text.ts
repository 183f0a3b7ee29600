/** Errnos as people read them: the C library's words, as strace shows them. */
import { errnoOfNumber, type ErrnoName } from '../../base/errno.ts';

const WORDS: Readonly<Record<ErrnoName, string>> = {
  E2BIG: 'Argument list too long',
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EAGAIN: 'Resource temporarily unavailable',
  EBADE: 'Invalid exchange',
  EBADF: 'Bad file descriptor',
  EBADFD: 'File descriptor in bad state',
  EBUSY: 'Device or resource busy',
  EDEADLK: 'Resource deadlock avoided',
  EEXIST: 'File exists',
  EFAULT: 'Bad address',
  EINTR: 'Interrupted system call',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMEDIUMTYPE: 'Wrong medium type',
  EMFILE: 'Too many open files',
  EMSGSIZE: 'Message too long',
  ENAMETOOLONG: 'File name too long',
  ENFILE: 'Too many open files in system',
  ENODEV: 'No such device',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOMSG: 'No message of desired type',
  ENOSPC: 'No space left on device',
  ENOSYS: 'Function not implemented',
  ENOTDIR: 'Not a directory',
  ENOTTY: 'Inappropriate ioctl for device',
  ENXIO: 'No such device or address',
  EOPNOTSUPP: 'Operation not supported',
  EOVERFLOW: 'Value too large for defined data type',
  EPERM: 'Operation not permitted',
  EPROBE_DEFER: 'Driver requests probe retry',
  ERANGE: 'Numerical result out of range',
  EROFS: 'Read-only file system',
  ESPIPE: 'Illegal seek',
  ESRCH: 'No such process',
  ETIME: 'Timer expired',
  ETIMEDOUT: 'Connection timed out',
  EXDEV: 'Invalid cross-device link',
};

/** 'EEXIST (File exists)' */
export function errnoText(name: ErrnoName): string {
  return `${name} (${WORDS[name]})`;
}

/** By its number, as a host's call may have failed: 'EMFILE (Too many open files)', or 'errno 95' for one without a name. */
export function errnoNumberText(number: number): string {
  const errno = errnoOfNumber(number);
  return errno ? errnoText(errno.name) : `errno ${number}`;
}
