/** Memory files of ours. */
import * as libc from './libc.ts';

/** A new one of that size, with the flags of memfd_create(2): a descriptor, or minus an errno. Throws Shortage. */
export function memfdOf(name: string, length: number | bigint, flags?: number): number {
  const fd = libc.memfdCreate(name, flags);
  const sized = fd < 0 ? fd : libc.ftruncate(fd, length);
  if (sized < 0 && fd >= 0) libc.close(fd);
  return sized < 0 ? sized : fd;
}
