/** What VFIO needs of iommufd, filled with its kernel-internal calls (iommufd.md 4.1 to 4.3, 3.9, 6). */
import { Bug } from '../base/bug.ts';
import { EINVAL, isErrno, type Result } from '../base/errno.ts';
import { refuse, silently } from '../base/refuse.ts';
import {
  accessAttach,
  accessCreate,
  accessDestroy,
  accessDetach,
  accessReplace,
  type Access,
} from '../iommufd/access.ts';
import { IommufdContext } from '../iommufd/context.ts';
import {
  ctxHasGroup,
  deviceAttach,
  deviceBind,
  deviceDetach,
  deviceReplace,
  deviceUnbind,
  type IommufdDevice,
} from '../iommufd/device.ts';
import { ctxFromFile } from '../iommufd/main.ts';
import {
  vfioCompatIoasCreate,
  vfioCompatIoasGetId,
  vfioCompatSetNoIommu,
} from '../iommufd/compat/vfio-compat.ts';
import type { BoundDevice, Ctx, IommufdApi } from './iommufd.ts';

export const IOMMUFD_API: IommufdApi = {
  ctxFromFile(file) {
    const ctx = ctxFromFile(file);
    ctx?.file.get();
    return ctx;
  },
  ctxPut: (ctx) => own(ctx).file.put(),
  deviceBind(ctx, dev) {
    const idev = deviceBind(own(ctx), dev);
    return isErrno(idev) ? idev : new PhysicalDevice(idev);
  },
  accessBind(ctx, unmap) {
    const access = accessCreate(own(ctx), { needsPinPages: true, unmap });
    return isErrno(access) ? access : new EmulatedDevice(access);
  },
  compatIoasCreate(ctx) {
    return vfioCompatIoasCreate(own(ctx)) ?? vfioCompatIoasGetId(own(ctx));
  },
  compatIoasId(ctx) {
    const id = silently(() => vfioCompatIoasGetId(own(ctx)));
    return isErrno(id) ? undefined : id;
  },
  compatSetNoiommu: (ctx) => vfioCompatSetNoIommu(own(ctx)),
  ctxHasGroup: (ctx, group) => ctxHasGroup(own(ctx), group),
};

function own(ctx: Ctx): IommufdContext {
  if (ctx instanceof IommufdContext) return ctx;
  throw new Bug('a context that iommufd did not make');
}

class PhysicalDevice implements BoundDevice {
  readonly #idev: IommufdDevice;
  constructor(idev: IommufdDevice) {
    this.#idev = idev;
  }
  get devid(): number {
    return this.#idev.id;
  }
  attach(pasid: number, ptId: number): Result<number> {
    return deviceAttach(this.#idev, pasid, ptId);
  }
  replace(pasid: number, ptId: number): Result<number> {
    return deviceReplace(this.#idev, pasid, ptId);
  }
  detach(pasid: number): void {
    deviceDetach(this.#idev, pasid);
  }
  unbind(): void {
    deviceUnbind(this.#idev);
  }
}

/** No DMA of its own: it is attached to an IOAS as an access, whose id comes back. */
class EmulatedDevice implements BoundDevice {
  readonly #access: Access;
  constructor(access: Access) {
    this.#access = access;
  }
  get devid(): number {
    return this.#access.id;
  }
  attach(pasid: number, ptId: number): Result<number> {
    if (pasid !== 0) return refuse(EINVAL, 'an emulated device has no PASIDs', { pasid });
    return accessAttach(this.#access, ptId) ?? ptId;
  }
  replace(_pasid: number, ptId: number): Result<number> {
    return accessReplace(this.#access, ptId) ?? ptId;
  }
  detach(): void {
    accessDetach(this.#access);
  }
  unbind(): void {
    accessDestroy(this.#access);
  }
}
