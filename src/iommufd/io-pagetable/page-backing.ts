/** What the memory of a mapping has in common with that of the mappings beside it (iommufd.md 3.1, 3.8). */
import type { ForeignFile } from '../../base/file.ts';
import type { FailPolicy } from '../../base/fail-points.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import type { Mm } from '../../base/task.ts';
import type { Accounting, Payer } from './accounting.ts';
import type { Dmabuf } from './dmabuf.ts';

export interface UserOrigin {
  readonly kind: 'user';
  readonly mm: Mm;
}
export type PageOrigin =
  | UserOrigin
  | { readonly kind: 'file'; readonly file: ForeignFile }
  | { readonly kind: 'dmabuf'; readonly dmabuf: Dmabuf };

/** What pages need of their machine. */
export interface PageWorld {
  readonly memory: PhysicalMemory;
  readonly accounting: Accounting;
  /** Frame numbers on their way from a pin to a table. */
  readonly pinBuffer: Float64Array;
  /** Pages pinned at a time, no more than the buffer has room for. */
  readonly chunkPages: number;
  /** Says which call fails where. */
  readonly env: FailPolicy;
}

/**
 * Where pages come from and who pays for them. One object for one mapping after the other: a program may have a million, and
 * kept in each it was 40 of their 284 bytes.
 */
export interface PageBacking {
  readonly world: PageWorld;
  readonly origin: PageOrigin;
  readonly writable: boolean;
  /** Who is charged. */
  readonly payer: Payer;
  /** Whose VmPin shows the pages. */
  readonly counted: Mm;
}

/** The backing of the last mapping: mostly that of the next one too. */
export class LastBacking {
  #last: PageBacking | undefined;

  get(world: PageWorld, origin: PageOrigin, writable: boolean, payer: Payer): PageBacking {
    const last = this.#last;
    if (
      last?.world === world &&
      last.origin === origin &&
      last.writable === writable &&
      last.payer === payer
    ) {
      return last;
    }
    this.#last = { world, origin, writable, payer, counted: payer.mm };
    return this.#last;
  }
}
