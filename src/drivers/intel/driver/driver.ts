/**
 * The intel IOMMU driver: VT-d units in legacy or scalable mode (core.md 1, 10.2; formats.md 3, 4, 7, 11.1, 12; VT-d 3,
 * 6, 7).
 *
 * createIntelDriver() makes the ops once per machine, addUnit() a unit with its registers; the caller registers the
 * instance with the core. One driver serves several units; a device belongs to the unit whose scope names it.
 *
 * NOT IMPLEMENTED: interrupt remapping, vIOMMU.
 */
import { ENODEV, EOPNOTSUPP, isErrno, type Result } from '../../../base/errno.ts';
import type { PhysicalMemory } from '../../../base/physical-memory.ts';
import { refuse } from '../../../base/refuse.ts';
import type { Device } from '../../../core/contract/device.ts';
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DEFERRED_FLUSH,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_CAP_PCI_ATS_SUPPORTED,
  type IommuOps,
} from '../../../core/contract/driver.ts';
import { IOMMU_DOMAIN_DMA } from '../../../core/contract/domain.ts';
import type { IommuCore } from '../../../core/contract/iommu-core.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  type ResvRegion,
} from '../../../core/contract/resv-region.ts';
import { dmaAliases } from '../../../pci/alias.ts';
import { MESSAGE_WINDOW, MESSAGE_WINDOW_SIZE } from '../../../pci/messages.ts';
import type { PciFunction } from '../../../pci/topology.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import { IOMMU_HW_INFO_TYPE_INTEL_VTD, iommu_hw_info_vtd } from '../../../uapi/iommufd.ts';
import type { EnableBits } from '../../iommu-type.ts';
import type { PciGrouping } from '../../pci-group.ts';
import { read64, type RegisterPort } from '../../unit/register-port.ts';
import { Requesters } from '../../unit/requesters.ts';
import { detach } from './attach.ts';
import { toIntelDevice, type IntelDevice } from './domain.ts';
import { setAts, writeScalableContext } from './entries.ts';
import { handleFaults } from './fault-log.ts';
import { resolveHardware, type IntelHardwareConfig } from '../hardware.ts';
import { IntelIommu, type Rmrr } from './iommu.ts';
import { domainAllocNested } from './nested.ts';
import { domainAllocPagingFlags, FIRST_STAGE_OPS } from './paging.ts';
import { PasidTable } from './pasid-table.ts';
import { handlePageRequests, pageResponse } from './prq.ts';
import { REG_CAP, REG_ECAP } from '../registers.ts';
import { domainAllocSva } from './sva.ts';
import { newBlockedDomain, newIdentityDomain } from './static-domains.ts';
import { IntelUnit } from '../unit/unit.ts';

/** One unit of a machine description. */
export interface IntelUnitConfig extends IntelHardwareConfig {
  /** For reading a guest's first-stage tables, which live in pinned pages. */
  readonly memory?: PhysicalMemory;
  /** Functions behind this unit; a unit without takes everything no other claims. */
  readonly scope?: (fn: PciFunction) => boolean;
  /** In the configuration space of the functions, from where the unit hears of them; without, only the unit has them. */
  readonly enableBits?: EnableBits;
  /** Ranges firmware wants identity-mapped. */
  readonly rmrrs?: readonly Rmrr[];
  /** IOMMU_DOMAIN_IDENTITY, IOMMU_DOMAIN_DMA, or 0 for no opinion. */
  readonly defDomainType?: (fn: PciFunction) => number;
}

/** A unit from both sides: the instance to register, and the hardware to send requests through. */
export interface IntelUnitHandle {
  readonly instance: IntelIommu;
  readonly ops: IommuOps;
  readonly unit: IntelUnit;
  readonly registers: RegisterPort;
}

/** One driver, any number of units. */
export interface IntelDriver {
  readonly ops: IommuOps;
  readonly units: readonly IntelUnitHandle[];
  /** ENOMEM: no RAM for root table and queue. */
  addUnit(config: IntelUnitConfig): Result<IntelUnitHandle, 'ENOMEM'>;
}

