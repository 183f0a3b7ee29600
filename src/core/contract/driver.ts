/** What an IOMMU driver must provide: struct iommu_ops and struct iommu_device (core.md 1.1). */
import type { Result, Status } from '../../base/errno.ts';
import type { Device } from './device.ts';
import type { Domain, DomainOps, UserData, UserArray } from './domain.ts';
import type { PageResponse, IopfFault } from './iopf-queue.ts';
import type { IommuGroup } from './group.ts';
import type { ResvRegion } from './resv-region.ts';

/** enum iommu_cap. */
export const IOMMU_CAP_CACHE_COHERENCY = 0;
export const IOMMU_CAP_NOEXEC = 1;
export const IOMMU_CAP_PRE_BOOT_PROTECTION = 2;
export const IOMMU_CAP_ENFORCE_CACHE_COHERENCY = 3;
export const IOMMU_CAP_DEFERRED_FLUSH = 4;
export const IOMMU_CAP_DIRTY_TRACKING = 5;
export const IOMMU_CAP_PCI_ATS_SUPPORTED = 6;

/** Flags of a paging allocation: those of IOMMU_HWPT_ALLOC. */
export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_ALLOC_PASID = 8;

/**
 * One table per driver; several instances may share it. Identity of this object is the identity of the driver: a domain
 * made by other ops is refused before any callback. Optional members are features.
 */
export interface IommuOps {
  readonly name: string;
  /** One of the IOMMU_CAP constants. @kernel capable */
  capable?(dev: Device, cap: number): boolean;
  /** Vendor structure for IOMMU_GET_HW_INFO; EOPNOTSUPP for a type it does not know. */
  hwInfo?(dev: Device, requestedType: number): Result<{ type: number; bytes: Uint8Array }>;

  /** For drivers without a static one. @kernel domain_alloc_identity */
  domainAllocIdentity?(dev: Device): Result<Domain>;
  /** @kernel domain_alloc_paging */
  domainAllocPaging?(dev: Device): Result<Domain>;
  /** EOPNOTSUPP for flags it does not know. @kernel domain_alloc_paging_flags */
  domainAllocPagingFlags?(dev: Device, flags: number, data: UserData | undefined): Result<Domain>;
  /** @kernel domain_alloc_sva */
  domainAllocSva?(dev: Device, mm: SvaMm): Result<Domain>;
  /** @kernel domain_alloc_nested */
  domainAllocNested?(dev: Device, parent: Domain, flags: number, data: UserData): Result<Domain>;

  /** ENODEV: not mine. */
  probeDevice(dev: Device): Result<IommuDevice>;
  /** The device leaves; it is on the release domain already. @kernel release_device */
  releaseDevice?(dev: Device): void;
  /** The device has its group and default domain. @kernel probe_finalize */
  probeFinalize?(dev: Device): void;
  /** Undefined is a driver bug: warned, EINVAL. */
  deviceGroup(dev: Device): Result<IommuGroup> | undefined;
  /** @kernel get_resv_regions */
  getResvRegions?(dev: Device): readonly ResvRegion[];
  /** True: the first DMA call attaches (kdump). @kernel is_attach_deferred */
  isAttachDeferred?(dev: Device): boolean;
  /** Answer a page request. @kernel page_response */
  pageResponse?(dev: Device, fault: IopfFault, response: PageResponse): void;
  /** IOMMU_DOMAIN_IDENTITY, IOMMU_DOMAIN_DMA or 0 for no opinion. */
  defDomainType?(dev: Device): number;

  /** vIOMMU: undefined or false means unsupported. */
  viommuSupports?(dev: Device, type: number): boolean;
  /** @kernel viommu_init */
  viommuInit?(viommu: ViommuCore, parent: Domain, data: UserData | undefined): Status;

  /** 5.8: aux domains on the PASID layer (core.md 8). */
  devHasFeature?(dev: Device, feature: number): boolean;
  /** @kernel dev_enable_feat */
  devEnableFeature?(dev: Device, feature: number): Status;
  /** EBUSY while in use. @kernel dev_disable_feat */
  devDisableFeature?(dev: Device, feature: number): Status;

  readonly defaultDomainOps: DomainOps;
  readonly identityDomain?: Domain;
  readonly blockedDomain?: Domain;
  readonly releaseDomain?: Domain;
  readonly defaultDomain?: Domain;
  readonly userPasidTable?: boolean;
  /** Ops in a module without an owner are refused at registration; undefined means built in. */
  readonly owner?: object | null;
}

