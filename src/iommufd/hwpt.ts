/** Making hardware page tables: HWPT_ALLOC, and the automatic ones of an attach (iommufd.md 2.11, 4.4). */
import {
  EINVAL,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { devHasIommu } from '../core/contract/device.ts';
import { domainFree, nestedDomainAlloc, pagingDomainAllocFlags } from '../core/map/domain-alloc.ts';
import { enforceCacheCoherency } from '../core/map/domain-ops.ts';
import type { Domain, UserData } from '../core/contract/domain.ts';
import { IOMMU_CAP_DIRTY_TRACKING, type IommuOps } from '../core/contract/driver.ts';
import { deviceIommuCapable } from '../core/probe/probe.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING as DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT as NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID as PASID,
  IOMMU_HWPT_DATA_NONE,
  IOMMU_HWPT_FAULT_ID_VALID as FAULT_ID_VALID,
  type iommu_hwpt_alloc,
} from '../uapi/iommufd.ts';
import { findIgroup, IommufdDevice } from './device-object.ts';
import { FaultQueue } from './fault.ts';
import { noiommuAllocPaging, noiommuOps } from './hwpt-noiommu.ts';
import { HwptNested, HwptPaging, type Hwpt } from './hwpt-object.ts';
import type { IommufdObject } from './object.ts';
import { Ioas } from './ioas.ts';
import { addDomain } from './io-pagetable/iopt-domains.ts';
import type { Ucmd } from './ioctl.ts';
import { swMsi } from './sw-msi.ts';
import { userData } from './user-data.ts';
import { allocNestedDomain, Viommu } from './viommu-object.ts';
import { checkFlags, checkReserved } from './checks.ts';

/** The ops that make domains for a device. */
function opsOf(idev: IommufdDevice): IommuOps | undefined {
  if (idev.isNoiommu) return noiommuOps;
  return devHasIommu(idev.dev) ? idev.dev.iommu.iommuDev.ops : undefined;
}

export interface PagingRequest {
  readonly flags: number;
  readonly data?: UserData | undefined;
  /** Called when the domain is there and not filled: the attach of an automatic one. */
  readonly attachFirst?: (hwpt: HwptPaging) => Status;
  /** Undoes attachFirst. */
  readonly detach?: (hwpt: HwptPaging) => void;
}

/**
 * A paging hwpt on an IOAS, with a reserved id: publish it or abort it.
 * Errnos: ENODEV EOPNOTSUPP; driver's; EINVAL EADDRINUSE EFAULT ENOMEM of filling it.
 * @kernel iommufd_hwpt_paging_alloc
 */
export function hwptPagingAlloc(
  ioas: Ioas,
  idev: IommufdDevice,
  request: PagingRequest,
): Result<HwptPaging> {
  ioas.mutex.assertHeld();
  const unfit = checkPagingFlags(idev, request);
  if (unfit) return unfit;
  const domain = allocPagingDomain(idev, request);
  if (isErrno(domain)) return domain;
  const coherent = idev.enforceCacheCoherency;
  const hwpt = new HwptPaging(ioas, {
    domain,
    pasidCompat: (request.flags & PASID) !== 0,
    nestParent: (request.flags & NEST_PARENT) !== 0,
    enforceCacheCoherency: coherent && enforceCacheCoherency(domain),
  });
  setCookie(hwpt);
  const rc = ioas.ctx.objects.reserve(hwpt);
  if (rc) {
    hwpt.destroy();
    return rc;
  }
  const failed = settle(hwpt, coherent, request);
  if (failed) ioas.ctx.objects.abort(hwpt);
  return failed ?? hwpt;
}

/** Interrupts of a device on the domain find their way through the paging hwpt at the bottom. */
function setCookie(hwpt: Hwpt): void {
  const { ctx, paging } = hwpt;
  hwpt.domain.cookie = {
    kind: 'iommufd',
    priv: hwpt,
    mapMsi(_domain, dev, msiAddr) {
      const igroup = dev.iommuGroup && findIgroup(ctx, dev.iommuGroup);
      return igroup ? swMsi(ctx.swMsiPages, paging, igroup, msiAddr) : msiAddr;
    },
  };
}

