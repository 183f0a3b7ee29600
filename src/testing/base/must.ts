/** What a test knows to succeed. */
import { isErrno, type Errno, type Status } from '../../base/errno.ts';

/**
 * The value of a call that must work. Throws, so that the test fails, when it gave an errno. What has its errno inside is not taken:
 * nothing would be looked at.
 */
export function must<R>(result: R & Looked<R>): Exclude<R, Errno> {
  if (isErrno(result)) throw new Error(`unexpected ${result.name}`);
  return result as Exclude<R, Errno>; // cast: it is none
}

/** A type that nothing has, for what only has its errno inside. */
type Looked<R> = R extends { rc: unknown } ? 'take its rc' : unknown;

/** The same for a call that gives nothing but an errno. */
export function done(rc: Status): void {
  if (rc) throw new Error(`unexpected ${rc.name}`);
}
