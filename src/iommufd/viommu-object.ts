/** VIOMMU: a slice of a physical IOMMU for a guest, tied to a nest parent (iommufd.md 2.17). */
import { Bug } from '../base/bug.ts';
import { EOPNOTSUPP, isErrno, type Result, type Status } from '../base/errno.ts';
import type { SharedPages } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import type { Domain, UserData } from '../core/contract/domain.ts';
import { callOps } from '../core/contract/driver-call.ts';
import type { IommuDevice, VdeviceCore, ViommuCore, ViommuOps } from '../core/contract/driver.ts';
import type { IommufdContext } from './context.ts';
import type { HwptPaging } from './hwpt-object.ts';
import { IommufdObject } from './object.ts';

/** A queue of the vIOMMU's events, as its reporter sees it. */
export interface EventSink {
  readonly type: number;
  report(bytes: Uint8Array): void;
}

export class Viommu extends IommufdObject implements ViommuCore {
  static readonly kind = 'VIOMMU';
  readonly ctx: IommufdContext;
  readonly hwpt: HwptPaging;
  readonly type: number;
  readonly iommuDev: IommuDevice;
  readonly vdevices = new Map<bigint, VdeviceCore>();
  readonly eventQueues: EventSink[] = [];
  ops: ViommuOps = {};
  priv: unknown;

  constructor(hwpt: HwptPaging, type: number, iommuDev: IommuDevice) {
    super();
    this.ctx = hwpt.ctx;
    this.hwpt = hwpt;
    this.type = type;
    this.iommuDev = iommuDev;
    hwpt.users++;
  }
  get parent(): Domain {
    return this.hwpt.domain;
  }
  override destroy(): void {
    const { ops } = this;
    if (ops.destroy) callOps(this.iommuDev.ops, 'viommu_destroy', () => ops.destroy!(this));
    this.ctx.mmapRegions.withdraw(this);
    this.hwpt.users--;
  }
  /** @kernel iommufd_viommu_report_event */
  reportEvent(type: number, bytes: Uint8Array): Status<'EOPNOTSUPP'> {
    const queue = this.eventQueues.find((q) => q.type === type);
    if (!queue) return refuse(EOPNOTSUPP, 'nobody listens to events of this type', { type });
    queue.report(bytes);
    return undefined;
  }
  /** @kernel iommufd_viommu_alloc_mmap */
  mmapAlloc(pages: SharedPages): Result<bigint> {
    return this.ctx.mmapRegions.publish(this, pages);
  }
  mmapDestroy(offset: bigint): void {
    this.ctx.mmapRegions.withdraw(this, offset);
  }
  newPages(lengthBytes: number): Result<SharedPages> {
    return this.ctx.subsystem.newSharedPages(lengthBytes);
  }
}

/** A stage-1 domain made by the vIOMMU's driver. */
export function allocNestedDomain(viommu: Viommu, flags: number, data: UserData): Result<Domain> {
  if (!viommu.ops.allocDomainNested) {
    return refuse(EOPNOTSUPP, 'the vIOMMU makes no nested domains', { type: viommu.type });
  }
  const domain = callOps(viommu.iommuDev.ops, 'alloc_domain_nested', () =>
    viommu.ops.allocDomainNested!(viommu, flags, data),
  );
  if (isErrno(domain)) return domain;
  if (domain.owner === undefined) domain.owner = viommu.iommuDev.ops;
  if (domain.owner !== viommu.iommuDev.ops) {
    throw new Bug(`${viommu.iommuDev.ops.name}: a nested domain of another driver`);
  }
  return domain;
}
