/** The flags of open(2), as numbers of this host, in the words of the simulated tree. */
import type { OpenHow } from '../../machine/files/vfs.ts';
import { O_ACCMODE, O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, O_WRONLY } from '../sys/numbers.ts';

/** O_ACCMODE 3 asks for the right to do both, as the kernel has it for drivers. */
export function openHow(flags: number): OpenHow {
  const access = flags & O_ACCMODE;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    read: access !== O_WRONLY,
    write: access !== 0,
    create: has(O_CREAT),
    exclusive: has(O_EXCL),
    truncate: has(O_TRUNC),
    directory: has(O_DIRECTORY),
  };
}
