/** The flags of open(2), as numbers of this host, in the words of the simulated tree. */
import type { OpenHow } from '../../machine/files/vfs.ts';
import {
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
} from '../sys/numbers.ts';

export function openHow(flags: number): OpenHow {
  const access = flags & O_ACCMODE;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    read: access === O_RDONLY || access === O_RDWR,
    write: access === O_WRONLY || access === O_RDWR,
    neither: access === O_ACCMODE,
    create: has(O_CREAT),
    exclusive: has(O_EXCL),
    truncate: has(O_TRUNC),
    directory: has(O_DIRECTORY),
  };
}
