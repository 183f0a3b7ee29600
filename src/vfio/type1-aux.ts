/**
 * How the devices of a group are put on a domain by type1 (vfio.md 1.13, 1.16; core.md 8.3).
 */
import type { Result, Status } from '../base/errno.ts';
import { attachGroup, detachGroup } from '../core/attach.ts';
import { pagingDomainAlloc } from '../core/domain-alloc.ts';
import type { Domain } from '../core/domain.ts';
import type { IommuGroup } from '../core/group.ts';
import type { VfioDeviceKind } from './device.ts';
import type { VfioSubsystem } from './vfio-core.ts';

export interface GroupTranslation {
  alloc(): Result<Domain>;
  attach(domain: Domain): Status;
  detach(domain: Domain): void;
}

/** Undefined: an emulated group, whose driver pins what it needs. */
export function translationFor(
  _subsystem: VfioSubsystem,
  group: IommuGroup,
  kind: VfioDeviceKind,
): GroupTranslation | undefined {
  if (kind === 'emulated') return undefined;
  return {
    alloc: () => pagingDomainAlloc(group.devices[0]!.dev),
    attach: (domain) => attachGroup(domain, group),
    detach: (domain) => detachGroup(domain, group),
  };
}