/** The driver, without a unit yet. */
export function createIntelDriver(core: IommuCore, pci: PciGrouping): IntelDriver {
  const units: IntelUnitHandle[] = [];
  const ops = createOps(core, pci, units);
  return { ops, units, addUnit: (config) => addUnit(core, ops, units, config) };
}

/** A unit of its own driver, or of the one given: for machines with several units. */
export function createIntelUnit(
  core: IommuCore,
  config: IntelUnitConfig & { readonly pci: PciGrouping; readonly driver?: IntelDriver },
): Result<IntelUnitHandle, 'ENOMEM'> {
  const driver = config.driver ?? createIntelDriver(core, config.pci);
  return driver.addUnit(config);
}

function addUnit(
  core: IommuCore,
  ops: IommuOps,
  units: IntelUnitHandle[],
  config: IntelUnitConfig,
): Result<IntelUnitHandle, 'ENOMEM'> {
  const hw = resolveHardware({ name: `dmar${units.length}`, ...config });
  const requesters = new Requesters();
  const made: { instance?: IntelIommu } = {};
  const unit: IntelUnit = new IntelUnit(hw, core.ram, config.memory, {
    fault: () => {
      handleFaults({ env: core.env, name: hw.name, requesters }, unit);
    },
    pageRequest: () => {
      if (made.instance) handlePageRequests(made.instance, unit);
    },
  });
  const instance = IntelIommu.create(core, ops, {
    hw,
    port: unit,
    requesters,
    ats: config.enableBits ?? unit.ats,
    rmrrs: config.rmrrs ?? [],
    scope: config.scope,
    defDomainType: config.defDomainType,
  });
  if (isErrno(instance)) return instance;
  made.instance = instance;
  const handle = { instance, ops, unit, registers: unit };
  units.push(handle);
  return handle;
}

function createOps(core: IommuCore, pci: PciGrouping, units: IntelUnitHandle[]): IommuOps {
  const blocked = newBlockedDomain(core);
  return {
    name: 'intel',
    blockedDomain: blocked,
    releaseDomain: blocked,
    identityDomain: newIdentityDomain(core),
    defaultDomainOps: FIRST_STAGE_OPS,
    probeDevice: (dev) => probeDevice(pci, units, dev),
    releaseDevice,
    deviceGroup: (dev) => pci.deviceGroup(dev),
    capable,
    hwInfo,
    getResvRegions,
    defDomainType,
    domainAllocPagingFlags,
    domainAllocNested,
    domainAllocSva,
    pageResponse,
  };
}

/** @kernel device_lookup_iommu */
function unitOf(units: readonly IntelUnitHandle[], fn: PciFunction): IntelIommu | undefined {
  const scoped = units.find(({ instance }) => instance.config.scope?.(fn) === true);
  const all = units.find(({ instance }) => instance.config.scope === undefined);
  return (scoped ?? all)?.instance;
}

/**
 * ENODEV: no PCI device, or no unit claims it; ENOMEM: no table.
 * @kernel intel_iommu_probe_device
 */
function probeDevice(
  pci: PciGrouping,
  units: readonly IntelUnitHandle[],
  dev: Device,
): Result<IntelIommu> {
  const fn = pci.functionOf(dev);
  const iommu = fn && unitOf(units, fn);
  if (fn === undefined || iommu === undefined) {
    return refuse(ENODEV, 'no unit has the device in its scope', { device: dev.name });
  }
  const device = newIntelDevice(iommu, dev, fn);
  if (isErrno(device)) return device;
  dev.iommu!.priv = device;
  iommu.config.requesters.connect(device.requesterId, dev);
  return iommu;
}

