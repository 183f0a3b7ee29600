/**
 * Bringing a group into a type1 container and taking it out (vfio.md 1.13, 1.14).
 *
 * Two policies find a domain to share: the merged one compares drivers and coherency and falls back on any errno;
 * with the trait 'type1-errno-search' (vfio.md 1.14) the errno of the attach decides: EINVAL tries the next domain,
 * anything else ends the call.
 */
import { EBUSY, EINVAL, EPERM, isErrno, type Result, type Status } from '../../base/errno.ts';
import type { IovaRange } from '../../base/iova-range.ts';
import { refuse } from '../../base/refuse.ts';
import { attachBySearch, reuseType1Domain } from '../../core/attach/auto-domain.ts';
import { getMsiCookie } from '../../core/dma/cookies.ts';
import { domainFree } from '../../core/map/domain-alloc.ts';
import { enforceCacheCoherency } from '../../core/map/domain-ops.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { groupHasIsolatedMsi } from '../../core/probe/probe.ts';
import {
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
  type ResvRegion,
} from '../../core/contract/resv-region.ts';
import { getGroupResvRegions } from '../../core/contract/resv-region-list.ts';
import type { VfioDeviceKind } from '../device-ops.ts';
import { checkAperture, checkReserved, clipToAperture, cutReserved } from './iova-list.ts';
import { translationFor } from './aux.ts';
import { setIommuMapped } from './device-pins.ts';
import { mapIntoDomain, pinDma, unmapFromDomain, unpinDma } from './pin.ts';
import { removeAllDmas } from './remove.ts';
import type { ContainerDomain, ContainerGroup, Type1Iommu } from './state.ts';

/** @kernel vfio_iommu_type1_attach_group */
export function attachGroupTo(
  iommu: Type1Iommu,
  iommuGroup: IommuGroup,
  kind: VfioDeviceKind,
): Status {
  if (iommu.vaddrInvalidCount > 0) {
    return refuse(EBUSY, 'the address of a mapping is invalid until it is mapped again', {
      group: iommuGroup.id,
      invalid: iommu.vaddrInvalidCount,
    });
  }
  if (iommu.hasGroup(iommuGroup))
    return refuse(EINVAL, 'the group is in the container already', { group: iommuGroup.id });
  const translation = translationFor(iommu.world.env, iommuGroup, kind);
  if (!translation) {
    iommu.emulated.push(iommuGroup);
    return undefined;
  }
  const group = { iommuGroup, translation };
  return iommu.world.env.has('type1-errno-search')
    ? attachByErrno(iommu, group)
    : attachByMatch(iommu, group);
}

/** The routine as merged: a new domain first, then an old one in its place. */
function attachByMatch(iommu: Type1Iommu, group: ContainerGroup): Status {
  const fresh = allocDomain(iommu, group);
  if (isErrno(fresh)) return fresh;
  const rc = group.translation.attach(fresh.domain);
  if (rc) {
    domainFree(fresh.domain);
    return rc;
  }
  const iovas = checkPlace(iommu, group, fresh.domain);
  if (isErrno(iovas)) return abandon(fresh, group, iovas);
  enforceCoherency(fresh);
  const used = reuseType1Domain({
    fresh,
    existing: iommu.domains,
    attach: (candidate) => group.translation.attach(candidate.domain),
    detach: (candidate) => group.translation.detach(candidate.domain),
  });
  if (isErrno(used)) {
    domainFree(fresh.domain);
    return used;
  }
  if (used !== fresh) {
    domainFree(fresh.domain);
    commit(iommu, used, group, iovas);
    return undefined;
  }
  const failed = fillDomain(iommu, fresh, iovas);
  if (failed) return abandon(fresh, group, failed);
  iommu.domains.unshift(fresh);
  commit(iommu, fresh, group, iovas);
  return undefined;
}

/** The search by errno (vfio.md 1.14): the first domain that does not say EINVAL. */
function attachByErrno(iommu: Type1Iommu, group: ContainerGroup): Status {
  const found = attachBySearch<ContainerDomain>({
    candidates: iommu.domains,
    attach: (candidate) => group.translation.attach(candidate.domain),
    alloc: () => allocDomain(iommu, group),
    free: (fresh) => domainFree(fresh.domain),
  });
  if (isErrno(found)) return found;
  const { domain, isNew } = found;
  const iovas = checkPlace(iommu, group, domain.domain);
  if (isErrno(iovas)) {
    if (isNew) return abandon(domain, group, iovas);
    group.translation.detach(domain.domain);
    return iovas;
  }
  if (isNew) {
    enforceCoherency(domain);
    const failed = fillDomain(iommu, domain, iovas);
    if (failed) return abandon(domain, group, failed);
    iommu.domains.unshift(domain);
  }
  commit(iommu, domain, group, iovas);
  return undefined;
}

