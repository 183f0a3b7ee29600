/**
 * Numbers of the host's x86-64 ABI that several rooms need, and our own marks in arguments the kernel does not look at.
 */
/** The current directory, where a descriptor of a directory is asked for. */
export const AT_FDCWD = -100;
/** Advices of madvise(2) and process_madvise(2) that take pages away. */
export const MADV = {
  dontNeed: 4,
  free: 8,
  remove: 9,
  dontNeedLocked: 24,
  guardInstall: 102,
} as const;
/** Of shmat. */
export const SHM_REMAP = 0o40000;
/** struct uffdio_move of linux/userfaultfd.h: dst, src, len, mode, move. */
export const UFFDIO_MOVE = 0xc028aa05;

/** In the upper half of the descriptor, which the kernel does not look at, of mappings made by injection. */
export const INJECTED_MMAP = 0x50f7_1001n;
/** In the upper half of the sixth argument, which the other calls made by injection do not have. */
export const INJECTED_CALL = 0x50f7_1002n;
