/** The state of a type1 container: its mappings, its domains, what every domain can map (vfio.md 1.7, 1.8). */
import { EINVAL, EOVERFLOW, type Status } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import type { Domain } from '../../core/contract/domain.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU } from '../../uapi/vfio.ts';
import type { VfioDevice } from '../device.ts';
import type { GroupTranslation } from './aux.ts';
import { DmaList } from './dma.ts';
import type { IovaRange } from '../../base/iova-range.ts';

/** What type1 is given. */
export interface Type1World {
  readonly env: KernelEnv;
  readonly memory: PhysicalMemory;
  readonly parameters: {
    /** dma_entry_limit: mappings a container may hold. */
    readonly dmaEntryLimit: number;
  };
}

/** A domain of the container and the groups on it (struct vfio_domain). */
export interface ContainerDomain {
  readonly domain: Domain;
  enforceCacheCoherency: boolean;
  readonly groups: ContainerGroup[];
}
/** struct vfio_iommu_group. */
export interface ContainerGroup {
  readonly iommuGroup: IommuGroup;
  /** How this group's devices are put on a domain: directly, or as aux domains of a parent. */
  readonly translation: GroupTranslation;
}

/** struct vfio_iommu. */
export class Type1Iommu {
  readonly world: Type1World;
  /** VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, or VFIO_TYPE1_NESTING_IOMMU of older kernels. */
  readonly type: number;
  readonly lock = new Lock('vfio_iommu.lock');
  /** Guarded by lock, as are all below. */
  readonly dmas: DmaList;
  /** Newest first. */
  readonly domains: ContainerDomain[] = [];
  /** Groups without a translation of their own. */
  readonly emulated: IommuGroup[] = [];
  /** Open devices whose driver pins pages. */
  readonly devices = new Set<VfioDevice>();
  /** What may be mapped; empty: no limit is known. */
  iovas: IovaRange[] = [];
  /** Mappings whose memory is taken away until it has an address again. */
  vaddrInvalidCount = 0;
  dirtyTracking = false;
  /** Mappings that may still be made. */
  available: number;

  constructor(world: Type1World, type: number) {
    this.world = world;
    this.type = type;
    this.dmas = new DmaList(world.env.has('type1-loses-end'));
    this.available = world.parameters.dmaEntryLimit;
  }
  get isV2(): boolean {
    return this.type !== VFIO_TYPE1_IOMMU;
  }
  /** Type 6: its domains are to be nested in. */
  get isNesting(): boolean {
    return this.type === VFIO_TYPE1_NESTING_IOMMU;
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
}

/** A range goes beyond 2^64: EOVERFLOW, which was EINVAL once. */
export function refuseWrap(
  { world }: Type1Iommu,
  facts: Readonly<Record<string, bigint>>,
): Status<'EINVAL' | 'EOVERFLOW'> {
  if (world.env.has('type1-wrap-einval')) return refuse(EINVAL, 'the range wraps', facts);
  return refuse(EOVERFLOW, 'the range wraps', facts);
}
