/** Counting frames (devices.md 1.10): in plain numbers over a batch, and then into the registers. */
import type { Actions, Cells } from './cells.ts';
import type { STATISTICS_REGISTERS } from './statistics-registers.ts';

type Counter = keyof typeof STATISTICS_REGISTERS;

const MOST = 0xffff_ffff;
/** Octets of the checksum, which is on no wire of ours and counted all the same. */
export const FCS = 4;

/** The greatest frame of each class, with checksum; the last class has no end. */
const CLASS_ENDS = [64, 127, 255, 511, 1023];
const RX_CLASSES = ['prc64', 'prc127', 'prc255', 'prc511', 'prc1023', 'prc1522'] as const;
const TX_CLASSES = ['ptc64', 'ptc127', 'ptc255', 'ptc511', 'ptc1023', 'ptc1522'] as const;

/** Pairs of 32 bits, and who else counts the same. */
const PAIRS = {
  gor: ['gorcl', 'gorch'],
  got: ['gotcl', 'gotch'],
  tor: ['torl', 'torh'],
  tot: ['totl', 'toth'],
  hgor: ['hgorcl', 'hgorch'],
  hgot: ['hgotcl', 'hgotch'],
} as const;

export class Statistics {
  readonly #cells: Cells;
  readonly actions: Actions;

  constructor(cells: Cells) {
    this.#cells = cells;
    const loads: { [K in Counter]?: (value: number) => number } = {};
    for (const [low, high] of Object.values(PAIRS)) {
      loads[high] = (value) => {
        cells.set(low, 0);
        cells.set(high, 0);
        return value;
      };
    }
    this.actions = { loads };
  }

  /** Saturating. */
  count(counter: Counter, by = 1): void {
    if (by > 0) this.#cells.set(counter, Math.min(MOST, this.#cells.get(counter) + by));
  }
  /** Frames that came by the wire, whether they are for us or not. */
  arrived(frames: readonly Uint8Array[]): void {
    this.count('tpr', frames.length);
    this.#octets('tor', octetsOf(frames));
  }
  /** Frames that are in memory now. */
  received(frames: readonly Uint8Array[]): void {
    const { octets, broadcasts, multicasts, classes } = tally(frames);
    for (const counter of ['gprc', 'rpthc'] as const) this.count(counter, frames.length);
    for (const pair of ['gor', 'hgor'] as const) this.#octets(pair, octets);
    this.count('bprc', broadcasts);
    this.count('mprc', multicasts);
    classes.forEach((by, at) => this.count(RX_CLASSES[at]!, by));
  }
  /** Frames that found no descriptor. */
  missed(frames: number): void {
    this.count('mpc', frames);
    this.count('rnbc', frames);
  }
  sent(frames: readonly Uint8Array[]): void {
    const { octets, broadcasts, multicasts, classes } = tally(frames);
    for (const counter of ['gptc', 'tpt', 'hgptc'] as const) this.count(counter, frames.length);
    for (const pair of ['got', 'tot', 'hgot'] as const) this.#octets(pair, octets);
    this.count('bptc', broadcasts);
    this.count('mptc', multicasts);
    classes.forEach((by, at) => this.count(TX_CLASSES[at]!, by));
  }

  #octets(pair: keyof typeof PAIRS, by: number): void {
    const [low, high] = PAIRS[pair];
    const sum = this.#cells.get(low) + by;
    this.#cells.set(low, sum % 2 ** 32);
    if (sum >= 2 ** 32) this.count(high, Math.floor(sum / 2 ** 32));
  }
}

/** What is counted of a batch, in one pass. */
function tally(frames: readonly Uint8Array[]) {
  const classes = new Array<number>(CLASS_ENDS.length + 1).fill(0);
  let [octets, broadcasts, multicasts] = [0, 0, 0];
  for (const frame of frames) {
    const length = frame.length + FCS;
    octets += length;
    if (isMulticast(frame)) {
      if (isBroadcast(frame)) broadcasts++;
      else multicasts++;
    }
    let at = 0;
    while (at < CLASS_ENDS.length && length > CLASS_ENDS[at]!) at++;
    classes[at]!++;
  }
  return { octets, broadcasts, multicasts, classes };
}

export function isMulticast(frame: Uint8Array): boolean {
  return (frame[0]! & 1) !== 0;
}
export function isBroadcast(frame: Uint8Array): boolean {
  for (let at = 0; at < 6; at++) if (frame[at] !== 0xff) return false;
  return true;
}

function octetsOf(frames: readonly Uint8Array[]): number {
  let octets = 0;
  for (const { length } of frames) octets += length + FCS;
  return octets;
}
