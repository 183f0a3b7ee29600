/** No two options of a command line write to one file. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { printable } from '../../machine/description/wording.ts';
import { UserMistake } from '../user-mistake.ts';

/** Throws UserMistake: two of them are one, be it by another name. Terminals, pipes and null devices take both. */
export function refuseOneFileTwice(
  named: readonly (readonly [option: string, file: string])[],
): void {
  const taken = new Map<string, string>();
  for (const [option, file] of named) {
    const identity = identityOf(file);
    if (identity === undefined) continue;
    const other = taken.get(identity);
    if (other !== undefined) {
      throw new UserMistake(
        `${other} and ${option} both write to ${printable(file)}: each needs a file of its own`,
      );
    }
    taken.set(identity, option);
  }
}
/** Undefined: it may be named twice, or cannot be looked at, which whoever opens it says. */
function identityOf(file: string): string | undefined {
  try {
    const there = statSync(file, { throwIfNoEntry: false, bigint: true });
    if (!there) return resolve(file);
    return there.isFile() ? `${there.dev}:${there.ino}` : undefined;
  } catch {
    return undefined;
  }
}
