/** Values in a trace for people, in the style that was chosen. */
import { hex } from '../../base/u64.ts';
import { constantOf } from '../../uapi/constant-of.ts';
import type { TextStyle } from './text-style.ts';

/** Names of constants, joined by '|'; other text as it is. */
export function constantText(text: string, { constants }: TextStyle): string {
  if (constants === 'abbrev') return text;
  const value = constantOf(text);
  if (value === undefined) return text;
  const number = value < 10n ? String(value) : hex(value);
  return constants === 'raw' ? number : `${number} /* ${text} */`;
}

const TAB = 9;
const CARRIAGE_RETURN = 13;
/** Of the bytes from the tab to the carriage return, of the quote and the backslash. */
const ESCAPES: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};
/** `"\7\0"...` in double quotes: text as it is, other bytes in octal or hex. `of`: how many there were. */
export function bytesText(bytes: Uint8Array, style: TextStyle, of = bytes.length): string {
  const shown = bytes.subarray(0, style.shownBytes);
  const isHex =
    style.hexBytes === 'always' || (style.hexBytes === 'unprintable' && !shown.every(isText));
  const text = isHex ? Array.from(shown, hexByte).join('') : octalText(shown);
  return `"${text}"${of > shown.length ? '...' : ''}`;
}
function isText(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || (byte >= TAB && byte <= CARRIAGE_RETURN);
}
function hexByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
function octalText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte, n) => {
    const escaped = ESCAPES[byte];
    if (escaped !== undefined) return escaped;
    if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
    const next = bytes[n + 1] ?? 0;
    // A digit behind it would be read as one of its own.
    const isBeforeDigit = next >= 0x30 && next <= 0x37;
    return `\\${byte.toString(8).padStart(isBeforeDigit ? 3 : 1, '0')}`;
  }).join('');
}