function allocDomain(iommu: Type1Iommu, group: ContainerGroup): Result<ContainerDomain> {
  const domain = group.translation.alloc();
  if (isErrno(domain)) return domain;
  if (iommu.isNesting) {
    domainFree(domain);
    const { id } = group.iommuGroup;
    return refuse(EINVAL, 'the IOMMU offers no nesting to containers', { group: id });
  }
  return { domain, enforceCacheCoherency: false, groups: [] };
}
function enforceCoherency(fresh: ContainerDomain): void {
  const { domain } = fresh;
  fresh.enforceCacheCoherency = enforceCacheCoherency(domain);
}
function abandon<S extends Status>(fresh: ContainerDomain, group: ContainerGroup, why: S): S {
  group.translation.detach(fresh.domain);
  domainFree(fresh.domain);
  return why;
}
function commit(
  iommu: Type1Iommu,
  domain: ContainerDomain,
  group: ContainerGroup,
  place: Place,
): void {
  domain.groups.push(group);
  iommu.iovas = place.iovas;
}

interface Place {
  readonly iovas: IovaRange[];
  /** Software MSI window, when the group needs one. */
  readonly msiBase: bigint | undefined;
}

/** Steps 5 to 9: does what is mapped fit the group, and what may be mapped from now on? */
function checkPlace(iommu: Type1Iommu, group: ContainerGroup, domain: Domain): Result<Place> {
  const aperture = apertureOf(domain);
  const cut = checkAperture(iommu.iovas, iommu.dmas, aperture);
  if (cut) return cut;
  const regions = getGroupResvRegions(group.iommuGroup);
  const reserved = checkReserved(regions, iommu.dmas);
  if (reserved) return reserved;
  const iovas = cutReserved(clipToAperture(iommu.iovas, aperture), regions);
  if (iovas.length === 0)
    return refuse(EINVAL, 'no valid I/O address is left', { group: group.iommuGroup.id });
  if (
    !groupHasIsolatedMsi(group.translation.interruptGroup) &&
    !iommu.world.env.has('unsafe-interrupts')
  ) {
    return refuse(EPERM, 'interrupts are not isolated and allow_unsafe_interrupts is N', {
      group: group.iommuGroup.id,
    });
  }
  return { iovas, msiBase: softwareMsi(regions) };
}
function softwareMsi(regions: readonly ResvRegion[]): bigint | undefined {
  if (regions.some((region) => region.type === IOMMU_RESV_MSI)) return undefined;
  return regions.find((region) => region.type === IOMMU_RESV_SW_MSI)?.start;
}
function apertureOf(domain: Domain): IovaRange {
  return { start: domain.geometry.apertureStart, last: domain.geometry.apertureEnd };
}

/** Every mapping of the container into a new domain, then its MSI cookie. @kernel vfio_iommu_replay */
function fillDomain(iommu: Type1Iommu, fresh: ContainerDomain, place: Place): Status {
  const mapped = [];
  const pinned = [];
  let rc: Status = undefined;
  for (const dma of iommu.dmas) {
    if (!dma.iommuMapped) {
      rc = pinDma(iommu.world.memory, dma);
      if (rc) break;
      pinned.push(dma);
    }
    rc = mapIntoDomain(fresh.domain, dma);
    if (rc) break;
    mapped.push(dma);
  }
  rc ??= setMsiCookie(fresh.domain, place.msiBase);
  if (rc) {
    for (const dma of mapped) unmapFromDomain(fresh.domain, dma);
    for (const dma of pinned) unpinDma(iommu.world.memory, dma);
    return rc;
  }
  for (const dma of pinned) setIommuMapped(dma, true);
  return undefined;
}
function setMsiCookie(domain: Domain, base: bigint | undefined): Status {
  return base === undefined ? undefined : getMsiCookie(domain, base);
}

/** @kernel vfio_iommu_type1_detach_group */
export function detachGroupFrom(iommu: Type1Iommu, iommuGroup: IommuGroup): void {
  const at = iommu.emulated.indexOf(iommuGroup);
  if (at >= 0) {
    iommu.emulated.splice(at, 1);
    if (iommu.isEmpty) removeAllDmas(iommu);
    return;
  }
  for (const domain of iommu.domains) {
    const place = domain.groups.findIndex((group) => group.iommuGroup === iommuGroup);
    if (place < 0) continue;
    const [group] = domain.groups.splice(place, 1);
    group!.translation.detach(domain.domain);
    if (domain.groups.length === 0) {
      dropDomain(iommu, domain);
      domainFree(domain.domain);
    }
    iommu.iovas = rebuildIovas(iommu);
    return;
  }
}
/** The last group of a domain leaves: what it mapped goes; what nobody maps any more is unpinned. */
function dropDomain(iommu: Type1Iommu, domain: ContainerDomain): void {
  const last = iommu.domains.length === 1;
  if (last && iommu.emulated.length === 0) {
    removeAllDmas(iommu);
  } else {
    for (const dma of iommu.dmas) {
      if (dma.iommuMapped) unmapFromDomain(domain.domain, dma);
      if (!last) continue;
      unpinDma(iommu.world.memory, dma);
      setIommuMapped(dma, false);
    }
  }
  iommu.domains.splice(iommu.domains.indexOf(domain), 1);
}
function rebuildIovas(iommu: Type1Iommu): IovaRange[] {
  let list: IovaRange[] = [];
  for (const { domain } of iommu.domains) list = clipToAperture(list, apertureOf(domain));
  for (const { groups } of iommu.domains) {
    for (const group of groups) list = cutReserved(list, getGroupResvRegions(group.iommuGroup));
  }
  return list;
}
