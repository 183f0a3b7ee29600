/** Values and structs of calls as text, after strace: names first, addresses in hex, what the kernel changed behind `=>`. */
import type { Remark } from '../../base/events.ts';
import type { Facts } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import { bytesText, constantText } from '../trace/styled-text.ts';
import { PLAIN_STYLE, type TextStyle } from '../trace/text-style.ts';

/** Named values: the arguments of a call. */
export type NamedValues = Readonly<Record<string, unknown>>;

/** Sizes are read in decimal; other u64 values are addresses and bits. */
const DECIMAL: ReadonlySet<string> = new Set(['size', 'argsz', 'length', 'count', 'data_len']);
/** So are processes, among the values of a refusal. */
const PROCESSES: ReadonlySet<string> = new Set(['pid', 'openedBy']);

/** `{size=12, flags=0, out_ioas_id=0 => 1}`; without `after` nothing is known to have changed. */
export function structText(
  fields: NamedValues,
  after: NamedValues = fields,
  style: TextStyle = PLAIN_STYLE,
): string {
  const shown = Object.entries(fields).filter(([name]) => style.whole || !isPadding(name));
  const texts = shown.map(([name, value]) => {
    const before = valueText(value, name, style);
    const changed = after[name];
    const now = changed === undefined ? before : valueText(changed, name, style);
    return `${name}=${before}${now === before ? '' : ` => ${now}`}`;
  });
  return `{${texts.join(', ')}}`;
}
function isPadding(name: string): boolean {
  return name.startsWith('__') || name === 'pad';
}

/** One value of the name it has there. */
export function valueText(value: unknown, name = '', style: TextStyle = PLAIN_STYLE): string {
  if (typeof value === 'bigint' || typeof value === 'number') return numberText(value, name);
  if (typeof value === 'string') return constantText(value, style);
  if (value instanceof Uint8Array) {
    const shownBytes = style.whole ? Infinity : style.shownBytes;
    return bytesText(value, { ...style, shownBytes });
  }
  if (Array.isArray(value)) {
    return `[${value.map((each) => valueText(each, '', style)).join(', ')}]`;
  }
  if (typeof value !== 'object' || value === null) return String(value);
  // cast: an object that is nothing else has named values
  return structText(value as NamedValues, undefined, style);
}

function numberText(value: number | bigint, name: string): string {
  const isSmall = typeof value === 'number' && value < 4096;
  return isSmall || DECIMAL.has(name) ? String(value) : hex(value);
}

/** The rule that was broken, with the values it was broken by. */
export function refusalText(refusal: Remark): string {
  const values = factsText(refusal.facts);
  return values ? `${refusal.rule} (${values})` : refusal.rule;
}
/** 'iova=0x1000, mapping=0x1000' */
export function factsText(all: Facts): string {
  return Object.entries(all)
    .map(([name, value]) => `${name}=${PROCESSES.has(name) ? String(value) : valueText(value)}`)
    .join(', ');
}
