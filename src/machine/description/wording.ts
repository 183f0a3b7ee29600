/** How a message shows what somebody wrote: quoted, on one line, cut, and without anything a terminal would obey. */

/** More characters of a text than these say nothing more. */
const LONGEST = 40;

/** 'text', 12, true, a list, keys and values, nothing. */
export function given(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return `'${printable(value)}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'bigint') return String(value);
  return Array.isArray(value) ? 'a list' : 'keys and values';
}

/** The text on one line: control characters and halves of characters as \\x or \\u, a long text cut. */
export function printable(text: string): string {
  return onOneLine(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}
/** The same of any length: what programs name their files moves no cursor and begins no line. */
export function onOneLine(text: string): string {
  return text.replace(UNPRINTABLE, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${hexDigits(code, 2)}` : `\\u${hexDigits(code, 4)}`;
  });
}

/** Controls, line and paragraph separators, formatting (direction marks), lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}\p{Cs}]/gu;

function hexDigits(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
