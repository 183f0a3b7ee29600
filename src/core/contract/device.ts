/** A device as the IOMMU layer sees it: struct device and its dev_iommu record (core.md 1.1). */
import type { IommuDevice } from './driver.ts';
import type { IommuGroup } from './group.ts';
import type { IommuCore } from './iommu-core.ts';
import type { FaultParam } from './iopf-queue.ts';

/** Scanned by an instance registration in this order. mdev devices are never scanned. */
export const SCANNED_BUSES = ['platform', 'pci', 'amba', 'fsl-mc', 'host1x', 'cdx'] as const;
/** Buses the IOMMU layer looks at. */
export type BusName = (typeof SCANNED_BUSES)[number] | 'mdev' | 'iommufd-mock';

/** What firmware says of a device: its IOMMU, and its ids there. @kernel iommu_fwspec */
export interface Fwspec {
  readonly fwnode: object;
  flags: number;
  readonly ids: number[];
}

/** What the IOMMU layer keeps for a device. @kernel dev_iommu */
export interface DevIommu {
  faultParam: FaultParam | undefined;
  fwspec: Fwspec | undefined;
  iommuDev: IommuDevice | undefined;
  priv: unknown;
  maxPasids: number;
  attachDeferred: boolean;
  requireDirect: boolean;
  pci32bitWorkaround: boolean;
  shadowOnFlush: boolean;
}

/** A bound driver of the driver core. */
export interface DeviceDriver {
  readonly name: string;
  /** The driver manages DMA itself (vfio-pci, pci-stub): binding it does not claim the default domain. */
  readonly driverManagedDma: boolean;
}

/** What a device is at birth. */
export interface DeviceConfig {
  readonly name: string;
  readonly bus: BusName;
  /** Width of the PASID capability, 0 without one. */
  readonly pasidBits?: number;
  /** What the PASID capability can do besides. */
  readonly pasidExec?: boolean;
  readonly pasidPriv?: boolean;
  readonly ats?: boolean;
  readonly untrusted?: boolean;
  readonly coherent?: boolean;
  /** False where interrupts of the device are not kept apart from those of others (no interrupt remapping). */
  readonly isolatedMsi?: boolean;
  /** PCI only; a VF with its PF, a page-request capability. */
  readonly pci?: {
    readonly isVf: boolean;
    readonly hasPri: boolean;
    readonly physfn?: Device;
    /** True for a device that may send requests under this one's id, or the other way round. */
    readonly dmaAliasOf?: (other: Device) => boolean;
  };
  /** The container an fsl-mc device lives in. */
  readonly container?: Device;
  /** The bus's dma_configure(): finds the fwspec; called by a probe that has none. */
  readonly dmaConfigure?: (dev: Device) => void;
  readonly dmaMask?: bigint;
  /** What firmware or a bridge leaves reachable (dma_range_map), and the limit of the bus. Inclusive. */
  readonly dmaRange?: { readonly start: bigint; readonly last: bigint };
  readonly busDmaLimit?: bigint;
  /** Memory windows of the host bridge: a DMA there would be peer to peer. Inclusive. */
  readonly hostWindows?: readonly { readonly start: bigint; readonly last: bigint }[];
  /** dma_get_min_align_mask(): low address bits the device needs kept. */
  readonly minAlignMask?: number;
}

/** A device as the IOMMU layer sees it. @kernel device */
export class Device {
  readonly core: IommuCore;
  readonly name: string;
  readonly bus: BusName;
  readonly config: DeviceConfig;
  iommu: DevIommu | undefined;
  iommuGroup: IommuGroup | undefined;
  driver: DeviceDriver | undefined;
  /** Set by dma-iommu when the default domain serves the DMA API. */
  dmaIommu = false;

  constructor(core: IommuCore, config: DeviceConfig) {
    this.core = core;
    this.name = config.name;
    this.bus = config.bus;
    this.config = config;
  }
}

/** dev_has_iommu(): the only safe test before using a device's ops. */
export function devHasIommu(
  dev: Device,
): dev is Device & { iommu: DevIommu & { iommuDev: IommuDevice } } {
  return dev.iommu?.iommuDev !== undefined;
}
/** device_iommu_mapped(): true for fake groups too. */
export function deviceIommuMapped(dev: Device): boolean {
  return dev.iommuGroup !== undefined;
}
