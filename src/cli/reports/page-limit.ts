/** How large a trace a page can hold: it is one text there, in a browser as here. */
import { constants } from 'node:buffer';
import { UserMistake } from '../user-mistake.ts';

/** Throws UserMistake. `what` it is that has so many bytes, and what to do `instead`. */
export function checkForPage(bytes: number, what: string, instead: string): void {
  if (bytes <= constants.MAX_STRING_LENGTH) return;
  throw new UserMistake(
    `${what} has ${bytes} bytes, and a page holds ${constants.MAX_STRING_LENGTH} at most: ${instead}`,
  );
}
