/** Groups: the devices that share one translation (core.md 2.1). */
import { Lock } from '../../base/lock.ts';
import type { AttachHandle, Domain } from './domain.ts';
import type { Device } from './device.ts';
import type { IommuCore } from './iommu-core.ts';

/** One member (struct group_device). */
export interface GroupDevice {
  readonly dev: Device;
  /** Name of its link in devices/. */
  readonly name: string;
  /** Blocked by a reset in progress. */
  blocked: boolean;
  resetDepth: number;
}

/** An entry of the PASID array: bare domain, or a handle. */
export interface PasidEntry {
  /** Undefined while the slot is only reserved. */
  domain: Domain | undefined;
  handle: AttachHandle | undefined;
}

/** Devices that cannot be told apart or isolated: the unit of ownership. @kernel iommu_group */
export class IommuGroup {
  readonly core: IommuCore;
  readonly id: number;
  name: string | undefined;
  readonly mutex = new Lock('iommu_group.mutex');
  /** In order of joining. Guarded by mutex. */
  readonly devices: GroupDevice[] = [];
  defaultDomain: Domain | undefined;
  blockingDomain: Domain | undefined;
  /** Guarded by mutex: what every member is attached to. */
  domain: Domain | undefined;
  /** PASID to entry; index 0 holds the handle of the RID attach. Guarded by mutex. */
  readonly pasidArray = new Map<number, PasidEntry>();
  owner: object | undefined;
  ownerCnt = 0;
  /** Members being reset. */
  recoveryCnt = 0;
  /** The domain was set by iommu_aux_attach_group (core.md 8.4). */
  auxDomainAttached = false;
  iommuData: unknown;
  /** Called when the group is freed. */
  releaseIommuData: ((data: unknown) => void) | undefined;
  refs = 1;

  constructor(core: IommuCore, id: number) {
    this.core = core;
    this.id = id;
    core.groupRefs++;
  }
}
