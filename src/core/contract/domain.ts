/** Domains and their types (core.md 3.1, 3.2): what a device's DMA is translated by. */
import type { Result, Status } from '../../base/errno.ts';
import type { DirtySink, PageTable } from '../../pt/page-table.ts';
import type { Gather } from '../../pt/gather.ts';
import type { Device } from './device.ts';
import type { IommuOps } from './driver.ts';
import type { IopfGroup } from './iopf-queue.ts';
import type { IommuCore } from './iommu-core.ts';

export {
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_NOEXEC,
  IOMMU_PRIV,
  IOMMU_READ,
  IOMMU_WRITE,
} from '../../pt/page-table.ts';

export const IOMMU_DOMAIN_BLOCKED = 0;
export const IOMMU_DOMAIN_UNMANAGED = 1;
export const IOMMU_DOMAIN_DMA = 3;
export const IOMMU_DOMAIN_IDENTITY = 4;
export const IOMMU_DOMAIN_DMA_FQ = 11;
export const IOMMU_DOMAIN_SVA = 16;
export const IOMMU_DOMAIN_PLATFORM = 32;
export const IOMMU_DOMAIN_NESTED = 64;
/** Feature bits inside the type value. */
export const IOMMU_DOMAIN_F_PAGING = 1;
export const IOMMU_DOMAIN_F_DMA_API = 2;

/** Addresses a domain can map. @kernel iommu_domain_geometry */
export interface DomainGeometry {
  /** Inclusive. */
  apertureStart: bigint;
  apertureEnd: bigint;
  forceAperture: boolean;
}

/**
 * What a domain can do; the members a domain's driver lacks are absent. All attach callbacks run under group.mutex.
 * A callback that fails must leave the device as it was (core.md 7).
 */
export interface DomainOps {
  /** Put the domain on a device; an errno of the contract (errno-contract.ts), and then nothing changed. @kernel attach_dev */
  attachDev?(domain: Domain, dev: Device, old: Domain | undefined): Status;
  /** Set or replace on a PASID; with the driver's blocked domain it removes, and must not fail. */
  setDevPasid?(domain: Domain, dev: Device, pasid: number, old: Domain | undefined): Status;
  /** Is this domain compatible with this device? Changes nothing and logs nothing (core.md 6). */
  testDev?(domain: Domain, dev: Device, pasid: number, old: Domain | undefined): Status;

  /** For domains without a PageTable. `progress` tells what was installed, also on an error. @kernel map_pages */
  mapPages?(domain: Domain, pages: MapPages, progress: MapProgress): Status;
  /** Granules removed. @kernel unmap_pages */
  unmapPages?(domain: Domain, iovaG: number, pageG: number, count: number, gather: Gather): number;
  /** 0 where nothing is mapped. @kernel iova_to_phys */
  iovaToPhys?(domain: Domain, iova: bigint): bigint;

  /** New entries must be seen by hardware that caches absent ones. @kernel iotlb_sync_map */
  iotlbSyncMap?(domain: Domain, iovaG: number, lengthG: number): Status;
  /** Forget what was gathered, and only then reuse its pages. @kernel iotlb_sync */
  iotlbSync?(domain: Domain, gather: Gather): void;
  /** Forget everything of the domain. @kernel flush_iotlb_all */
  flushIotlbAll?(domain: Domain): void;
  /** True when every DMA of the domain is coherent from now on. @kernel enforce_cache_coherency */
  enforceCacheCoherency?(domain: Domain): boolean;
  /** @kernel set_pgtable_quirks */
  setPgtableQuirks?(domain: Domain, quirks: number): Status;
  /** NESTED only. `done` tells the entries handled, also on error. */
  cacheInvalidateUser?(domain: Domain, array: UserArray): { done: number; status: Status };
  /** Nobody is attached any more. @kernel free */
  free?(domain: Domain): void;
}

/** Pages of one size in a row, in granules of the smallest size. */
export interface MapPages {
  readonly iovaG: number;
  readonly paG: number;
  /** Size of one of them. */
  readonly pageG: number;
  readonly count: number;
  readonly prot: number;
}

/** How far a mapping got, in granules. */
export interface MapProgress {
  mapped: number;
}

/** Vendor data in user space, for the driver to read (core.md 10.2). */
export interface UserData {
  readonly type: number;
  /** Bytes the user says there are. */
  readonly length: number;
  /** Read all of them: the last thing to do, and only for a length that some version of the struct has. */
  copy(): Result<Uint8Array, 'EFAULT'>;
  /** Copy a possibly changed struct back to where it came from, truncated to the user's length. */
  copyBack?(from: Uint8Array): Status<'EFAULT' | 'EINVAL'>;
}
/** An array of structs from the user. @kernel iommu_user_data_array */
export interface UserArray {
  readonly type: number;
  readonly entryLength: number;
  readonly entryCount: number;
  /**
   * Bytes of entry `index`, extended with zeros to `size`. A length below `minSize` or above `size` is EINVAL; with
   * `minSize` 0, as when the whole array is copied, a longer entry is taken when its tail is 0, else E2BIG.
   */
  entry(
    index: number,
    size: number,
    minSize: number,
  ): Result<Uint8Array, 'EFAULT' | 'EINVAL' | 'E2BIG'>;
}

/** Dirty tracking. @kernel iommu_dirty_ops */
export interface DirtyOps {
  /** @kernel set_dirty_tracking */
  setDirtyTracking(domain: Domain, on: boolean): Status;
  /** @kernel read_and_clear_dirty */
  readAndClearDirty(
    domain: Domain,
    iovaG: number,
    lengthG: number,
    noClear: boolean,
    gather: Gather | undefined,
    sink: DirtySink,
  ): Status;
}

/** At most one per domain (core.md 3.2). */
export type DomainCookie =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'dma-iova' | 'dma-msi' | 'sva' | 'iommufd';
      readonly priv: object;
      /** Run by domainFree: gives back what the cookie holds (IOVAs, MSI pages, the mm). */
      readonly release?: () => void;
      /** IOMMUFD: map the doorbell page of an MSI and say where (iommufd_sw_msi). */
      readonly mapMsi?: (domain: Domain, dev: Device, msiAddr: bigint) => Result<bigint>;
    }
  | {
      readonly kind: 'fault-handler';
      /** Hears of every fault of the domain. */
      readonly handler: (domain: Domain, dev: Device, iova: bigint, flags: number) => Status;
      readonly token: unknown;
    };

/** A translation that devices can be attached to. @kernel iommu_domain */
export interface Domain {
  readonly core: IommuCore;
  /** For traces: 'paging#3', 'identity', 'blocked'. */
  readonly name: string;
  type: number;
  ops: DomainOps;
  /** The ops that made it; undefined for static domains. */
  owner: IommuOps | undefined;
  /** Present when the domain is backed by the generic page table (is_iommupt). */
  pt: PageTable | undefined;
  pgsizeBitmap: bigint;
  geometry: DomainGeometry;
  dirtyOps: DirtyOps | undefined;
  /** Who is asked when a page is missing; undefined: nobody. */
  iopfHandler: ((group: IopfGroup) => Status) | undefined;
  cookie: DomainCookie;
  /** The driver's own record (to_intel_domain() and friends). */
  priv: unknown;
}

/** Kept by whoever attaches through the handle API; faults are routed by it. */
export interface AttachHandle {
  domain: Domain | undefined;
  /** iommufd's record. */
  priv?: object;
}
