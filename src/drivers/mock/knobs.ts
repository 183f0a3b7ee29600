/**
 * What can be turned on the mock driver (core.md 11.4). With nothing turned it is the driver of the kernel's own
 * iommufd selftest (core.md 10.4).
 */
import type { Errno, Result } from '../../base/errno.ts';
import type { Device, DeviceConfig } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import type { ResvRegion } from '../../core/contract/resv-region.ts';

/** Properties of a driver: they are its ops, so they are fixed when it is made. */
export interface MockDriverKnobs {
  readonly name?: string;
  /** A static blocked domain; without one a group is blocked by an empty paging domain. Default: yes. */
  readonly blocked?: boolean;
  /** The blocked domain can take a PASID off. Default: yes. */
  readonly blockedPasid?: boolean;
  /** A static identity domain. Default: no. */
  readonly identity?: boolean;
  /** The domain a device is left on when it goes. Default: none. */
  readonly release?: 'blocked' | 'own';
  /** One static default domain for all groups. Default: the blocked one; 'none' lets the core allocate. */
  readonly default?: 'blocked' | 'none' | 'own';
  /** Paging domains can be put on PASIDs. Default: yes. */
  readonly pasid?: boolean;
  /** The domains have test_dev (core.md 6.2). Default: yes. */
  readonly testDev?: boolean;
  /** How paging domains are asked for: with flags (the kernel's mock), without, or not at all. */
  readonly alloc?: 'flags' | 'plain' | 'none';
  /** Who shares a group. Default: nobody; 'instance': all of an instance; or a function, which may be a bad one. */
  readonly group?: 'own' | 'instance' | ((dev: Device) => Result<IommuGroup> | undefined);
  /** Default: yes, as in the kernel's mock. */
  readonly userPasidTable?: boolean;
  /** The driver's module: null has no owner, an object with going: true is being unloaded. */
  readonly owner?: object | null;
}

/** Properties of one device; every member may be changed at any time. */
export interface MockDeviceKnobs {
  /** Failures of the next attach_dev calls, each used once. With a domain it waits for that one. */
  failAttach: MockFailure[];
  /** The same for set_dev_pasid. */
  failPasid: MockFailure[];
  /** Every test_dev says this, until it is taken away. */
  failTest: Errno | undefined;
  failProbe: Errno | undefined;
  attachDeferred: boolean;
  resvRegions: readonly ResvRegion[];
  /** IOMMU_DOMAIN_IDENTITY, IOMMU_DOMAIN_DMA, or 0 for no opinion. */
  defDomainType: number;
  noDirty: boolean;
  cacheCoherency: boolean;
  /** Further IOMMU_CAP_ numbers. */
  capabilities: readonly number[];
}

/** A call that is to fail. */
export interface MockFailure {
  readonly errno: Errno;
  readonly domain?: Domain;
}

/** Properties of the paging domains allocated from now on. */
export interface MockDomainKnobs {
  /** 'pt': the mock variant of AMDv1 in RAM; 'map-pages': a list of pages, mapped page by page by the core. */
  backing: 'pt' | 'map-pages';
  /** Only these page sizes; undefined for the default of the backing. */
  pgsizeBitmap: bigint | undefined;
  /** Inclusive; undefined for the default of the backing. */
  aperture: { readonly start: bigint; readonly end: bigint } | undefined;
  /** map_pages fails with this after so many pages. */
  mapFailure: { readonly afterPages: number; readonly errno: Errno } | undefined;
  /** iotlb_sync_map answers this. */
  syncMapFailure: Errno | undefined;
  /** unmap_pages finds nothing at this granule, mapped or not. */
  unmapHole: number | undefined;
  /** enforce_cache_coherency answers this; undefined: no such op. */
  enforceCoherency: boolean | undefined;
}

export function defaultDeviceKnobs(): MockDeviceKnobs {
  return {
    failAttach: [],
    failPasid: [],
    failTest: undefined,
    failProbe: undefined,
    attachDeferred: false,
    resvRegions: [],
    defDomainType: 0,
    noDirty: false,
    cacheCoherency: true,
    capabilities: [],
  };
}

export function defaultDomainKnobs(): MockDomainKnobs {
  return {
    backing: 'pt',
    pgsizeBitmap: undefined,
    aperture: undefined,
    mapFailure: undefined,
    syncMapFailure: undefined,
    unmapHole: undefined,
    enforceCoherency: undefined,
  };
}

/** A device to add: its configuration, the firmware node of its instance if it has one, and its knobs. */
export interface MockDeviceRequest {
  readonly config: DeviceConfig;
  readonly fwnode?: object;
  readonly knobs?: Partial<MockDeviceKnobs>;
}

/** Take the next failure that applies to this domain. */
export function takeFailure(failures: MockFailure[], domain: Domain): Errno | undefined {
  const at = failures.findIndex((failure) => !failure.domain || failure.domain === domain);
  return at < 0 ? undefined : failures.splice(at, 1)[0]?.errno;
}
