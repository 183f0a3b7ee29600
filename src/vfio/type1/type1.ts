/**
 * The type1 IOMMU driver of containers, v1 and v2: state, requests, GET_INFO (vfio.md 1.7, 1.8).
 *
 * NOT IMPLEMENTED: behaviour switches for 6.12 errnos; huge-page batching has no parameter (disable_hugepages).
 */
import { EINVAL, ENOTTY, isErrno, type Result, type Status } from '../../base/errno.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex } from '../../base/u64.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_INFO_PGSIZES,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
  vfio_iommu_type1_info,
} from '../../uapi/vfio.ts';
import type { VfioDevice, VfioDeviceKind } from '../device.ts';
import type { ContainerIommu, ContainerIommuDriver } from '../iommu-driver.ts';
import { capChain, copyToUser, readArg, type InfoCap } from '../ioctl.ts';
import type { IovaRange } from './iova-list.ts';
import { attachGroupTo, detachGroupFrom, type ContainerDomain } from './attach.ts';
import { dropDevicePins } from './device-pins.ts';
import { dirtyPages, MAX_DIRTY_BITMAP } from './dirty.ts';
import { DmaList, type Dma } from './dma.ts';
import { mapDma } from './map.ts';
import { unmapFromDomain, unpinDma } from './pin.ts';
import { unmapDma } from './unmap.ts';
import type { VfioSubsystem } from '../vfio-core.ts';

/** Extensions that type1 says it has while it is not yet chosen. */
const SUPPORTED = [VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, VFIO_UNMAP_ALL];

export function type1Driver(subsystem: VfioSubsystem): ContainerIommuDriver {
  return {
    name: 'vfio-iommu-type1',
    noiommu: false,
    checkExtension: (extension) => (SUPPORTED.includes(extension) ? 1 : 0),
    open(_task, type) {
      if (type === VFIO_TYPE1_IOMMU || type === VFIO_TYPE1v2_IOMMU) {
        return new Type1Iommu(subsystem, type);
      }
      return refuse(EINVAL, 'an extension of type1, but no IOMMU type', { type });
    },
  };
}

/** struct vfio_iommu. */
export class Type1Iommu implements ContainerIommu {
  readonly subsystem: VfioSubsystem;
  readonly type: number;
  readonly lock = new Lock('vfio_iommu.lock');
  /** Guarded by lock, as are all below. */
  readonly dmas = new DmaList();
  /** Newest first. */
  readonly domains: ContainerDomain[] = [];
  /** Groups without a translation of their own. */
  readonly emulated: IommuGroup[] = [];
  /** Open devices whose driver pins pages. */
  readonly devices = new Set<VfioDevice>();
  iovas: IovaRange[] = [];
  vaddrInvalidCount = 0;
  dirtyTracking = false;
  /** Mappings that may still be made. */
  available: number;

  constructor(subsystem: VfioSubsystem, type: number) {
    this.subsystem = subsystem;
    this.type = type;
    this.available = subsystem.parameters.dmaEntryLimit;
  }
  get isV2(): boolean {
    return this.type === VFIO_TYPE1v2_IOMMU;
  }
  get isEmpty(): boolean {
    return this.domains.length === 0 && this.emulated.length === 0;
  }
  /** What every domain can map, with sizes below a page counted as a page. */
  get pgsizes(): bigint {
    let sizes = (1n << 64n) - 1n;
    for (const { domain } of this.domains) sizes &= domain.pgsizeBitmap;
    return (sizes & 0xfffn) !== 0n ? (sizes & ~0xfffn) | 0x1000n : sizes;
  }
  /** Smallest page size in bytes. */
  get pgsize(): bigint {
    return this.pgsizes & -this.pgsizes;
  }
  hasGroup(group: IommuGroup): boolean {
    const real = this.domains.some((d) => d.groups.some((g) => g.iommuGroup === group));
    return real || this.emulated.includes(group);
  }

