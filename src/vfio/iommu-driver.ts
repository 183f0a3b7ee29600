/**
 * What a container needs of an IOMMU driver (struct vfio_iommu_driver_ops): type1 and noiommu implement it
 * (vfio.md 1.7).
 */
import type { Result, Status } from '../base/errno.ts';
import type { Task } from '../base/task.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import type { VfioDeviceKind } from './device-ops.ts';
import type { VfioDevice } from './device.ts';

export interface ContainerIommuDriver {
  readonly name: string;
  readonly noiommu: boolean;
  /** The answer while no driver is chosen: positive where supported. */
  checkExtension(extension: number): number;
  open(task: Task, type: number): Result<ContainerIommu>;
}

/** One opened driver: the mappings of one container. */
export interface ContainerIommu {
  readonly type: number;
  checkExtension(extension: number): number;
  attachGroup(group: IommuGroup, kind: VfioDeviceKind): Status;
  detachGroup(group: IommuGroup): void;
  ioctl(task: Task, cmd: number, arg: bigint): Result<number>;
  /** Emulated devices that must hear of unmaps while open. */
  registerDevice(device: VfioDevice): void;
  unregisterDevice(device: VfioDevice): void;
  /** The last group is gone. */
  release(): void;
}
