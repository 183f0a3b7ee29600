/** What a command line runs, by content: two explorations with the same words may be of different programs. */
import { createHash, type Hash } from 'node:crypto';
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { candidatesOf } from '../../host/launch/program-candidates.ts';

const PIECE = 2 ** 20;

/**
 * One word for the content of every file that the words name, be it as the value of an option, and of the program, which a shell
 * would look for on `path`. `words`: what stands behind `run`.
 */
export function contentOf(words: readonly string[], path: string | undefined): string {
  const hash = createHash('sha256');
  const program = words[words.indexOf('--') + 1] ?? '';
  const found = candidatesOf(program, path).filter(isProgram).slice(0, 1);
  for (const name of new Set([...found, ...words.flatMap(namesIn)])) {
    hash.update(`${name}\0`);
    addFile(hash, name);
  }
  return hash.digest('hex');
}
function namesIn(word: string): string[] {
  const value = /^--?[\w-]+=(.+)$/s.exec(word)?.[1];
  return value === undefined ? [word] : [word, value];
}
function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return isFile(file);
  } catch {
    return false;
  }
}
function isFile(name: string): boolean {
  // A word that is no name at all, or of something that cannot be looked at, names no file.
  try {
    return statSync(name).isFile();
  } catch {
    return false;
  }
}
/** One that cannot be read is known by its name alone, as it is to the program. */
function addFile(hash: Hash, name: string): void {
  if (!isFile(name)) return;
  let fd: number | undefined;
  try {
    fd = openSync(name, 'r');
    const piece = Buffer.alloc(PIECE);
    for (let length = 1; length > 0;) {
      length = readSync(fd, piece);
      hash.update(piece.subarray(0, length));
    }
  } catch {
    hash.update('unreadable\0');
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
