/** What a test knows to succeed. */
import { isErrno, type Result, type Status } from '../../base/errno.ts';

/** The value of a call that must work. Throws, so that the test fails, when it gave an errno. */
export function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(`unexpected ${result.name}`);
  return result;
}

/** The same for a call that gives nothing but an errno. */
export function done(rc: Status): void {
  if (rc) throw new Error(`unexpected ${rc.name}`);
}
