/** Several functions behind one port (devices.md 1.6, 1.9): which pools a frame is for. */
import type { Cells } from './cells.ts';
import { tagOf, type Filters } from './filters.ts';
import { isBroadcast, isMulticast } from './statistics.ts';
import { MOST_VFS } from './virtual.ts';

/** Of MRQC. */
const MODES: ReadonlySet<number> = new Set([3, 5]);
const VMOLR = {
  HASHED_MULTICAST: 1 << 25,
  HASHED: 1 << 26,
  BROADCAST: 1 << 27,
  MULTICAST: 1 << 28,
};
const VT_CTL = { DEFAULT: 7 << 7, NO_DEFAULT: 1 << 29 } as const;
const VLVF = { ID: 0xfff, ENABLED: 1 << 31, ENTRIES: 32 } as const;

/** Do queues belong to pools? */
export function isPooled(cells: Cells, functions: number): boolean {
  return functions > 0 && MODES.has(cells.get('mrqc') & 7);
}

/** Pools as the registers are now: made for a batch of frames. */
export class Pools {
  readonly #cells: Cells;
  readonly #filters: Filters;
  /** VMOLR of each. */
  readonly #wants: readonly number[];
  readonly #receiving: number;

  constructor(cells: Cells, filters: Filters) {
    this.#cells = cells;
    this.#filters = filters;
    this.#wants = Array.from({ length: MOST_VFS }, (_, n) => cells.get('vmolr', n));
    this.#receiving = cells.get('vfre') & 0xff;
  }
  /** Bits of those that have asked for it by address. */
  of(frame: Uint8Array): number {
    return this.#byAddress(frame) & this.#byVlan(frame) & this.#receiving;
  }
  /** For what nobody has asked for. */
  get fallback(): number {
    const control = this.#cells.get('vtCtl');
    if ((control & VT_CTL.NO_DEFAULT) !== 0) return 0;
    return (1 << ((control & VT_CTL.DEFAULT) >>> 7)) & this.#receiving;
  }

  #byAddress(frame: Uint8Array): number {
    if (isBroadcast(frame)) return this.#wanting(VMOLR.BROADCAST);
    const named = this.#filters.poolsOf(frame);
    if (!isMulticast(frame)) {
      return named | (this.#filters.isHashed('uta', frame) ? this.#wanting(VMOLR.HASHED) : 0);
    }
    const hashed = this.#filters.isHashed('mta', frame);
    return (
      named | this.#wanting(VMOLR.MULTICAST) | (hashed ? this.#wanting(VMOLR.HASHED_MULTICAST) : 0)
    );
  }
  #wanting(bit: number): number {
    let pools = 0;
    this.#wants.forEach((wants, n) => (pools |= (wants & bit) !== 0 ? 1 << n : 0));
    return pools;
  }
  /** A VLAN that is in the table is for its pools only. */
  #byVlan(frame: Uint8Array): number {
    const tag = tagOf(frame, this.#cells.get('vet') & 0xffff);
    for (let n = 0; tag >= 0 && n < VLVF.ENTRIES; n++) {
      const entry = this.#cells.get('vlvf', n);
      const isIt = (entry & VLVF.ENABLED) !== 0 && (entry & VLVF.ID) === (tag & VLVF.ID);
      if (isIt) return (entry >>> 12) & 0xff;
    }
    return 0xff;
  }
}
