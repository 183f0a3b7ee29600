/** A group whose container is an iommufd (vfio.md 1.12, 3.5). */
import { EINVAL, EPERM, isErrno, type Result, type Status } from '../base/errno.ts';
import type { ForeignFile, OpenFile } from '../base/file.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import type { VfioDeviceKind } from './device-ops.ts';
import type { VfioDevice, VfioWorld } from './device.ts';
import { DeviceIommufd, type Ctx, type IommufdApi } from './iommufd.ts';

/** The group as its context sees it. */
export interface GroupOfIommufd {
  readonly world: VfioWorld;
  readonly kind: VfioDeviceKind;
  /** For messages. */
  readonly nodeName: string;
}

/** A context in the place of a container. */
export class GroupIommufd {
  readonly #api: IommufdApi;
  readonly #group: GroupOfIommufd;
  readonly ctx: Ctx;

  private constructor(group: GroupOfIommufd, api: IommufdApi, ctx: Ctx) {
    this.#group = group;
    this.#api = api;
    this.ctx = ctx;
  }
  /** Undefined: the file is no iommufd. @kernel vfio_group_ioctl_set_container */
  static fromFile(
    group: GroupOfIommufd,
    file: OpenFile | ForeignFile,
  ): Result<GroupIommufd> | undefined {
    const api = group.world.iommufd;
    const ctx = api?.ctxFromFile(file);
    if (!api || !ctx) return undefined;
    const noiommu = group.kind === 'noiommu' && group.world.env.has('unsafe-noiommu-mode');
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
        ? refuse(EINVAL, 'the compat IOAS of the context is gone', { device: device.dev.name })
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
      return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', {
        group: this.#group.nodeName,
        uid: task.uid,
      });
    }
    if (this.#api.compatIoasId(this.ctx) !== undefined) {
      return refuse(EPERM, 'the context has an IOAS for VFIO, so the group has an IOMMU for it', {
        group: this.#group.nodeName,
      });
    }
    return undefined;
  }
}
