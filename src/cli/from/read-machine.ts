/** The functions of a real machine, from whatever a person names: a text of lspci, a directory, an archive. */
import { statSync } from 'node:fs';
import { printable } from '../../machine/description/wording.ts';
import { readUserBytes, userText } from '../user-file.ts';
import { UserMistake } from '../user-mistake.ts';
import { directoryTree } from './directory-tree.ts';
import type { FoundFunction } from './found-function.ts';
import { functionsOfLspci, MOST_FUNCTIONS } from './lspci-text.ts';
import { functionsOfSysfs } from './sysfs-functions.ts';
import { isTar, tarTree } from './tar-tree.ts';

/** Bytes of a text or an archive: a server with a thousand functions and all their configuration spaces. */
const LARGEST = 2 ** 26;
/** Throws UserMistake with the place of what is wrong. */
export function readMachine(name: string): FoundFunction[] {
  const found = functionsIn(name);
  if (found.length <= MOST_FUNCTIONS) return found;
  throw new UserMistake(
    `${printable(name)}: ${found.length} functions are more than ${MOST_FUNCTIONS}`,
  );
}

function functionsIn(name: string): FoundFunction[] {
  if (statSync(name, { throwIfNoEntry: false })?.isDirectory()) {
    return functionsOfSysfs(directoryTree(name));
  }
  const bytes = readUserBytes(name, '--from', LARGEST);
  if (isTar(bytes)) return functionsOfSysfs(tarTree(bytes, name));
  const packer = PACKERS.find(([, magic]) => bytes.subarray(0, magic.length).equals(magic))?.[0];
  if (packer !== undefined) {
    throw new UserMistake(`${printable(name)} is packed by ${packer}; unpack it first`);
  }
  return functionsOfLspci(userText(bytes, name), name);
}

/** How what they write begins. */
const PACKERS: readonly (readonly [program: string, magic: Buffer])[] = [
  ['bzip2', Buffer.from('BZh')],
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];
