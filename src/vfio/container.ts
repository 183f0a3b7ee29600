/**
 * A container: groups that share one IOMMU driver state, and /dev/vfio/vfio (vfio.md 1.7, 1.4, 1.5).
 *
 * Closing the file leaves it alive as long as groups are attached; when the last group goes, its mappings go too
 * and it is as freshly opened.
 */
import { EINVAL, ENODEV, EPERM, isErrno, type Result, type Status } from '../base/errno.ts';
import { OpenFile, type FileOps } from '../base/file.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import { Lock } from '../base/lock.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../base/task.ts';
import { hex } from '../base/u64.ts';
import { groupClaimDmaOwner, groupReleaseDmaOwner } from '../core/group/ownership.ts';
import type { IommuGroup } from '../core/contract/group.ts';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '../uapi/vfio.ts';
import type { VfioDeviceKind } from './device-ops.ts';
import type { ContainerIommu, ContainerIommuDriver } from './iommu-driver.ts';

/** What people call the types. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  [VFIO_TYPE1_IOMMU]: 'type1',
  [VFIO_TYPE1v2_IOMMU]: 'type1v2',
  [VFIO_TYPE1_NESTING_IOMMU]: 'type1 for nesting',
  [VFIO_NOIOMMU_IOMMU]: 'noiommu by group',
};

/** A group as its container sees it; by its identity it owns the DMA of its devices. */
export interface GroupInContainer {
  readonly iommuGroup: IommuGroup;
  readonly kind: VfioDeviceKind;
}

/** One open of /dev/vfio/vfio (struct vfio_container). */
export class VfioContainer {
  readonly lock = new Lock('vfio_container.group_lock');
  readonly #env: KernelEnv;
  readonly #drivers: readonly ContainerIommuDriver[];
  /** In order of joining. Guarded by lock. */
  readonly groups: GroupInContainer[] = [];
  iommu: ContainerIommu | undefined;
  /** Set by its first group. */
  noiommu = false;

  constructor(env: KernelEnv, drivers: readonly ContainerIommuDriver[]) {
    this.#env = env;
    this.#drivers = drivers;
  }

  /** @kernel vfio_container_ioctl_check_extension */
  checkExtension(extension: number): number {
    if (this.iommu) return this.iommu.checkExtension(extension);
    for (const driver of this.#allowed()) {
      const answer = driver.checkExtension(extension);
      if (answer > 0) return answer;
    }
    return 0;
  }

  /** @kernel vfio_ioctl_set_iommu */
  setIommu(task: Task, type: number): Status {
    using _ = this.lock.hold();
    if (this.groups.length === 0) return refuse(EINVAL, 'the container holds no group', { type });
    if (this.iommu) return refuse(EINVAL, 'the container has its IOMMU type already', { type });
    let last: Status = undefined;
    for (const driver of this.#allowed()) {
      if (driver.checkExtension(type) <= 0) continue;
      const iommu = this.#openWithGroups(task, driver, type);
      if (!isErrno(iommu)) {
        this.iommu = iommu;
        this.#env.backends.add(TYPE_NAMES[type] ?? driver.name);
        return undefined;
      }
      last = iommu;
    }
    return last ?? refuse(ENODEV, 'no IOMMU driver serves this type', { type });
  }

  /** @kernel vfio_container_attach_group */
  attachGroup(task: Task, group: GroupInContainer): Status {
    const noiommu = group.kind === 'noiommu';
    if (noiommu && !task.capable(CAP_SYS_RAWIO)) {
      return refuse(EPERM, 'DMA without an IOMMU needs CAP_SYS_RAWIO', {
        group: group.iommuGroup.id,
        uid: task.uid,
      });
    }
    using _ = this.lock.hold();
    if (this.groups.length > 0 && this.noiommu !== noiommu) {
      return refuse(EPERM, 'groups with and without an IOMMU do not share a container', {
        group: group.iommuGroup.id,
        members: this.groups.length,
      });
    }
    if (group.kind === 'iommu') {
      const rc = groupClaimDmaOwner(group.iommuGroup, group);
      if (rc) return rc;
    }
    const rc = this.iommu?.attachGroup(group.iommuGroup, group.kind);
    if (rc) {
      if (group.kind === 'iommu') groupReleaseDmaOwner(group.iommuGroup);
      return rc;
    }
    this.noiommu = noiommu;
    this.groups.push(group);
    return undefined;
  }
  /** @kernel vfio_group_detach_container */
  detachGroup(group: GroupInContainer): void {
    using _ = this.lock.hold();
    this.iommu?.detachGroup(group.iommuGroup);
    if (group.kind === 'iommu') groupReleaseDmaOwner(group.iommuGroup);
    this.groups.splice(this.groups.indexOf(group), 1);
    if (this.groups.length > 0) return;
    this.iommu?.release();
    this.iommu = undefined;
    this.noiommu = false;
  }

  ioctl(task: Task, cmd: number, arg: bigint): Result<number> {
    switch (cmd) {
      case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
      case VFIO_CHECK_EXTENSION:
        return this.checkExtension(Number(arg & 0xffff_ffffn));
      case VFIO_SET_IOMMU:
        return this.setIommu(task, Number(arg & 0xffff_ffffn)) ?? 0;
      default:
        if (this.iommu) return this.iommu.ioctl(task, cmd, arg);
        return refuse(EINVAL, 'the container has no IOMMU type yet', { cmd: hex(cmd) });
    }
  }

  /** Real groups rule out the noiommu driver and the other way round; an empty container asks all. */
  #allowed(): readonly ContainerIommuDriver[] {
    if (this.groups.length === 0) return this.#drivers;
    return this.#drivers.filter((driver) => driver.noiommu === this.noiommu);
  }
  #openWithGroups(task: Task, driver: ContainerIommuDriver, type: number): Result<ContainerIommu> {
    const iommu = driver.open(task, type);
    if (isErrno(iommu)) return iommu;
    for (const [n, group] of this.groups.entries()) {
      const rc = iommu.attachGroup(group.iommuGroup, group.kind);
      if (!rc) continue;
      for (const done of this.groups.slice(0, n)) iommu.detachGroup(done.iommuGroup);
      iommu.release();
      return rc;
    }
    return iommu;
  }
}

const containerOps: FileOps = {
  ioctl: (file, task, cmd, arg) => behind(file).ioctl(task, cmd, arg),
};

function behind(file: OpenFile): VfioContainer {
  // cast: files with containerOps are made in openContainer only
  return file.priv as VfioContainer;
}

export function openContainer(env: KernelEnv, drivers: readonly ContainerIommuDriver[]): OpenFile {
  return new OpenFile('/dev/vfio/vfio', containerOps, new VfioContainer(env, drivers));
}
/** The container behind a file, or undefined for any other file. */
export function containerOf(file: object): VfioContainer | undefined {
  return file instanceof OpenFile && file.ops === containerOps ? behind(file) : undefined;
}
