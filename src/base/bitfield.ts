/**
 * Declared hardware words: context entries, PASID entries, descriptors.
 *
 * A layout names fields as [low, high] bits of a record of 32-bit words (bit 0 is bit 0 of word 0), so a
 * 128-bit entry has bits 0…127. Reading and writing go to an Int32Array at a word index; nothing is allocated.
 * A field is at most 52 bits wide (exact in a double).
 */
import { bugOn } from './bug.ts';

/** One field of a declared record: bits `low` to `high`, both inclusive, at most 52 of them. */
export interface Field {
  /** Value of the field in the record that starts at word `at`. */
  get(words: Int32Array, at: number): number;
  set(words: Int32Array, at: number, value: number): void;
  readonly low: number;
  readonly high: number;
}

/** Fields by name, with the length of the record (`$words`, of 32 bits) and the name it has in messages. */
export type Layout<Names extends string> = { readonly [N in Names]: Field } & {
  readonly $words: number;
  readonly $name: string;
};

/** `layout('vtd_context', 128, { present: [0, 0], address: [12, 63] })`. Overlap or overrun is a Bug at load time. */
export function layout<const F extends Record<string, readonly [low: number, high: number]>>(
  name: string,
  bits: number,
  fields: F,
): Layout<keyof F & string> {
  const taken = new Uint8Array(bits);
  const out: Record<string, Field | number | string> = { $words: bits / 32, $name: name };
  for (const [field, [low, high]] of Object.entries(fields)) {
    bugOn(
      high < low || high >= bits || high - low > 51,
      `${name}.${field}: bits ${low}…${high} do not fit`,
    );
    for (let n = low; n <= high; n++) {
      bugOn(taken[n] === 1, `${name}.${field}: bit ${n} is declared twice`);
      taken[n] = 1;
    }
    out[field] = makeField(low, high);
  }
  // cast: the loop has made a Field of every name in `fields`
  return out as Layout<keyof F & string>;
}

function makeField(low: number, high: number): Field {
  const parts: { word: number; shift: number; width: number; scale: number }[] = [];
  for (let n = low; n <= high;) {
    const width = Math.min(32 - (n & 31), high - n + 1);
    parts.push({ word: n >> 5, shift: n & 31, width, scale: 2 ** (n - low) });
    n += width;
  }
  return {
    low,
    high,
    get(words, at) {
      let value = 0;
      for (const p of parts) {
        const raw = words[at + p.word]! >>> p.shift;
        value += (p.width === 32 ? raw : raw & ((1 << p.width) - 1)) * p.scale;
      }
      return value;
    },
    set(words, at, value) {
      for (const p of parts) {
        const m = p.width === 32 ? -1 : ((1 << p.width) - 1) << p.shift;
        const part = (Math.floor(value / p.scale) % 2 ** p.width) | 0;
        words[at + p.word] = (words[at + p.word]! & ~m) | ((part << p.shift) & m);
      }
    },
  };
}