function newIntelDevice(
  iommu: IntelIommu,
  dev: Device,
  fn: PciFunction,
): Result<IntelDevice, 'ENOMEM'> {
  const { scalable, pasidBits, ats } = iommu.hw;
  const bits = Math.min(pasidBits, dev.config.pasidBits ?? 0);
  const pasidTable = scalable ? PasidTable.create(iommu.core.ram, bits) : undefined;
  if (isErrno(pasidTable)) return pasidTable;
  const aliases = dmaAliases(fn).filter((alias) => !scalable || alias.by === fn);
  const device: IntelDevice = {
    dev,
    fn,
    iommu,
    requesterId: fn.requesterId,
    aliases: [...new Set(aliases.map((alias) => alias.requesterId))],
    priSupported: supportsPri(iommu, dev),
    faultCapable: 0,
    atsSupported: ats && (dev.config.ats ?? false) && !(dev.config.untrusted ?? false),
    atsEnabled: false,
    pasidTable,
    pasidEnabled: bits > 0,
    attached: new Map(),
  };
  if (pasidTable === undefined) return device;
  const status = writeScalableContext(device);
  if (status) {
    for (const alias of device.aliases) iommu.clearContext(alias);
    pasidTable.destroy();
    return status;
  }
  if (device.atsSupported) setAts(device, true);
  return device;
}

function supportsPri({ hw }: IntelIommu, { config }: Device): boolean {
  const ats = (config.ats ?? false) && !(config.untrusted ?? false);
  return hw.pageRequests && ats && (config.pci?.hasPri ?? false);
}

/** @kernel intel_iommu_release_device */
function releaseDevice(dev: Device): void {
  const device = toIntelDevice(dev);
  for (const pasid of [...device.attached.keys()]) detach(device, pasid);
  setAts(device, false);
  for (const requesterId of device.aliases) device.iommu.clearContext(requesterId);
  device.pasidTable?.destroy();
  device.iommu.config.requesters.disconnect(device.requesterId);
  dev.iommu!.priv = undefined;
}

/** @kernel intel_iommu_capable */
function capable(dev: Device, cap: number): boolean {
  const device = toIntelDevice(dev);
  switch (cap) {
    case IOMMU_CAP_CACHE_COHERENCY:
    case IOMMU_CAP_DEFERRED_FLUSH:
      return true;
    case IOMMU_CAP_ENFORCE_CACHE_COHERENCY:
      return device.iommu.hw.snoopControl;
    case IOMMU_CAP_DIRTY_TRACKING:
      return device.iommu.hw.ssade;
    case IOMMU_CAP_PCI_ATS_SUPPORTED:
      return device.atsSupported;
    default:
      return false;
  }
}

/** @kernel intel_iommu_hw_info */
function hwInfo(dev: Device, requestedType: number): Result<{ type: number; bytes: Uint8Array }> {
  if (requestedType !== 0 && requestedType !== IOMMU_HW_INFO_TYPE_INTEL_VTD) {
    return refuse(EOPNOTSUPP, 'the unit has no hardware info of that type', { requestedType });
  }
  const { port } = toIntelDevice(dev).iommu.config;
  const { bytes } = iommu_hw_info_vtd.make({
    cap_reg: read64(port, REG_CAP),
    ecap_reg: read64(port, REG_ECAP),
  });
  return { type: IOMMU_HW_INFO_TYPE_INTEL_VTD, bytes };
}

/** Interrupt messages are not translated, so nothing is to be mapped there. */
const MESSAGES: ResvRegion = {
  start: MESSAGE_WINDOW,
  length: MESSAGE_WINDOW_SIZE,
  prot: 0,
  type: IOMMU_RESV_MSI,
};

/** @kernel intel_iommu_get_resv_regions */
function getResvRegions(dev: Device): readonly ResvRegion[] {
  const { fn, iommu } = toIntelDevice(dev);
  const direct = iommu.config.rmrrs
    .filter((rmrr) => rmrr.of(fn))
    .map(({ start, length, relaxable }) => ({
      start,
      length,
      prot: IOMMU_READ | IOMMU_WRITE,
      type: relaxable === true ? IOMMU_RESV_DIRECT_RELAXABLE : IOMMU_RESV_DIRECT,
    }));
  return [...direct, MESSAGES];
}

/** A unit without pass-through cannot do identity. @kernel device_def_domain_type */
function defDomainType(dev: Device): number {
  const { fn, iommu } = toIntelDevice(dev);
  if (!iommu.hw.passThrough) return IOMMU_DOMAIN_DMA;
  return iommu.config.defDomainType?.(fn) ?? 0;
}