function settle(hwpt: HwptPaging, coherent: boolean, request: PagingRequest): Status {
  if (coherent && !hwpt.enforceCacheCoherency) {
    return refuse(EINVAL, 'the domain cannot enforce the coherency its device wants', {
      domain: hwpt.domain.name,
    });
  }
  const rc = request.attachFirst?.(hwpt);
  if (rc) return rc;
  const failed = addDomain(hwpt.ioas.iopt, hwpt.domain);
  if (failed) {
    request.detach?.(hwpt);
    return failed;
  }
  hwpt.ioas.hwpts.push(hwpt);
  return undefined;
}

function checkPagingFlags(idev: IommufdDevice, request: PagingRequest): Status {
  const { flags } = request;
  const ops = opsOf(idev);
  if (!ops) return refuse(ENODEV, 'no IOMMU driver serves the device', { device: idev.dev.name });
  const plain = flags === 0 && !request.data;
  if (!plain && !idev.isNoiommu && !ops.domainAllocPagingFlags) {
    return refuse(EOPNOTSUPP, 'the IOMMU driver knows no flags and no data', { driver: ops.name });
  }
  const later = idev.ctx.subsystem.abi.pagingFlags.refuse(flags);
  if (later) return later;
  const unknown = checkFlags(flags, NEST_PARENT | DIRTY_TRACKING | FAULT_ID_VALID | PASID);
  if (unknown) return unknown;
  if (flags & DIRTY_TRACKING && !deviceIommuCapable(idev.dev, IOMMU_CAP_DIRTY_TRACKING)) {
    return refuse(EOPNOTSUPP, 'the IOMMU of the device cannot track dirty pages', {
      device: idev.dev.name,
    });
  }
  if (flags & FAULT_ID_VALID && flags & NEST_PARENT) {
    return refuse(EOPNOTSUPP, 'a nest parent takes no page faults', { flags });
  }
  return undefined;
}

function allocPagingDomain(idev: IommufdDevice, request: PagingRequest): Result<Domain> {
  const flags = request.flags & ~FAULT_ID_VALID;
  if (idev.isNoiommu) return noiommuAllocPaging(idev.ctx.subsystem, flags, request.data);
  return pagingDomainAllocFlags(idev.dev, flags, request.data);
}

function checkNestedFlags(idev: IommufdDevice, flags: number): Status {
  return (
    idev.ctx.subsystem.abi.nestedFlags.refuse(flags) ?? checkFlags(flags, FAULT_ID_VALID | PASID)
  );
}
/** @kernel iommufd_hwpt_nested_alloc */
function hwptNestedAlloc(
  parent: HwptPaging,
  idev: IommufdDevice,
  flags: number,
  data: UserData | undefined,
): Result<HwptNested> {
  const wrong = checkNestedFlags(idev, flags);
  if (wrong) return wrong;
  if (!data) return refuse(EOPNOTSUPP, 'a nested hwpt wants data', { parent: parent.id });
  const ops = opsOf(idev);
  if (!ops?.domainAllocNested) {
    return refuse(EOPNOTSUPP, 'the IOMMU driver cannot nest', { device: idev.dev.name });
  }
  if (parent.autoDomain || !parent.nestParent || parent.domain.owner !== ops) {
    return refuse(EINVAL, 'the hwpt was not allocated as nest parent for this IOMMU driver', {
      parent: parent.id,
    });
  }
  const domain = nestedDomainAlloc(idev.dev, parent.domain, flags & ~FAULT_ID_VALID, data);
  if (isErrno(domain)) return domain;
  const { env } = idev.ctx.subsystem;
  if (!domain.ops.cacheInvalidateUser && env.has('nested-wants-invalidate')) {
    domainFree(domain);
    return refuse(EINVAL, 'the nested domain has no way to invalidate its caches', {
      driver: ops.name,
    });
  }
  return reserveNested(new HwptNested(parent, parent, nestedInit(domain, flags)));
}

