/** DEVICE objects and the groups they come in (iommufd.md 4.1, 4.2). */
import { bugOn } from '../base/bug.ts';
import { Lock } from '../base/lock.ts';
import { deviceReleaseDmaOwner } from '../core/group/ownership.ts';
import type { Device } from '../core/contract/device.ts';
import type { AttachHandle } from '../core/contract/domain.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import type { IommufdContext } from './context.ts';
import type { Hwpt } from './hwpt-object.ts';
import { IommufdObject } from './object.ts';
import type { SwMsiGroup, SwMsiPage } from './sw-msi.ts';

/** What a PASID of a group is attached to, and which members asked for it. */
export interface Attachment {
  hwpt: Hwpt;
  handle: AttachHandle;
  readonly devices: Set<IommufdDevice>;
}

export class Igroup implements SwMsiGroup {
  /** Undefined for a noiommu device, which has one of these for itself. */
  readonly group: IommuGroup | undefined;
  readonly lock = new Lock('iommufd_group.lock');
  /** By PASID; 0 is the RID. Guarded by lock. */
  readonly attachments = new Map<number, Attachment>();
  /** Start of the software MSI window; undefined until a device brings one. */
  swMsiStart: bigint | undefined;
  /** Doorbell pages its devices were told to write to. */
  readonly requiredSwMsi = new Set<SwMsiPage>();
  devices = 0;

  constructor(group: IommuGroup | undefined) {
    this.group = group;
  }
}

const igroups = new WeakMap<IommufdContext, Map<IommuGroup, Igroup>>();

/** The group's record in a context. @kernel iommufd_get_group */
export function getIgroup(ctx: IommufdContext, group: IommuGroup): Igroup {
  let table = igroups.get(ctx);
  if (!table) igroups.set(ctx, (table = new Map<IommuGroup, Igroup>()));
  let igroup = table.get(group);
  if (!igroup) table.set(group, (igroup = new Igroup(group)));
  return igroup;
}
/** Undefined: no device of the group is bound here. */
export function findIgroup(ctx: IommufdContext, group: IommuGroup): Igroup | undefined {
  return igroups.get(ctx)?.get(group);
}
export function putIgroup(ctx: IommufdContext, igroup: Igroup): void {
  if (--igroup.devices > 0) return;
  bugOn(igroup.attachments.size > 0, 'a group is dropped with something attached');
  if (igroup.group) igroups.get(ctx)?.delete(igroup.group);
}
/** Is a device of the group bound here? noiommu groups never match. @kernel iommufd_ctx_has_group */
export function ctxHasGroup(ctx: IommufdContext, group: IommuGroup): boolean {
  return (findIgroup(ctx, group)?.devices ?? 0) > 0;
}

/** A vDEVICE as its device sees it. */
export interface VdeviceLink {
  /** The device goes away: destroy it and keep its id. */
  bury(): void;
}

export class IommufdDevice extends IommufdObject {
  static readonly kind = 'DEVICE';
  readonly ctx: IommufdContext;
  readonly dev: Device;
  /** A mock device of the selftest does not keep the context open. */
  readonly isMock: boolean;
  /** No IOMMU driver serves it, and the kernel can deal with that. */
  readonly isNoiommu: boolean;
  enforceCacheCoherency = false;
  /** Undefined until the bind got so far. */
  igroup: Igroup | undefined;
  vdev: VdeviceLink | undefined;
  unbinding = false;

  constructor(ctx: IommufdContext, dev: Device, isMock: boolean) {
    super();
    this.ctx = ctx;
    this.dev = dev;
    this.isMock = isMock;
    // Not by the group: the VFIO group path may have given it a fake one.
    this.isNoiommu = dev.iommu === undefined && ctx.subsystem.env.has('iommufd-noiommu');
  }
  override destroy(): void {
    const { igroup } = this;
    // A bind that failed half way: nothing was taken yet.
    if (!igroup) return;
    if (igroup.group) deviceReleaseDmaOwner(this.dev);
    putIgroup(this.ctx, igroup);
    if (!this.isMock) this.ctx.file.put();
  }
}
