/**
 * The type1 IOMMU driver of containers, v1 and v2: who answers which request (vfio.md 1.7, 1.8).
 *
 * NOT IMPLEMENTED: huge-page batching has no parameter (disable_hugepages); no IOMMU of ours takes part in the nesting of
 * type 6.
 */
import type { KernelEnv } from '../../base/kernel-env.ts';
import { EINVAL, ENOTTY, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '../../uapi/vfio.ts';
import type { VfioDeviceKind } from '../device-ops.ts';
import type { VfioDevice } from '../device.ts';
import type { ContainerIommu, ContainerIommuDriver } from '../iommu-driver.ts';
import { attachGroupTo, detachGroupFrom } from './attach.ts';
import { dirtyPages } from './dirty.ts';
import { getInfo } from './info.ts';
import { mapDma } from './map.ts';
import { removeAllDmas } from './remove.ts';
import { Type1Iommu, type Type1World } from './state.ts';
import { unmapDma } from './unmap.ts';

/** Types that can be chosen. */
function typesOf(env: KernelEnv): readonly number[] {
  if (env.has('type1-v1-only')) return [VFIO_TYPE1_IOMMU];
  const nesting = env.has('type1-nesting') ? [VFIO_TYPE1_NESTING_IOMMU] : [];
  return [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, ...nesting];
}
/** Extensions that type1 says it has, chosen or not. */
function isSupported(env: KernelEnv, extension: number): boolean {
  return extension === VFIO_UNMAP_ALL || typesOf(env).includes(extension);
}

/** The driver, to be given to VfioSubsystem as one of its `containerDrivers`. */
export function type1Driver(world: Type1World): ContainerIommuDriver {
  return {
    name: 'vfio-iommu-type1',
    noiommu: false,
    checkExtension: (extension) => (isSupported(world.env, extension) ? 1 : 0),
    open(_task, type) {
      if (typesOf(world.env).includes(type)) {
        return new Type1Container(new Type1Iommu(world, type));
      }
      return refuse(EINVAL, 'an extension of type1, but no IOMMU type', { type });
    },
  };
}

type Handler = (iommu: Type1Iommu, task: Task, arg: bigint) => Status;

/** Requests that are not here are ENOTTY. */
const IOCTLS: Readonly<Record<number, Handler>> = {
  [VFIO_IOMMU_GET_INFO]: getInfo,
  [VFIO_IOMMU_MAP_DMA]: mapDma,
  [VFIO_IOMMU_UNMAP_DMA]: unmapDma,
  [VFIO_IOMMU_DIRTY_PAGES]: dirtyPages,
};

/** A container's way to its state: each call holds the lock. */
export class Type1Container implements ContainerIommu {
  readonly iommu: Type1Iommu;

  constructor(iommu: Type1Iommu) {
    this.iommu = iommu;
  }
  get type(): number {
    return this.iommu.type;
  }
  /** @kernel vfio_iommu_type1_check_extension */
  checkExtension(extension: number): number {
    const { domains, emulated, world } = this.iommu;
    if (isSupported(world.env, extension)) return 1;
    if (extension === VFIO_UPDATE_VADDR) return emulated.length === 0 ? 1 : 0;
    if (extension !== VFIO_DMA_CC_IOMMU) return 0;
    return domains.every((domain) => domain.enforceCacheCoherency) ? 1 : 0;
  }
  attachGroup(group: IommuGroup, kind: VfioDeviceKind): Status {
    using _ = this.iommu.lock.hold();
    return attachGroupTo(this.iommu, group, kind);
  }
  detachGroup(group: IommuGroup): void {
    using _ = this.iommu.lock.hold();
    detachGroupFrom(this.iommu, group);
  }
  registerDevice(device: VfioDevice): void {
    this.iommu.devices.add(device);
  }
  unregisterDevice(device: VfioDevice): void {
    this.iommu.devices.delete(device);
  }
  release(): void {
    removeAllDmas(this.iommu);
  }
  /** @kernel vfio_iommu_type1_ioctl */
  ioctl(task: Task, cmd: number, arg: bigint): Result<number> {
    using _ = this.iommu.lock.hold();
    const handler = IOCTLS[cmd];
    if (handler) return handler(this.iommu, task, arg) ?? 0;
    return refuse(ENOTTY, 'type1 has no such request', { cmd: hex(cmd) });
  }
}
