/** Words as a shell has to be given them, on one line that a terminal may show whatever is in them. */
import { onOneLine } from '../machine/description/wording.ts';

/** A line that a shell takes apart into just these words. */
export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

/** A tilde begins a word that is a home only. */
const PLAIN = /^[A-Za-z0-9_=:.,+/@%-][A-Za-z0-9_=:.,+/@%~-]*$/;
/** An assignment, in the place of a command. */
const ASSIGNED = /^[A-Za-z_]\w*=/;

function shellWord(word: string): string {
  if (PLAIN.test(word) && !ASSIGNED.test(word)) return word;
  const quoted = word.replaceAll("'", String.raw`'\''`);
  return onOneLine(word) === word ? `'${quoted}'` : `$'${escaped(word)}'`;
}
/** Between $' and ', as bash, zsh, ksh and POSIX of 2024 have it: bytes in octal, which end by themselves. */
function escaped(word: string): string {
  return Array.from(word, (char) => {
    if (char === "'" || char === '\\') return `\\${char}`;
    if (onOneLine(char) === char) return char;
    const bytes = [...new TextEncoder().encode(char)];
    return bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  }).join('');
}
