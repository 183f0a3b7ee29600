/** The functions of a real machine, from whatever a person names: a text of lspci, a directory, an archive. */
import { printable } from '../../machine/description/wording.ts';
import { readUserBytes, userText } from '../user-file.ts';
import { UserMistake } from '../user-mistake.ts';
import type { FoundFunction } from './found-function.ts';
import { functionsOfLspci } from './lspci-text.ts';

/** Bytes of a text or an archive: a server with a thousand functions and all their configuration spaces. */
const LARGEST = 2 ** 26;
/** A machine of more is not described by one file. */
const MOST_FUNCTIONS = 1024;

/** Throws UserMistake with the place of what is wrong. */
export function readMachine(name: string): FoundFunction[] {
  const found = functionsIn(name);
  if (found.length <= MOST_FUNCTIONS) return found;
  throw new UserMistake(
    `${printable(name)}: ${found.length} functions are more than ${MOST_FUNCTIONS}`,
  );
}

function functionsIn(name: string): FoundFunction[] {
  const bytes = readUserBytes(name, '--from', LARGEST);
  return functionsOfLspci(userText(bytes, name), name);
}
