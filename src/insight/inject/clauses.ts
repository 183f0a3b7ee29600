/**
 * An expression of -e as its clauses, which colons part. A colon in the address of a device does not, nor one behind a
 * backslash.
 */

/** A part of an expression, and the column it begins at. */
export interface Clause {
  /** Before the first `=`; the whole clause where there is none. */
  readonly name: string;
  /** Behind it; undefined: there is no `=`. */
  readonly value: string | undefined;
  readonly column: number;
  /** Column of the value. */
  readonly valueColumn: number;
}

const CLAUSE = /(?:(?:[\da-f]{4}:)?[\da-f]{2}:[\da-f]{2}\.[0-7]|\\[^]|\\$|[^:\\])*/giy;

/** In order; there is at least one. */
export function clausesOf(text: string): Clause[] {
  const clauses: Clause[] = [];
  for (let at = 0; at <= text.length; at++) {
    CLAUSE.lastIndex = at;
    const raw = CLAUSE.exec(text)?.[0] ?? '';
    clauses.push(clauseAt(raw, at + 1));
    at += raw.length;
  }
  return clauses;
}
function clauseAt(raw: string, column: number): Clause {
  const equals = raw.indexOf('=');
  const name = equals < 0 ? raw : raw.slice(0, equals);
  const value = equals < 0 ? undefined : raw.slice(equals + 1).replace(/\\([^])/g, '$1');
  return { name, value, column, valueColumn: column + name.length + (equals < 0 ? 0 : 1) };
}

/** 'a, b or c' */
export function choice(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}
