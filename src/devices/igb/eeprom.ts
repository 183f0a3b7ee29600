/** The NVM of the 82576 (devices.md 1.3): 256 words that EERD reads. They never change, so they are no state. */
import type { Actions, Cells } from './cells.ts';

const WORDS = 256;
const CHECKSUM_AT = 0x3f;
const CHECKSUM = 0xbaba;
/** Words that are not 0, besides address and checksum: default LEDs, image version 1.0.16, no other address. */
const FIXED: Readonly<Record<number, number>> = { 4: 0xffff, 5: 0x1010, 0x37: 0xffff };

const EERD = { START: 1, DONE: 2, ADDRESS: 0xfffc } as const;
const EECD = { REQUEST: 1 << 6, GRANT: 1 << 7 } as const;

/** What the NVM of a function with this address holds. */
export function nvmImage(mac: Uint8Array): Uint16Array {
  const words = new Uint16Array(WORDS);
  for (const [at, word] of Object.entries(FIXED)) words[Number(at)] = word;
  for (let n = 0; n < 3; n++) words[n] = mac[2 * n]! | (mac[2 * n + 1]! << 8);
  let sum = 0;
  for (let n = 0; n < CHECKSUM_AT; n++) sum += words[n]!;
  words[CHECKSUM_AT] = CHECKSUM - sum;
  return words;
}

/** EERD finds its word at once; a word that is not there is never found. */
export function nvmActions(cells: Cells, words: Uint16Array): Actions {
  return {
    stores: {
      eerd(value) {
        const address = (value & EERD.ADDRESS) >>> 2;
        const found = (value & EERD.START) !== 0 ? words[address] : undefined;
        const kept = value & EERD.ADDRESS;
        cells.set('eerd', found === undefined ? kept : (found << 16) | kept | EERD.DONE);
      },
      eecd(value) {
        const granted = (value & EECD.REQUEST) !== 0;
        cells.set('eecd', granted ? value | EECD.GRANT : value & ~EECD.GRANT);
      },
    },
  };
}
