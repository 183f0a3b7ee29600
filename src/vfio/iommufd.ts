/**
 * How VFIO uses iommufd: what it needs of it, a device's binding, and a group whose container is an iommufd
 * (vfio.md 1.12, 3.2, 3.3, 3.5).
 *
 * The interface is VFIO's; vfio/iommufd-api.ts fills it with the kernel-internal calls of src/iommufd.
 */
import { EINVAL, EPERM, isErrno, type Result, type Status } from '../base/errno.ts';
import type { ForeignFile, OpenFile } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import type { Device } from '../core/contract/device.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import type { VfioDevice } from './device.ts';
import type { VfioGroup } from './group.ts';

/** A context of iommufd, opaque here. */
export type Ctx = object;
/** A bound device (DEVICE object) or an access of an emulated one. */
export interface BoundDevice {
  readonly devid: number;
  /** pt_id in, the id of what it is attached to out. Pasid 0 is the RID. */
  attach(pasid: number, ptId: number): Result<number>;
  replace(pasid: number, ptId: number): Result<number>;
  detach(pasid: number): void;
  unbind(): void;
}

export interface IommufdApi {
  /** The context behind a file, with a reference; undefined for any other file. */
  ctxFromFile(file: OpenFile | ForeignFile): Ctx | undefined;
  ctxPut(ctx: Ctx): void;
  deviceBind(ctx: Ctx, dev: Device): Result<BoundDevice>;
  /** An emulated device: no DMA of its own; `unmap` must let go of pages in the range. */
  accessBind(ctx: Ctx, unmap: (iova: bigint, length: bigint) => void): Result<BoundDevice>;
  /** Id of the compat IOAS, made on first use; EINVAL in no-iommu mode. */
  compatIoasCreate(ctx: Ctx): Result<number>;
  /** Undefined: there is none. */
  compatIoasId(ctx: Ctx): number | undefined;
  compatSetNoiommu(ctx: Ctx): Status;
  /** Is a device of this group bound to this context? */
  ctxHasGroup(ctx: Ctx, group: IommuGroup): boolean;
}

/** One device bound to a context: what is attached per PASID, so that a second attach is a replace. */
export class DeviceIommufd {
  readonly api: IommufdApi;
  readonly ctx: Ctx;
  readonly bound: BoundDevice;
  readonly #attached = new Set<number>();

  constructor(api: IommufdApi, ctx: Ctx, bound: BoundDevice) {
    this.api = api;
    this.ctx = ctx;
    this.bound = bound;
  }
  /** @kernel vfio_iommufd_physical_bind */
  static bind(device: VfioDevice, api: IommufdApi, ctx: Ctx): Result<DeviceIommufd> {
    const bound =
      device.kind === 'emulated'
        ? api.accessBind(ctx, (iova, length) => device.ops.dmaUnmap?.(iova, length))
        : api.deviceBind(ctx, device.dev);
    if (isErrno(bound)) return bound;
    return new DeviceIommufd(api, ctx, bound);
  }
  attach(pasid: number, ptId: number): Result<number> {
    const id = this.#attached.has(pasid)
      ? this.bound.replace(pasid, ptId)
      : this.bound.attach(pasid, ptId);
    if (!isErrno(id)) this.#attached.add(pasid);
    return id;
  }
  detach(pasid: number): void {
    if (this.#attached.delete(pasid)) this.bound.detach(pasid);
  }
  unbind(): void {
    for (const pasid of [...this.#attached].sort((a, b) => b - a)) this.detach(pasid);
    this.bound.unbind();
  }
}

/** A context in the place of a container. */
export class GroupIommufd {
  readonly #api: IommufdApi;
  readonly #group: VfioGroup;
  readonly ctx: Ctx;

  private constructor(group: VfioGroup, api: IommufdApi, ctx: Ctx) {
    this.#group = group;
    this.#api = api;
    this.ctx = ctx;
  }
  /** Undefined: the file is no iommufd. @kernel vfio_group_ioctl_set_container */
  static fromFile(
    group: VfioGroup,
    file: OpenFile | ForeignFile,
  ): Result<GroupIommufd> | undefined {
    const api = group.subsystem.iommufd;
    const ctx = api?.ctxFromFile(file);
    if (!api || !ctx) return undefined;
    const noiommu = group.kind === 'noiommu' && group.subsystem.env.has('unsafe-noiommu-mode');
    const made = noiommu ? api.compatSetNoiommu(ctx) : api.compatIoasCreate(ctx);
    if (isErrno(made)) {
      api.ctxPut(ctx);
      return made;
    }
    return new GroupIommufd(group, api, ctx);
  }
  /** First open of a device of the group: bind and attach it to the compat IOAS. */
  openDevice(task: Task, device: VfioDevice): Status {
    if (device.kind === 'noiommu') return this.#openNoiommu(task);
    const bound = DeviceIommufd.bind(device, this.#api, this.ctx);
    if (isErrno(bound)) return bound;
    const ioas = this.#api.compatIoasId(this.ctx);
    const attached =
      ioas === undefined
        ? refuse(EINVAL, 'the compat IOAS of the context is gone')
        : bound.attach(0, ioas);
    if (isErrno(attached)) {
      bound.unbind();
      return attached;
    }
    device.iommufd = bound;
    return undefined;
  }
  put(): void {
    this.#api.ctxPut(this.ctx);
  }

  #openNoiommu(task: Task): Status {
    if (!task.capable(CAP_SYS_RAWIO)) {
      return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO');
    }
    if (this.#api.compatIoasId(this.ctx) !== undefined) {
      return refuse(EPERM, 'the context has an IOAS for VFIO, so the group has an IOMMU for it', {
        group: this.#group.nodeName,
      });
    }
    return undefined;
  }
}
