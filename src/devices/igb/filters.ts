/** Which frames are received (devices.md 1.6): by length, address and VLAN. */
import type { Cells } from './cells.ts';
import { be16 } from './headers.ts';
import { RCTL } from './registers.ts';
import { FCS, isBroadcast, isMulticast } from './statistics.ts';

const ADDRESSES = 16;
const MORE_ADDRESSES = 8;
const VALID = 1 << 31;
/** Bytes with checksum, before a tag. */
const LONGEST = 1518;
const TAG = 4;
/** By RCTL 13:12: where the 12 bits of the hash begin. */
const HASH_SHIFTS = [4, 3, 2, 0];

/** What happens to a frame, if it is not received. */
export type Verdict = 'take' | 'long' | 'other';

/** The tag of a frame; -1: it has none. */
export function tagOf(frame: Uint8Array, vet: number): number {
  return frame.length >= 18 && be16(frame, 12) === vet ? be16(frame, 14) : -1;
}

/** An address in two words, and the pools it is for. */
interface Station {
  readonly low: number;
  readonly high: number;
  readonly pools: number;
}

/** The filters as the registers are now: made for a batch of frames. */
export class Filters {
  readonly #cells: Cells;
  readonly #rctl: number;
  readonly #vet: number;
  readonly #limit: number;
  /** Valid station addresses; undefined until one is asked for. */
  #known: readonly Station[] | undefined;

  constructor(cells: Cells) {
    this.#cells = cells;
    this.#rctl = cells.get('rctl');
    this.#vet = cells.get('vet') & 0xffff;
    this.#limit = (this.#rctl & RCTL.LPE) !== 0 ? cells.get('rlpml') : 0;
  }

  verdict(frame: Uint8Array): Verdict {
    const tag = tagOf(frame, this.#vet);
    const limit = this.#limit || LONGEST + (tag < 0 ? 0 : TAG);
    if (frame.length + FCS > limit) return 'long';
    return this.#isOurs(frame) && this.#isVlanOurs(tag) ? 'take' : 'other';
  }
  /** Where the EtherType is: behind the tag of a frame that has one. */
  typeAt(frame: Uint8Array): number {
    return tagOf(frame, this.#vet) < 0 ? 12 : 16;
  }
  /** Pools whose station address it is, as bits. */
  poolsOf(frame: Uint8Array): number {
    const [low, high] = wordsOf(frame);
    let pools = 0;
    for (const one of this.#stations) {
      if (one.low === low && one.high === high) pools |= one.pools;
    }
    return pools;
  }

  /** A promiscuous receiver never needs them. */
  get #stations(): readonly Station[] {
    return (this.#known ??= stationsOf(this.#cells));
  }
  #isOurs(frame: Uint8Array): boolean {
    if (isBroadcast(frame)) return (this.#rctl & RCTL.BAM) !== 0;
    const all = isMulticast(frame) ? RCTL.MPE : RCTL.UPE;
    if ((this.#rctl & all) !== 0) return true;
    const [low, high] = wordsOf(frame);
    if (this.#stations.some((one) => one.low === low && one.high === high)) return true;
    return this.isHashed(isMulticast(frame) ? 'mta' : 'uta', frame);
  }
  /** By 12 bits of the address. */
  isHashed(table: 'mta' | 'uta', frame: Uint8Array): boolean {
    const shift = HASH_SHIFTS[(this.#rctl >>> 12) & 3]!;
    const hash = (((frame[5]! << 8) | frame[4]!) >>> shift) & 0xfff;
    return this.#cells.has(table, 1 << (hash & 0x1f), hash >>> 5);
  }
  #isVlanOurs(tag: number): boolean {
    if (tag < 0 || (this.#rctl & RCTL.VFE) === 0) return true;
    const vlan = tag & 0xfff;
    return this.#cells.has('vfta', 1 << (vlan & 0x1f), vlan >>> 5);
  }
}

/** The destination address as RAL and RAH have it. */
function wordsOf(frame: Uint8Array): readonly [low: number, high: number] {
  const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
  return [low, frame[4]! | (frame[5]! << 8)];
}

function stationsOf(cells: Cells): readonly Station[] {
  const words: (readonly [low: number, high: number])[] = [];
  for (let n = 0; n < ADDRESSES; n++) words.push([cells.get('ral', n), cells.get('rah', n)]);
  for (let n = 0; n < MORE_ADDRESSES; n++) {
    words.push([cells.get('ralMore', n), cells.get('rahMore', n)]);
  }
  return words
    .filter(([, high]) => (high & VALID) !== 0)
    .map(([low, high]) => ({ low, high: high & 0xffff, pools: (high >>> 18) & 0xff }));
}
