/** The machine file of a real machine, with what its reader should know in comments. */
import type { HardwareTypes } from '../../machine/description/entries.ts';
import { machineText } from '../machine-text.ts';
import { LARGEST_FILE } from '../user-file.ts';
import { UserMistake } from '../user-mistake.ts';
import { machineOf, type MadeMachine } from './description.ts';
import { readMachine } from './read-machine.ts';

/** Throws UserMistake: what is named cannot be read, is no machine, or is too much for one file. */
export function machineTextFrom(
  name: string,
  context: { readonly schema: string; readonly types: HardwareTypes },
): string {
  const made = machineOf(readMachine(name), context.types, name);
  const text = machineText(made.machine, {
    ...context,
    source: plain(name),
    head: headOf(made).map(plain),
    about: new Map([...made.about].map(([at, lines]) => [at, lines.map(plain)])),
  });
  if (Buffer.byteLength(text) <= LARGEST_FILE) return text;
  throw new UserMistake(`${name}: its machine file would be larger than ${LARGEST_FILE} bytes`);
}

function headOf({ remarks, leftOut }: MadeMachine): string[] {
  if (leftOut.length === 0) return [...remarks];
  return [
    ...remarks,
    'Left out:',
    ...leftOut.map(({ found, why }) => {
      const words = found.words === undefined ? '' : ` ${found.words}`;
      return `  ${found.at}${words}: ${why}`;
    }),
  ];
}

/** Characters of a comment. */
const LONGEST = 200;

/** Names come from other people: nothing in them ends the comment or means something to a terminal. */
function plain(line: string): string {
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cf}\p{Cs}]/gu, '?').slice(0, LONGEST);
}
