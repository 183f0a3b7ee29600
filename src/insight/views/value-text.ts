/** Values and structs of calls as text, after strace: names first, addresses in hex, what the kernel changed behind `=>`. */
import type { Facts, Refusal } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';

/** Named values: the arguments of a call. */
export type NamedValues = Readonly<Record<string, unknown>>;

/** Bytes of data that are shown; more are left out behind '...'. */
const SHOWN_BYTES = 32;
/** Sizes are read in decimal; other u64 values are addresses and bits. */
const DECIMAL: ReadonlySet<string> = new Set(['size', 'argsz', 'length', 'count', 'data_len']);

/** `{size=12, flags=0, out_ioas_id=0 => 1}`; without `after` nothing is known to have changed. */
export function structText(fields: NamedValues, after: NamedValues = fields): string {
  const shown = Object.entries(fields).filter(([name]) => !isPadding(name));
  return `{${shown.map(([name, value]) => fieldText(name, value, after[name])).join(', ')}}`;
}
function fieldText(name: string, value: unknown, after: unknown): string {
  const before = valueText(value, name);
  const now = after === undefined ? before : valueText(after, name);
  return `${name}=${before}${now === before ? '' : ` => ${now}`}`;
}
function isPadding(name: string): boolean {
  return name.startsWith('__') || name === 'pad';
}

/** One value of the name it has there. */
export function valueText(value: unknown, name = ''): string {
  if (typeof value === 'bigint') return DECIMAL.has(name) ? String(value) : hex(value);
  if (typeof value === 'number')
    return value < 4096 || DECIMAL.has(name) ? String(value) : hex(value);
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return `[${value.map((each) => valueText(each)).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  // cast: an object that is nothing else has named values
  return structText(value as NamedValues);
}

const ESCAPES: Readonly<Record<number, string>> = {
  9: '\\t',
  10: '\\n',
  13: '\\r',
  34: '\\"',
  92: '\\\\',
};
/** `"\x86\x80"...` in double quotes: text as it is, other bytes in hex. `of`: how many there were. */
export function bytesText(bytes: Uint8Array, of = bytes.length): string {
  const shown = bytes.subarray(0, SHOWN_BYTES);
  const text = Array.from(shown, (byte) => ESCAPES[byte] ?? plainText(byte)).join('');
  return `"${text}"${of > shown.length ? '...' : ''}`;
}
function plainText(byte: number): string {
  return byte >= 0x20 && byte < 0x7f
    ? String.fromCharCode(byte)
    : `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** The rule that was broken, with the values it was broken by. */
export function refusalText(refusal: Refusal): string {
  const values = factsText(refusal.facts);
  return values ? `${refusal.rule} (${values})` : refusal.rule;
}
/** 'iova=0x1000, mapping=0x1000' */
export function factsText(all: Facts): string {
  return Object.entries(all)
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(', ');
}
