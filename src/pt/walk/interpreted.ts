/**
 * The walk of the hardware: from the root a device table names, through RAM, to a page (formats.md 12).
 *
 * It shares only the format and the bytes with the engine that wrote them, not the PageTable object, so that a stale
 * device table or a foreign root shows as it would on a machine. Rights are ANDed down the walk; formats whose table
 * pointers carry none grant all there. Checks of address width are the caller's: each IOMMU has its own fault code.
 */
import { pow2 } from '../../base/u64.ts';
import { LEVEL_BITS, type PtFormat } from '../format.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../page-table.ts';
import { FRAME_WORDS, type Ram } from '../ram.ts';

/** Why a walk gave no address. `bus-error`: an item points outside the RAM. */
export type WalkFault = 'none' | 'not-present' | 'permission' | 'bus-error';

/** A walk as the hardware does it: from the root in RAM, trusting nothing. */
export class HardwareWalk {
  readonly #format: PtFormat;
  readonly #words: Int32Array;
  readonly #dirtyLo: number;
  readonly #dirtyHi: number;
  readonly #unit: number;
  readonly #tableScale: number;

  /** Of the last walk. */
  fault: WalkFault = 'none';
  /** Level of the item that ended the last walk, and its first word in RAM. */
  level = 0;
  itemWord = 0;
  /** Rights granted by the last walk, IOMMU_READ | IOMMU_WRITE; size of the leaf as an exponent in granules. */
  prot = 0;
  sizeLg2 = 0;

  constructor(format: PtFormat, ram: Ram) {
    this.#format = format;
    this.#words = ram.words;
    this.#dirtyLo = format.dirty?.mask.lo ?? 0;
    this.#dirtyHi = format.dirty?.mask.hi ?? 0;
    this.#unit = 2 ** (32 - format.address.shift);
    this.#tableScale = 2 ** (format.granuleLg2 - 2);
  }

  /**
   * Output granule for an input granule, or -1 with `fault` set. `setDirty`: record a permitted write in the leaf,
   * as units with dirty tracking on do.
   */
  walk(topPfn: number, topLevel: number, iovaG: number, write: boolean, setDirty: boolean): number {
    const need = write ? IOMMU_WRITE : IOMMU_READ;
    let base = topPfn * FRAME_WORDS;
    this.prot = IOMMU_READ | IOMMU_WRITE;
    for (let level = topLevel; ; level--) {
      const at = base + 2 * (Math.floor(iovaG / pow2(LEVEL_BITS * level)) % 512);
      this.level = level;
      this.itemWord = at;
      if (at + 1 >= this.#words.length) return this.#fail('bus-error');
      const lo = this.#words[at]!;
      const hi = this.#words[at + 1]!;
      const { present, kind } = this.#format;
      if ((lo & present.lo) === 0 && (hi & present.hi) === 0) return this.#fail('not-present');
      this.prot &= this.#format.protOf(lo, hi);
      if ((this.prot & need) === 0) return this.#fail('permission');
      if (level === 0 || ((kind.leaves >>> ((lo >>> kind.shift) & kind.mask)) & 1) !== 0) {
        return this.#leaf(at, level, iovaG, write && setDirty);
      }
      base = this.#address(lo, hi) * this.#tableScale;
    }
  }

  #leaf(at: number, level: number, iovaG: number, markDirty: boolean): number {
    const lo = this.#words[at]!;
    const hi = this.#words[at + 1]!;
    const run = this.#format.contiguous;
    const isRun = run && (lo & run.mask.lo) === run.mask.lo && (hi & run.mask.hi) === run.mask.hi;
    this.sizeLg2 = isRun ? run.sizeLg2(lo, hi) : level * LEVEL_BITS;
    if (markDirty) {
      this.#words[at] = lo | this.#dirtyLo;
      this.#words[at + 1] = hi | this.#dirtyHi;
    }
    this.fault = 'none';
    const size = pow2(this.sizeLg2);
    const address = this.#address(lo, hi);
    return address - (address % size) + (iovaG % size);
  }

  #address(lo: number, hi: number): number {
    const { shift, bits } = this.#format.address;
    return (lo >>> shift) + (hi & (pow2(shift + bits - 32) - 1)) * this.#unit;
  }

  #fail(fault: WalkFault): number {
    this.fault = fault;
    return -1;
  }
}
