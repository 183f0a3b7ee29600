/**
 * The driver's record of a domain (struct dmar_domain) and of a device (struct device_domain_info).
 */
import { Bug } from '../../../base/bug.ts';
import type { Device } from '../../../core/contract/device.ts';
import type { Domain } from '../../../core/contract/domain.ts';
import type { PciFunction } from '../../../pci/topology.ts';
import type { PageTable } from '../../../pt/page-table.ts';
import type { IntelIommu } from './iommu.ts';
import type { PasidTable } from './pasid-table.ts';

export type IntelDomainKind = 'second' | 'first' | 'nested' | 'sva' | 'identity' | 'blocked';

export interface IntelDomain {
  readonly domain: Domain;
  readonly kind: IntelDomainKind;
  /** Width of the table in bits: 39, 48 or 57. 0 without a table of its own. */
  readonly width: number;
  /** The table is written for walks that snoop. */
  readonly coherent: boolean;
  readonly nestParent: boolean;
  /** Every access is made coherent. */
  forceSnooping: boolean;
  dirtyTracking: boolean;
  readonly attachments: Set<IntelAttachment>;
  /** Nested domains on this nest parent. */
  readonly nested: Set<IntelDomain>;
  readonly guest: GuestTable | undefined;
  /** Table of a shared address space, which is not the domain's own. */
  readonly shared: SharedTable | undefined;
}

/** The top of a process's page table. */
export type SharedTable = Pick<PageTable, 'topPfn' | 'topLevel'>;

/** What user space said of the first stage of a nested domain. */
export interface GuestTable {
  readonly parent: IntelDomain;
  readonly rootPfn: number;
  readonly addrWidth: number;
  readonly flags: number;
}

export interface IntelAttachment {
  readonly device: IntelDevice;
  readonly pasid: number;
  readonly domain: IntelDomain;
  /** Domain id in the entry. */
  readonly did: number;
  /** The domain handles page faults: the device may ask for pages. */
  readonly iopf: boolean;
}

export interface IntelDevice {
  readonly dev: Device;
  readonly fn: PciFunction;
  readonly iommu: IntelIommu;
  /** The id its requests carry. */
  readonly requesterId: number;
  /** Every id under which its requests arrive and that gets an entry. */
  readonly aliases: readonly number[];
  readonly atsSupported: boolean;
  atsEnabled: boolean;
  /** The device and its unit know page requests. */
  readonly priSupported: boolean;
  /** Attachments of domains that handle page faults. */
  faultCapable: number;
  /** Scalable mode only. */
  readonly pasidTable: PasidTable | undefined;
  readonly pasidEnabled: boolean;
  /** By PASID; IOMMU_NO_PASID is the RID. Blocked means absent. */
  readonly attached: Map<number, IntelAttachment>;
}

export type IntelDomainInit = Pick<IntelDomain, 'domain' | 'kind'> & Partial<IntelDomain>;

export function newIntelDomain(init: IntelDomainInit): IntelDomain {
  const record: IntelDomain = {
    width: 0,
    coherent: true,
    nestParent: false,
    forceSnooping: false,
    dirtyTracking: false,
    attachments: new Set(),
    nested: new Set(),
    guest: undefined,
    shared: undefined,
    ...init,
  };
  init.domain.priv = record;
  return record;
}

/** @kernel to_dmar_domain */
export function toIntelDomain(domain: Domain): IntelDomain {
  // cast: the core brings a driver its own domains only
  return domain.priv as IntelDomain;
}

/** @kernel dev_iommu_priv_get */
export function toIntelDevice(dev: Device): IntelDevice {
  const priv = dev.iommu?.priv;
  if (priv === undefined) throw new Bug(`${dev.name} was not probed by the intel driver`);
  // cast: the core brings a driver its own devices only
  return priv as IntelDevice;
}
