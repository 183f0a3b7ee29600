/** How values are written in a trace for people: what `-s`, `-x`, `-X`, `-v` of strace choose. */
import { constantOf } from '../../uapi/constant-of.ts';
import { hex } from '../../base/u64.ts';

/** How constants are written: by name, by number, or both. */
export const CONSTANT_STYLES = ['abbrev', 'raw', 'verbose'] as const;
/** One of them. */
export type ConstantStyle = (typeof CONSTANT_STYLES)[number];

/** What is chosen; plain data, for it crosses to the thread of the kernel. */
export interface TextStyle {
  /** Bytes of data that are shown; more are left out behind '...'. */
  readonly shownBytes: number;
  /** Bytes in hex: of data that is not text, or of all. */
  readonly hexBytes: 'never' | 'unprintable' | 'always';
  readonly constants: ConstantStyle;
  /** Nothing is abbreviated: paddings, whole structs, births of objects, and the same again and again. */
  readonly whole: boolean;
  /** 1: no page walks; 2: no ends of processes either. */
  readonly quiet: number;
  /** Before each line of a call: whose it is. */
  readonly pids: boolean;
}
/** As without any of the options. */
export const PLAIN_STYLE: TextStyle = {
  shownBytes: 32,
  hexBytes: 'never',
  constants: 'abbrev',
  whole: false,
  quiet: 0,
  pids: true,
};

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