  checkExtension(extension: number): number {
    if (SUPPORTED.includes(extension)) return 1;
    if (extension === VFIO_UPDATE_VADDR) return this.emulated.length === 0 ? 1 : 0;
    if (extension !== VFIO_DMA_CC_IOMMU) return 0;
    return this.domains.every((domain) => domain.enforceCacheCoherency) ? 1 : 0;
  }
  attachGroup(group: IommuGroup, kind: VfioDeviceKind): Status {
    using _ = this.lock.hold();
    return attachGroupTo(this, group, kind);
  }
  detachGroup(group: IommuGroup): void {
    using _ = this.lock.hold();
    detachGroupFrom(this, group);
  }
  registerDevice(device: VfioDevice): void {
    this.devices.add(device);
  }
  unregisterDevice(device: VfioDevice): void {
    this.devices.delete(device);
  }
  release(): void {
    this.removeAll();
  }

  ioctl(task: Task, cmd: number, arg: bigint): Result<number> {
    using _ = this.lock.hold();
    switch (cmd) {
      case VFIO_IOMMU_GET_INFO:
        return this.#getInfo(task, arg) ?? 0;
      case VFIO_IOMMU_MAP_DMA:
        return mapDma(this, task, arg) ?? 0;
      case VFIO_IOMMU_UNMAP_DMA:
        return unmapDma(this, task, arg) ?? 0;
      case VFIO_IOMMU_DIRTY_PAGES:
        return dirtyPages(this, task, arg) ?? 0;
      default:
        return refuse(ENOTTY, 'type1 has no such request', { cmd: hex(cmd) });
    }
  }

  /** Unmap, unpin and forget one mapping. @kernel vfio_remove_dma */
  remove(dma: Dma): void {
    if (dma.iommuMapped) {
      for (const { domain } of this.domains) unmapFromDomain(domain, dma);
    }
    unpinDma(this.subsystem.memory, dma);
    dropDevicePins(this, dma);
    this.dmas.remove(dma);
    if (dma.vaddrInvalid) this.vaddrInvalidCount--;
    this.available++;
  }
  removeAll(): void {
    for (const dma of [...this.dmas]) this.remove(dma);
  }

  /** @kernel vfio_iommu_type1_get_info */
  #getInfo(task: Task, arg: bigint): Status {
    const info = readArg(task, arg, vfio_iommu_type1_info, 16);
    if (isErrno(info)) return info;
    const { argsz } = info;
    const size = vfio_iommu_type1_info.size;
    info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info.iova_pgsizes = this.pgsizes;
    info.cap_offset = 0;
    const chain = capChain(this.#caps(), size);
    if (argsz < size + chain.length) {
      info.argsz = size + chain.length;
    } else {
      const rc = copyToUser(task, arg + BigInt(size), chain);
      if (rc) return rc;
      info.cap_offset = size;
    }
    return copyToUser(task, arg, info.bytes.subarray(0, Math.min(argsz, size)));
  }
  #caps(): InfoCap[] {
    const migration = new DataView(new ArrayBuffer(24));
    migration.setBigUint64(8, this.pgsize, true);
    migration.setBigUint64(16, MAX_DIRTY_BITMAP, true);
    const avail = new DataView(new ArrayBuffer(4));
    avail.setUint32(0, this.available, true);
    const caps = [
      { id: VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, version: 1, body: bytesOf(migration) },
      { id: VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, version: 1, body: bytesOf(avail) },
    ];
    if (this.iovas.length === 0) return caps;
    const ranges = new DataView(new ArrayBuffer(8 + 16 * this.iovas.length));
    ranges.setUint32(0, this.iovas.length, true);
    for (const [n, range] of this.iovas.entries()) {
      ranges.setBigUint64(8 + 16 * n, range.start, true);
      ranges.setBigUint64(16 + 16 * n, range.last, true);
    }
    caps.push({ id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, version: 1, body: bytesOf(ranges) });
    return caps;
  }
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer);
}
