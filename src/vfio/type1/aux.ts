/**
 * How the devices of a group are put on a domain by type1 (vfio.md 1.13, 1.16; core.md 8.3, 8.4).
 *
 * With the trait 'aux-domains' an mdev whose members share one physical device is translated by that device's IOMMU:
 * as an aux domain where the feature is enabled, else by attaching the whole device (a VF behind an mdev).
 */
import type { Result, Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { attachGroup, detachGroup } from '../../core/attach/attach.ts';
import {
  attachSubdevGroup,
  auxAttachGroup,
  auxDetachGroup,
  detachSubdevGroup,
} from '../../core/aux/aux.ts';
import { devFeatureEnabled, IOMMU_DEV_FEAT_AUX } from '../../core/attach/aux-feature.ts';
import type { Device } from '../../core/contract/device.ts';
import { pagingDomainAlloc } from '../../core/map/domain-alloc.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { mdevGetIommuDevice, mdevGroupIommuDevice } from '../../core/aux/mdev.ts';
import type { VfioDeviceKind } from '../device-ops.ts';

export interface GroupTranslation {
  alloc(): Result<Domain>;
  attach(domain: Domain): Status;
  detach(domain: Domain): void;
  /** Whose interrupts must be isolated. */
  readonly interruptGroup: IommuGroup;
}

/** Undefined: an emulated group, whose driver pins what it needs. */
export function translationFor(
  env: KernelEnv,
  group: IommuGroup,
  kind: VfioDeviceKind,
): GroupTranslation | undefined {
  if (kind !== 'emulated') return ownTranslation(group);
  if (!env.has('aux-domains')) return undefined;
  const phys = mdevGroupIommuDevice(group);
  return phys && mdevTranslation(group, phys);
}

function ownTranslation(group: IommuGroup): GroupTranslation {
  return {
    alloc: () => pagingDomainAlloc(group.devices[0]!.dev),
    attach: (domain) => attachGroup(domain, group),
    detach: (domain) => detachGroup(domain, group),
    interruptGroup: group,
  };
}
function mdevTranslation(group: IommuGroup, phys: Device): GroupTranslation {
  return {
    alloc: () => pagingDomainAlloc(phys),
    attach: (domain) =>
      devFeatureEnabled(phys, IOMMU_DEV_FEAT_AUX)
        ? auxAttachGroup(domain, group, phys)
        : attachSubdevGroup(domain, group, mdevGetIommuDevice),
    detach(domain) {
      if (group.auxDomainAttached) auxDetachGroup(domain, group, phys);
      else detachSubdevGroup(domain, group, mdevGetIommuDevice);
    },
    interruptGroup: phys.iommuGroup!,
  };
}
