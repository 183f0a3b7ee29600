/**
 * softiommu has run out of something of the host in the middle of a call: nobody's mistake, and no rule of Linux.
 *
 * Thrown by host/ where no errno can be returned. The guard lets it through, and the wait loop ends the call with its errno.
 */
import type { Errno } from './errno.ts';

/** The message names what ran out and the remedy: one line for the user. */
export class Shortage extends Error {
  override name = 'Shortage';
  readonly errno: Errno<'ENFILE' | 'ENOMEM' | 'ENOSPC'>;
  constructor(errno: Errno<'ENFILE' | 'ENOMEM' | 'ENOSPC'>, message: string) {
    super(message);
    this.errno = errno;
  }
}
