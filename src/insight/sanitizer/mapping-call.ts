/** One call by which a program has mapped memory for devices. */
import type { CallSite } from '../sites/call-site.ts';

/** A range of bytes. */
export interface MappedRange {
  readonly iova: bigint;
  /** Bytes. */
  readonly length: bigint;
}
/** What may be done through a mapping. */
export interface MappingRights {
  readonly read: boolean;
  readonly write: boolean;
}
/** A call that made a mapping, or failed to. */
export interface MappingCall extends MappedRange, MappingRights {
  /** 'IOMMU_IOAS_MAP', 'VFIO_IOMMU_MAP_DMA' */
  readonly command: string;
  readonly pid: number;
  /** The IOAS or container. */
  readonly space: string;
  /** Where the memory is in the program; undefined: it is a file's. */
  readonly va: bigint | undefined;
  readonly site: CallSite | undefined;
  /** Of one that failed: the name of its errno. */
  readonly failed: string | undefined;
  /** What undid it. */
  undone: { readonly command: string; readonly site: CallSite | undefined } | undefined;
}
