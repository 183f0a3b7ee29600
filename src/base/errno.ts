/**
 * Kernel error numbers as values.
 *
 * `Result<T>` is the kernel's ERR_PTR(): either the object or an errno.
 * `Status` is the kernel's `int rc`: undefined on success, so that
 * `if (rc) return rc` reads the same as in C. Numbers: asm-generic/errno.h.
 */
/** By name. */
export const ERRNO_NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENOMSG: 42,
  EBADE: 52,
  ETIME: 62,
  EOVERFLOW: 75,
  EBADFD: 77,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ETIMEDOUT: 110,
  EMEDIUMTYPE: 124,
  EPROBE_DEFER: 517,
} as const;

/** 'EINVAL' */
export type ErrnoName = keyof typeof ERRNO_NUMBERS;

/** One error number. Compare with `===`: there is exactly one instance per name. */
export class Errno<Name extends ErrnoName = ErrnoName> {
  readonly name: Name;
  readonly number: number;
  private constructor(name: Name) {
    this.name = name;
    this.number = ERRNO_NUMBERS[name];
  }
  /** @internal */
  static of<Name extends ErrnoName>(name: Name): Errno<Name> {
    return Object.freeze(new Errno(name));
  }
  /** Its name. */
  toString(): string {
    return this.name;
  }
}

/** A value, or why there is none. */
export type Result<T, E extends ErrnoName = ErrnoName> = T | Errno<E>;
/** Undefined is success. */
export type Status<E extends ErrnoName = ErrnoName> = Errno<E> | undefined;

/** The kernel's IS_ERR(). */
export function isErrno(value: unknown): value is Errno {
  return value instanceof Errno;
}

export const EPERM = Errno.of('EPERM');
export const ENOENT = Errno.of('ENOENT');
export const ESRCH = Errno.of('ESRCH');
export const EINTR = Errno.of('EINTR');
export const EIO = Errno.of('EIO');
export const ENXIO = Errno.of('ENXIO');
export const E2BIG = Errno.of('E2BIG');
export const EBADF = Errno.of('EBADF');
export const EAGAIN = Errno.of('EAGAIN');
export const ENOMEM = Errno.of('ENOMEM');
export const EACCES = Errno.of('EACCES');
export const EFAULT = Errno.of('EFAULT');
export const EBUSY = Errno.of('EBUSY');
export const EEXIST = Errno.of('EEXIST');
export const EXDEV = Errno.of('EXDEV');
export const ENODEV = Errno.of('ENODEV');
export const ENOTDIR = Errno.of('ENOTDIR');
export const EISDIR = Errno.of('EISDIR');
export const EINVAL = Errno.of('EINVAL');
export const ENFILE = Errno.of('ENFILE');
export const EMFILE = Errno.of('EMFILE');
export const ENOTTY = Errno.of('ENOTTY');
export const ENOSPC = Errno.of('ENOSPC');
export const ESPIPE = Errno.of('ESPIPE');
export const EROFS = Errno.of('EROFS');
export const ERANGE = Errno.of('ERANGE');
export const EDEADLK = Errno.of('EDEADLK');
export const ENAMETOOLONG = Errno.of('ENAMETOOLONG');
export const ENOSYS = Errno.of('ENOSYS');
export const ELOOP = Errno.of('ELOOP');
export const ENOMSG = Errno.of('ENOMSG');
export const EBADE = Errno.of('EBADE');
export const ETIME = Errno.of('ETIME');
export const EOVERFLOW = Errno.of('EOVERFLOW');
export const EBADFD = Errno.of('EBADFD');
export const EMSGSIZE = Errno.of('EMSGSIZE');
export const EOPNOTSUPP = Errno.of('EOPNOTSUPP');
export const EADDRINUSE = Errno.of('EADDRINUSE');
export const ETIMEDOUT = Errno.of('ETIMEDOUT');
export const EMEDIUMTYPE = Errno.of('EMEDIUMTYPE');
export const EPROBE_DEFER = Errno.of('EPROBE_DEFER');

/** Every errno by name: for knobs, traces and tests that take a name as data. */
export const ERRNO: { readonly [Name in ErrnoName]: Errno<Name> } = {
  EPERM,
  ENOENT,
  ESRCH,
  EINTR,
  EIO,
  ENXIO,
  E2BIG,
  EBADF,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT,
  EBUSY,
  EEXIST,
  EXDEV,
  ENODEV,
  ENOTDIR,
  EISDIR,
  EINVAL,
  ENFILE,
  EMFILE,
  ENOTTY,
  ENOSPC,
  ESPIPE,
  EROFS,
  ERANGE,
  EDEADLK,
  ENAMETOOLONG,
  ENOSYS,
  ELOOP,
  ENOMSG,
  EBADE,
  ETIME,
  EOVERFLOW,
  EBADFD,
  EMSGSIZE,
  EOPNOTSUPP,
  EADDRINUSE,
  ETIMEDOUT,
  EMEDIUMTYPE,
  EPROBE_DEFER,
};

/** By its number, without a sign; undefined: none that the kernel layers know. */
export function errnoOfNumber(number: number): Errno | undefined {
  return Object.values(ERRNO).find((each) => each.number === number);
}
