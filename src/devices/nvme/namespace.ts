/** A namespace: blocks on a backing, their size, and those that were marked as unreadable (devices.md 4.4). */
import type { BlockBacking } from '../host-services.ts';
import { NumberRanges, type NumberRange } from '../unit/ranges.ts';

/** Block sizes as exponents, by the number of the LBA format. */
export const LBA_FORMATS = [9, 12] as const;
/** A number of an LBA format. */
export type LbaFormat = 0 | 1;

/** What a namespace is at one moment, besides what is stored. */
export interface NamespaceState {
  readonly format: LbaFormat;
  readonly unreadable: readonly NumberRange[];
  /** Of storage that is a part of the machine. */
  readonly stored: object | undefined;
}

/** One namespace of a controller. */
export class Namespace {
  /** From 1 on. */
  readonly id: number;
  readonly backing: BlockBacking;
  format: LbaFormat;
  /** Marked by Write Uncorrectable; a write makes them readable. */
  readonly unreadable = new NumberRanges();

  constructor(id: number, backing: BlockBacking, format: LbaFormat) {
    this.id = id;
    this.backing = backing;
    this.format = format;
  }
  /** The size of a block as an exponent. */
  get blockLg2(): number {
    return LBA_FORMATS[this.format];
  }
  /** Whole blocks. */
  get blocks(): number {
    return Number(this.backing.length >> BigInt(this.blockLg2));
  }
  get isReadOnly(): boolean {
    return this.backing.isReadOnly;
  }
  has(first: number, count: number): boolean {
    return first + count <= this.blocks;
  }
  /** Where a block is on the backing, or how long so many are. */
  bytes(blocks: number): bigint {
    return BigInt(blocks) << BigInt(this.blockLg2);
  }

  /** A copy. */
  state(): NamespaceState {
    return {
      format: this.format,
      unreadable: this.unreadable.state(),
      stored: this.backing.state?.(),
    };
  }
  restore({ format, unreadable, stored }: NamespaceState): void {
    this.format = format;
    this.unreadable.restore(unreadable);
    if (stored) this.backing.restore?.(stored);
  }
}
