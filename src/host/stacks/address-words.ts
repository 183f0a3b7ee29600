/**
 * The words of a stack that can be addresses of code or of the stack: which they are, and what they say. A way to a call does not
 * depend on the others, such as the values of variables.
 */
import type { ProcessCode } from './code-mappings.ts';
import type { SeenStack } from './stack-look.ts';

/** How far from its top an address is taken for one of the stack. */
const STACK = 8 << 20;
const HALF = 2 ** 32;

/** The addresses of one stack. */
export interface AddressWords {
  /** Of the whole stack. */
  readonly count: number;
  /** Which word each of them is. */
  readonly places: Uint16Array;
  readonly addresses: Float64Array;
}

/** Finds them in one stack after the other. */
export class AddressScan {
  #count = 0;
  #found = 0;
  readonly #places: Uint16Array;
  readonly #addresses: Float64Array;

  /** `most`: words of a stack. */
  constructor(most: number) {
    this.#places = new Uint16Array(most);
    this.#addresses = new Float64Array(most);
  }
  /** `words`: in halves, the lower one first. */
  scan(words: Uint32Array, { sp, first, count }: SeenStack, code: ProcessCode): void {
    // Whose upper half is another one's is no address: so is told of nearly all words.
    const [stackHi, stackHi2] = [Math.floor(sp / HALF), Math.floor((sp + STACK) / HALF)];
    const [codeHi, codeHi2] = [Math.floor(code.start / HALF), Math.floor(code.end / HALF)];
    let found = 0;
    for (let n = 0; n < count; n++) {
      const lo = words[(first + n) * 2]!;
      const hi = words[(first + n) * 2 + 1]!;
      const isStackHi = hi === stackHi || hi === stackHi2;
      if (!isStackHi && (hi < codeHi || hi > codeHi2)) continue;
      const word = lo + hi * HALF;
      const isStack = isStackHi && word >= sp && word < sp + STACK;
      if (!isStack && !code.returnsTo(word)) continue;
      this.#places[found] = n;
      this.#addresses[found++] = word;
    }
    this.#count = count;
    this.#found = found;
  }
  /** A copy of what was found. */
  take(): AddressWords {
    return {
      count: this.#count,
      places: this.#places.slice(0, this.#found),
      addresses: this.#addresses.slice(0, this.#found),
    };
  }
}

/**
 * Does a stack that begins at the same place have all addresses of a way to a call where that has them? Then it is that way,
 * whatever else there is: whoever follows it reads from the first frame on where each is called from and where its frame is,
 * which are addresses, and comes to the same places.
 */
export function isSameWay(
  { places, addresses }: AddressWords,
  words: Uint32Array,
  first: number,
): boolean {
  for (let n = 0; n < places.length; n++) {
    const at = (first + places[n]!) * 2;
    if (words[at]! + words[at + 1]! * HALF !== addresses[n]) return false;
  }
  return true;
}

/** All words of the stack; 0: no address. */
export function wordsOf({ count, places, addresses }: AddressWords): Float64Array {
  const words = new Float64Array(count);
  for (const [n, place] of places.entries()) words[place] = addresses[n]!;
  return words;
}