/** @kernel iommufd_viommu_alloc_hwpt_nested */
function viommuNestedAlloc(
  viommu: Viommu,
  idev: IommufdDevice,
  flags: number,
  data: UserData | undefined,
): Result<HwptNested> {
  if (!devHasIommu(idev.dev) || idev.dev.iommu.iommuDev !== viommu.iommuDev) {
    return refuse(EINVAL, 'the device is behind another IOMMU than the vIOMMU', {
      device: idev.dev.name,
    });
  }
  const wrong = checkNestedFlags(idev, flags);
  if (wrong) return wrong;
  if (!data) return refuse(EOPNOTSUPP, 'a nested hwpt wants data', { viommu: viommu.id });
  const domain = allocNestedDomain(viommu, flags & ~FAULT_ID_VALID, data);
  if (isErrno(domain)) return domain;
  return reserveNested(new HwptNested(viommu.hwpt, viommu, nestedInit(domain, flags)));
}

function nestedInit(domain: Domain, flags: number) {
  return { domain, pasidCompat: (flags & PASID) !== 0 };
}
function reserveNested(hwpt: HwptNested): Result<HwptNested> {
  setCookie(hwpt);
  const rc = hwpt.ctx.objects.reserve(hwpt);
  if (rc) hwpt.destroy();
  return rc ?? hwpt;
}

/** @kernel iommufd_hwpt_alloc */
export function hwptAlloc(ucmd: Ucmd<iommu_hwpt_alloc>): Status {
  const { cmd, ctx, task } = ucmd;
  const wrong = checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  if ((cmd.data_type === IOMMU_HWPT_DATA_NONE) !== (cmd.data_len === 0)) {
    return refuse(EINVAL, 'a data type and data go together', { data_type: cmd.data_type });
  }
  const idev = ctx.objects.get(cmd.dev_id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const pt = ctx.objects.lookup(cmd.pt_id);
  if (!pt) return refuse(EINVAL, 'no object has the id pt_id', { pt_id: cmd.pt_id });

  const data = userData(task, cmd.data_type, cmd.data_uptr, cmd.data_len);
  const hwpt = allocOn(pt, idev, cmd.flags, data);
  if (isErrno(hwpt)) return hwpt;
  const rc = linkFault(hwpt, cmd.flags, cmd.fault_id) ?? answer(ucmd, hwpt);
  if (rc) ctx.objects.abort(hwpt);
  else ctx.objects.publish(hwpt);
  return rc;
}

function allocOn(
  pt: IommufdObject,
  idev: IommufdDevice,
  flags: number,
  data: UserData | undefined,
): Result<Hwpt> {
  if (pt instanceof Ioas) {
    using _ = pt.mutex.hold();
    return hwptPagingAlloc(pt, idev, { flags, data });
  }
  if (pt instanceof HwptPaging) return hwptNestedAlloc(pt, idev, flags, data);
  if (pt instanceof Viommu) return viommuNestedAlloc(pt, idev, flags, data);
  return refuse(EINVAL, 'pt_id is neither an IOAS nor a paging hwpt nor a vIOMMU', {
    pt_id: pt.id,
  });
}

function linkFault(hwpt: Hwpt, flags: number, faultId: number): Status {
  if ((flags & FAULT_ID_VALID) === 0) return undefined;
  const fault = hwpt.ctx.objects.get(faultId, FaultQueue);
  if (isErrno(fault)) return refuse(ENOENT, 'fault_id is no fault queue', { fault_id: faultId });
  hwpt.fault = fault;
  fault.users++;
  hwpt.domain.iopfHandler = (group) => fault.handle(group);
  return undefined;
}
function answer(ucmd: Ucmd<iommu_hwpt_alloc>, hwpt: Hwpt): Status {
  ucmd.cmd.out_hwpt_id = hwpt.id;
  return ucmd.respond();
}
