/**
 * Allocating a domain for a bus: how it was before 6.13, in its two readings (core.md 1.7).
 *
 * Traits: 'bus-domain-alloc-last-device' is the posted v1, where the last device with an IOMMU decides and a mix of
 * drivers is warned once; 'bus-domain-alloc-refuse' is the merged form, where a mix is refused. With neither, the
 * call does not exist, as in today's kernels.
 */
import { EBUSY, EOPNOTSUPP, isErrno, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { devHasIommu, SCANNED_BUSES, type BusName, type Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { pagingDomainAlloc } from '../map/domain-alloc.ts';
import type { IommuCore } from '../contract/iommu-core.ts';

/**
 * A domain for the devices of a bus; undefined is the kernel's null.
 * Errnos: EOPNOTSUPP this kernel has no such call.
 * @kernel iommu_domain_alloc
 */
export function domainAlloc(
  core: IommuCore,
  bus: BusName,
): Result<Domain | undefined, 'EOPNOTSUPP'> {
  const lastDecides = core.env.has('bus-domain-alloc-last-device');
  if (!lastDecides && !core.env.has('bus-domain-alloc-refuse')) {
    return refuse(EOPNOTSUPP, 'domains are allocated for a device, not for a bus', { bus });
  }
  const chosen = chooseDevice(core, bus, lastDecides);
  if (chosen === undefined || isErrno(chosen)) return undefined;
  const domain = pagingDomainAlloc(chosen);
  return isErrno(domain) ? undefined : domain;
}

/** Walk the devices of the bus that have an IOMMU. */
function chooseDevice(
  core: IommuCore,
  bus: BusName,
  lastDecides: boolean,
): Result<Device | undefined, 'EBUSY'> {
  let chosen: Device | undefined;
  for (const dev of core.buses.get(bus) ?? []) {
    if (!devHasIommu(dev)) continue;
    const known = chosen?.iommu?.iommuDev?.ops;
    if (known !== undefined && known !== dev.iommu.iommuDev.ops) {
      core.env.warnOnce('multi-driver', `bus ${bus}: devices of more than one IOMMU driver`);
      if (!lastDecides) {
        return refuse(EBUSY, 'the bus has devices of several IOMMU drivers', { bus });
      }
    }
    chosen = dev;
  }
  return chosen;
}

/**
 * Is there an IOMMU for this bus? As from 6.8 to 6.12.
 * @kernel iommu_present
 */
export function present(core: IommuCore, bus: BusName): boolean {
  return SCANNED_BUSES.some((scanned) => scanned === bus) && core.instances.length > 0;
}
