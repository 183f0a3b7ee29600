/**
 * The contract of a page-table format (formats.md 1): what an entry looks like, and nothing else.
 *
 * A format is mostly constants, so that one engine serves all of them at the speed of a special one; the few
 * functions are asked once when a table is made, or on rare entries. All formats here are radix trees of eight-byte
 * items. Words are pairs of 32-bit halves; sizes and levels count granules: with b bits a level, an item of level n
 * spans 2^(bn) granules.
 */
import type { Errno, Result } from '../base/errno.ts';
import type { Gather } from './gather.ts';

/** Items of a table, as an exponent, of a format that does not say. */
const LEVEL_BITS = 9;

/** One 64-bit word as two int32 halves. */
export interface Word {
  readonly lo: number;
  readonly hi: number;
}

/** What a driver may ask of a table. Shared code asks for these, never for a format's name. */
export type PtFeature =
  | 'dma-incoherent'
  | 'full-va'
  | 'dynamic-top'
  | 'sign-extend'
  | 'flush-range'
  | 'flush-range-no-gaps'
  | 'detailed-gather'
  | 'force-coherent'
  | 'force-writable'
  | 'svnapot-64k'
  | 'memory-types';

/** Which features a table uses. */
export type Features = ReadonlySet<PtFeature>;

/** What one page-table format is: constants and small functions over one entry. */
export interface PtFormat {
  readonly name: string;
  readonly granuleLg2: number;
  /** Widest input and output address, in bits. */
  readonly maxVaLg2: number;
  readonly maxOaLg2: number;
  /** Items of a table, as an exponent: 8 to 13. Default 9: 512 items, one frame of 4 KiB. */
  readonly levelBits?: number;
  /** The top table may have up to 2^n times as many items, for address bits above its level. Default 0. */
  readonly rootBits?: number;
  /** The only input widths allowed, for a format that has a list of them; the top level follows from the width. */
  readonly exactVaLg2?: readonly number[];
  /** Levels the top table may have at creation, and the errno of another one. */
  readonly topLevel: {
    readonly min: number;
    readonly max: number;
    readonly refusal: Errno<'EINVAL' | 'EOPNOTSUPP'>;
  };
  /** The input width is cut to what the top table spans, unless it grows. */
  readonly cutToTop?: boolean;
  readonly features: readonly PtFeature[];
  /** Features a driver must ask for. */
  readonly mandatory: readonly PtFeature[];

  /** An item is empty when none of these bits is set. */
  readonly present: Word;
  /** Above level 0 bit number `(lo >>> shift) & mask` of `leaves` tells leaf from table. */
  readonly kind: { readonly shift: number; readonly mask: number; readonly leaves: number };
  /** Output granule or table address: `bits` bits from bit `shift` (10 to 12) on. */
  readonly address: { readonly shift: number; readonly bits: number };
  /** Software bit of a table pointer: its table has been flushed for incoherent hardware. */
  readonly flushed?: Word;

  /** Everything of a table pointer but the address. `level` is that of the item. */
  table(level: number): Word;
  /** Exponents, in granules, of the leaves at a level: [bn, bn + b - 1]. More than bn: contiguous items. */
  leafSizes(level: number, features: Features): readonly number[];
  /**
   * Bits that tell the size of a leaf, address bits included: they are zero in an aligned address. Not asked for leaves
   * of one item at level 0: what every leaf has is in attrs.
   */
  leaf(level: number, sizeLg2: number): Word;
  /** Bits of a leaf that come from the protection bits of core.md 3.4. */
  attrs(prot: number, features: Features): Result<Word>;
  /** The protection bits a leaf grants; of a table pointer, those it leaves possible. */
  protOf(lo: number, hi: number): number;

  /** Leaves of several identical items: all bits of `mask` are set in them. */
  readonly contiguous?: {
    readonly mask: Word;
    /** Exponent, in granules, of what the run of an item maps. */
    sizeLg2(lo: number, hi: number): number;
  };
  readonly dirty?: { readonly mask: Word };
}

/** What a table tells its driver while it changes. */
export interface PtHooks {
  /** The top table grew: publish it in the device tables. */
  changeTop(topPfn: number, topLevel: number): void;
}

/** What a table is made for: widths and features. */
export interface PtConfig {
  /** Input and output width the hardware can do, in bits. */
  readonly vaLg2: number;
  readonly oaLg2: number;
  /** Default: the lowest one that spans vaLg2. */
  readonly topLevel?: number;
  readonly features?: readonly PtFeature[];
  readonly hooks?: PtHooks;
  /** The device whose walks do not snoop: wanted by dma-incoherent. */
  readonly device?: object;
  /** Flush the range of a gather now; the engine frees or keeps the freelist itself. */
  iotlbSync?(gather: Gather): void;
}

/** Index bits of a level below the top. */
export function levelBitsOf(format: PtFormat): number {
  return format.levelBits ?? LEVEL_BITS;
}
