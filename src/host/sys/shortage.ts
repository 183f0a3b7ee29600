/**
 * When softiommu itself is out of descriptors, memory or space: what the host said, as the errno a program gets for it.
 *
 * Our own limits are limits of the system to a program, so EMFILE of ours is ENFILE for it.
 */
import { ENFILE, ENOMEM, ENOSPC } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import { HOST_ERRNO } from './numbers.ts';

const DESCRIPTORS =
  'no descriptor is left for softiommu (its limit: ulimit -n): calls that need one are ENFILE';
const SPACE = 'no space is left for the files of the run: calls that need it are ENOSPC';
const LENGTH =
  'a file of the run is longer than softiommu may make one (its limit: ulimit -f): calls that need it are ENOSPC';
const make: Readonly<Record<string, () => Shortage>> = {
  EDQUOT: () => new Shortage(ENOSPC, SPACE),
  EMFILE: () => new Shortage(ENFILE, DESCRIPTORS),
  ENFILE: () =>
    new Shortage(
      ENFILE,
      'no descriptor is left on the host (its limit: fs.file-max): calls that need one are ENFILE',
    ),
  ENOMEM: () =>
    new Shortage(ENOMEM, 'the host has no memory for softiommu: calls that need it are ENOMEM'),
  ENOSPC: () => new Shortage(ENOSPC, SPACE),
};
const RAISED: ReadonlyMap<number, string> = new Map([
  [-HOST_ERRNO.EMFILE, 'EMFILE'],
  [-HOST_ERRNO.ENFILE, 'ENFILE'],
  [-HOST_ERRNO.ENOMEM, 'ENOMEM'],
]);

/** The result of a call that makes a descriptor of ours. Throws Shortage when there is none to be had. */
export function notShort(result: number): number {
  const name = result < 0 ? RAISED.get(result) : undefined;
  if (name !== undefined) throw make[name]!();
  return result;
}
/** Bytes have been written to a file of ours, which was empty: all of them. Throws Shortage when it could not be made that long. */
export function notCut(written: number, length: number): void {
  if (written === length) return;
  throw RAISED.has(written) ? make[RAISED.get(written)!]!() : new Shortage(ENOSPC, LENGTH);
}
/** Whose watches have a limit of their own, and where it is. */
export const INOTIFY_WATCHES = 'inotify (its limit: fs.inotify.max_user_watches)';
export const EPOLL_WATCHES = 'epoll (its limit: fs.epoll.max_user_watches)';
/** A call that makes a watch: no room for one is an errno that means something else everywhere else. */
export function notShortOfWatches(result: number, whose: string): number {
  if (result !== -HOST_ERRNO.ENOSPC) return notShort(result);
  throw new Shortage(
    ENFILE,
    `no watch is left for softiommu of ${whose}: calls that need one are ENFILE`,
  );
}

/** What an exception means: a shortage of ours, or the host's as node:fs tells it. Undefined: something else. */
export function shortageOf(error: unknown): Shortage | undefined {
  if (error instanceof Shortage) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return make[code]?.();
}

/** For callers that must undo what is half done: the shortage as a value. */
export function orShortage<T>(attempt: () => T): T | Shortage {
  try {
    return attempt();
  } catch (error) {
    const shortage = shortageOf(error);
    if (shortage) return shortage;
    throw error;
  }
}
