/** Memory files of ours. */
import * as libc from './libc.ts';
import { notCut } from './shortage.ts';

/** A new one of that size, with the flags of memfd_create(2): a descriptor, or minus an errno. Throws Shortage. */
export function memfdOf(name: string, length: number | bigint, flags?: number): number {
  const fd = libc.memfdCreate(name, flags);
  const sized = fd < 0 ? fd : libc.ftruncate(fd, length);
  if (sized < 0 && fd >= 0) libc.close(fd);
  return sized < 0 ? sized : fd;
}
/** A new one with that content: the same. */
export function memfdWith(name: string, content: Uint8Array, flags?: number): number {
  const fd = libc.memfdCreate(name, flags);
  if (fd < 0 || content.length === 0) return fd;
  try {
    notCut(libc.pwrite(fd, content, 0), content.length);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return fd;
}