/** One IOMMU in hardware (struct iommu_device). */
export interface IommuDevice {
  readonly name: string;
  ops: IommuOps;
  /** Devices with a fwspec find their instance by this object; null takes devices without one. */
  fwnode: object | null;
  singletonGroup: IommuGroup | undefined;
  /** PASIDs the instance can serve; 0 for none. */
  maxPasids: number;
  ready: boolean;
  /** The driver's own record of this instance. */
  priv: unknown;
}

/** Who caches translations of an address space, and must be told (struct mmu_notifier). */
export interface SvaWatcher {
  /** Pages are gone, or may be used for less. Granules of 4 KiB, `lastG` inclusive. */
  invalidate(startG: number, lastG: number): void;
  /** The address space ends, and its page table with it. */
  release(): void;
}

/** An address space whose page tables a device may share. */
export interface SvaMm {
  readonly id: number;
  readonly alive: boolean;
  /** False when its page table cannot be shared (EBUSY). */
  readonly usable: boolean;
  /** Resolve a fault: false is a bad address or a missing permission. */
  handleFault(addr: bigint, perm: number): boolean;
  /** Its page table in RAM, in the processor's format (x86-64): what units walk that have no other way to it. */
  readonly pageTable?: { readonly topPfn: number; readonly topLevel: number };
  /** Tell this watcher from now on; the result ends that. */
  watch?(watcher: SvaWatcher): () => void;
  /** Tell all watchers to forget a range, as when the kernel unmaps addresses of its own. */
  invalidateSecondaryTlbs?(startG: number, lastG: number): void;
}

/** The core's part of a vIOMMU, filled by the driver in viommuInit. */
export interface ViommuCore {
  readonly type: number;
  readonly iommuDev: IommuDevice;
  readonly parent: Domain;
  ops: ViommuOps;
  priv: unknown;
  /** vDEVICEs by virtual id. */
  readonly vdevices: ReadonlyMap<bigint, VdeviceCore>;
  /** Report an event to the queue of this type; EOPNOTSUPP without one. */
  reportEvent(type: number, bytes: Uint8Array): Status;
  /** Publish pages for mmap; the result is the byte offset on the iommufd. */
  mmapAlloc(pages: import('../../base/file.ts').SharedPages): Result<bigint>;
  /** Take back what mmapAlloc published, when the rest of the initialisation fails. */
  mmapDestroy?(offset: bigint): void;
  /** Shared pages for mmapAlloc. */
  newPages(lengthBytes: number): Result<import('../../base/file.ts').SharedPages>;
}
/** The core's part of a vDEVICE. @kernel iommufd_vdevice */
export interface VdeviceCore {
  readonly dev: Device;
  readonly virtId: bigint;
  priv: unknown;
  /** Called at destruction. */
  destroy?: (() => void) | undefined;
}
/** The core's part of a hardware queue. @kernel iommufd_hw_queue */
export interface HwQueueCore {
  readonly type: number;
  readonly index: number;
  readonly baseAddr: bigint;
  readonly length: bigint;
  priv: unknown;
  /** Set by the driver: the queue goes away. */
  destroy?: (() => void) | undefined;
}
/** What a driver provides for a vIOMMU. @kernel iommufd_viommu_ops */
export interface ViommuOps {
  /** @kernel destroy */
  destroy?(viommu: ViommuCore): void;
  /** @kernel alloc_domain_nested */
  allocDomainNested?(viommu: ViommuCore, flags: number, data: UserData): Result<Domain>;
  /** @kernel cache_invalidate */
  cacheInvalidate?(viommu: ViommuCore, array: UserArray): { done: number; status: Status };
  /** @kernel vdevice_init */
  vdeviceInit?(viommu: ViommuCore, vdevice: VdeviceCore): Status;
  /** Does it have queues of this type? @kernel get_hw_queue_size */
  hwQueueSupports?(viommu: ViommuCore, type: number): boolean;
  /** May name an earlier queue this one depends on. */
  hwQueueInitPhys?(
    viommu: ViommuCore,
    queue: HwQueueCore,
    index: number,
    basePa: bigint,
  ): Result<{ dependsOn?: HwQueueCore } | undefined>;
}
