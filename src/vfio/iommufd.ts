/**
 * How VFIO uses iommufd: what it needs of it, and a device's binding (vfio.md 3.2, 3.3).
 *
 * The interface is VFIO's; vfio/iommufd-api.ts fills it with the kernel-internal calls of src/iommufd.
 */
import { isErrno, type Result, type Status } from '../base/errno.ts';
import type { ForeignFile, OpenFile } from '../base/file.ts';
import type { Device } from '../core/contract/device.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import type { VfioDeviceKind, VfioDeviceOps } from './device-ops.ts';

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

/** What of a device matters to its binding. */
export interface Bindable {
  readonly dev: Device;
  readonly kind: VfioDeviceKind;
  readonly ops: VfioDeviceOps;
}

/** What an attach is for: a PASID that was named, or undefined, all that the device puts on the bus without one. */
export type AttachFor = number | undefined;

/**
 * One device bound to a context: what is attached, so that a second attach is a replace. PASID 0 that was named is what
 * goes without one, but an attachment of its own: while one of the two is there the other is EBUSY.
 */
export class DeviceIommufd {
  readonly api: IommufdApi;
  readonly ctx: Ctx;
  readonly bound: BoundDevice;
  readonly #attached = new Set<AttachFor>();

  constructor(api: IommufdApi, ctx: Ctx, bound: BoundDevice) {
    this.api = api;
    this.ctx = ctx;
    this.bound = bound;
  }
  /** @kernel vfio_iommufd_physical_bind */
  static bind(device: Bindable, api: IommufdApi, ctx: Ctx): Result<DeviceIommufd> {
    const bound =
      device.kind === 'emulated'
        ? api.accessBind(ctx, (iova, length) => device.ops.dmaUnmap?.(iova, length))
        : api.deviceBind(ctx, device.dev);
    if (isErrno(bound)) return bound;
    return new DeviceIommufd(api, ctx, bound);
  }
  attach(what: AttachFor, ptId: number): Result<number> {
    const pasid = what ?? 0;
    const id = this.#attached.has(what)
      ? this.bound.replace(pasid, ptId)
      : this.bound.attach(pasid, ptId);
    if (!isErrno(id)) this.#attached.add(what);
    return id;
  }
  /** False: it was not attached. */
  detach(what: AttachFor): boolean {
    const was = this.#attached.delete(what);
    if (was) this.bound.detach(what ?? 0);
    return was;
  }
  unbind(): void {
    const lastFirst = [...this.#attached].sort((a = 0, b = 0) => b - a);
    for (const what of lastFirst) this.detach(what);
    this.bound.unbind();
  }
}
