/**
 * The IOMMU driver of containers without an IOMMU: it accepts groups and maps nothing (vfio.md 1.7, 3.5).
 */
import { EINVAL, ENOTTY, EPERM, type Result } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import { hex } from '../base/u64.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import { VFIO_NOIOMMU_IOMMU } from '../uapi/vfio.ts';
import type { ContainerIommu, ContainerIommuDriver } from './iommu-driver.ts';

export function noiommuDriver(env: KernelEnv): ContainerIommuDriver {
  const checkExtension = (extension: number): number =>
    extension === VFIO_NOIOMMU_IOMMU && env.has('unsafe-noiommu-mode') ? 1 : 0;
  return {
    name: 'vfio-noiommu',
    noiommu: true,
    checkExtension,
    open(task, type) {
      if (type !== VFIO_NOIOMMU_IOMMU)
        return refuse(EINVAL, 'a noiommu container has type 8 only', { type });
      if (!task.capable(CAP_SYS_RAWIO)) {
        return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', { uid: task.uid });
      }
      return new NoiommuContainer(checkExtension);
    },
  };
}

class NoiommuContainer implements ContainerIommu {
  readonly type = VFIO_NOIOMMU_IOMMU;
  readonly checkExtension: (extension: number) => number;
  constructor(checkExtension: (extension: number) => number) {
    this.checkExtension = checkExtension;
  }
  attachGroup(): undefined {
    return undefined;
  }
  detachGroup(): void {
    /* nothing was attached to anything */
  }
  ioctl(_task: Task, cmd: number): Result<number> {
    return refuse(ENOTTY, 'a noiommu container has no mappings and no such request', {
      cmd: hex(cmd),
    });
  }
  registerDevice(): void {
    /* no unmap ever happens here */
  }
  unregisterDevice(): void {
    /* see registerDevice */
  }
  release(): void {
    /* nothing is held */
  }
}
