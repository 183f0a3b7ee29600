/**
 * All that is to go wrong in a run as one word: what repeats it. It can be read, and no shell takes anything in it for
 * something else.
 */
import { Mistake } from '../mistake.ts';

const VERSION = '1';
const BETWEEN = '~';
/** What every shell leaves alone within a word. */
const PLAIN = /[^A-Za-z0-9_=:.,+/@%-]/gu;
const FIRST_PLAIN = /%/g;

/** The token of these expressions. */
export function tokenOf(expressions: readonly string[]): string {
  return [VERSION, ...expressions.map(quoted)].join(BETWEEN);
}
function quoted(text: string): string {
  return text.replace(FIRST_PLAIN, '%25').replace(PLAIN, (character) => {
    const bytes = [...new TextEncoder().encode(character)];
    return bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  });
}

/** The expressions in a token. */
export function expressionsOf(token: string): readonly string[] | { readonly problem: string } {
  const [version, ...parts] = token.split(BETWEEN);
  if (version !== VERSION) {
    return { problem: unread(token, 1, `a token begins with ${VERSION}${BETWEEN}`) };
  }
  const expressions: string[] = [];
  let column = VERSION.length + BETWEEN.length + 1;
  for (const part of parts) {
    const text = unquoted(part);
    if (text === undefined)
      return { problem: unread(token, column, 'this part was cut or changed') };
    expressions.push(text);
    column += part.length + BETWEEN.length;
  }
  return expressions;
}
function unread(token: string, column: number, text: string): string {
  return new Mistake(column, text).of(`token=${token}`);
}
function unquoted(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}
