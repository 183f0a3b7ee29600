/**
 * Which failures a call can give a program that did nothing wrong: memory and address space run out, somebody else was first, the
 * device is gone. What a program brings on itself (EINVAL, EFAULT) is no failure it has to survive.
 *
 * Here stands which refusals of the code are such, by their rules, for only a person can tell. Their errnos are read from
 * docs/errno.md, where every refusal is, so none is tried that the code does not refuse with.
 */
import { Bug } from '../../base/bug.ts';
import type { KnownRefusal } from '../explain/reference.ts';

/** Refusals of the calls that a pattern matches: the file below src/, and the rule. */
export interface LawfulRefusals {
  readonly calls: RegExp;
  readonly refusals: readonly (readonly [file: string, rule: string])[];
}

const GONE = ['vfio/device-file.ts', 'the vfio driver let the device go'] as const;
const RESET = ['core/attach/set-domain.ts', 'a member of the group is being reset'] as const;

/** The first row that matches decides; its likeliest failure stands first. */
export const LAWFUL: readonly LawfulRefusals[] = [
  {
    calls: /^IOMMU_IOAS_(MAP|MAP_FILE|COPY)$/,
    refusals: [
      ['iommufd/io-pagetable/accounting.ts', 'RLIMIT_MEMLOCK does not allow to pin so many pages'],
      ['iommufd/io-pagetable/io-pagetable.ts', 'the IOVA range meets a mapping'],
      ['iommufd/io-pagetable/iova-alloc.ts', 'no free place is large enough'],
    ],
  },
  {
    calls: /^IOMMU_IOAS_UNMAP$/,
    refusals: [
      ['iommufd/io-pagetable/io-pagetable.ts', 'the mapping is locked by a hardware queue'],
      ['iommufd/io-pagetable/io-pagetable.ts', 'nothing is mapped in the range'],
    ],
  },
  { calls: /^IOMMU_DESTROY$/, refusals: [['iommufd/object.ts', 'the object is in use']] },
  { calls: /^IOMMU_/, refusals: [['iommufd/object.ts', 'the allocation was made to fail']] },
  {
    calls: /^VFIO_IOMMU_MAP_DMA$/,
    refusals: [
      ['vfio/type1/pin.ts', 'RLIMIT_MEMLOCK is exceeded'],
      ['vfio/type1/map.ts', 'the range overlaps a mapping'],
      ['vfio/type1/map.ts', 'dma_entry_limit mappings exist'],
    ],
  },
  {
    calls: /^VFIO_IOMMU_UNMAP_DMA$/,
    refusals: [['vfio/type1/unmap.ts', 'an emulated device may use the address of a mapping']],
  },
  {
    calls: /^VFIO_GROUP_GET_DEVICE_FD$/,
    refusals: [['vfio/group.ts', 'no vfio driver holds a device of this group any more']],
  },
  {
    calls: /^VFIO_GROUP_SET_CONTAINER$/,
    refusals: [
      ['core/group/ownership.ts', 'the group is attached to a domain or PASIDs are in use'],
      ['core/group/ownership.ts', 'the group has an owner or is used by kernel drivers'],
    ],
  },
  { calls: /^VFIO_SET_IOMMU$/, refusals: [RESET] },
  {
    calls: /^VFIO_DEVICE_BIND_IOMMUFD$/,
    refusals: [
      ['vfio/group.ts', 'the group of the device is open'],
      GONE,
      ['core/group/ownership.ts', 'the group has another owner or is used by kernel drivers'],
    ],
  },
  { calls: /^VFIO_DEVICE_ATTACH_IOMMUFD_PT$/, refusals: [RESET, GONE] },
  {
    calls: /^VFIO_DEVICE_SET_IRQS$/,
    refusals: [['vfio/pci/irqs.ts', 'an eventfd unmasks INTx already']],
  },
  { calls: /^VFIO_DEVICE_/, refusals: [GONE] },
  { calls: /^open/, refusals: [['vfio/vfio-core.ts', 'no vfio driver holds the device']] },
  { calls: /^mmap/, refusals: [GONE] },
  {
    calls: /^p?(read|write)(64)?$/,
    refusals: [['vfio/pci/regions.ts', 'memory decode is off or the device sleeps']],
  },
];
/**
 * A signal can end these early, says their manual. No refusal has it: a call of the simulated kernel is interrupted by
 * who waits in it.
 */
const INTERRUPTED = /^(openat|p?(read|write)(64)?)$/;

/** Errnos a call can fail with, by name, the likeliest first. */
export type LawfulErrnos = (call: string) => readonly string[];

/** As the refusals are: those of docs/errno.md (explain/reference.ts). A rule of ours that none has is a bug. */
export function lawfulErrnos(all: readonly KnownRefusal[]): LawfulErrnos {
  const rows = LAWFUL.map(({ calls, refusals }) => ({
    calls,
    errnos: refusals.map(([file, rule]) => errnoOf(all, file, rule)),
  }));
  return (call) => {
    const errnos = rows.find(({ calls }) => calls.test(call))?.errnos ?? [];
    return [...new Set([...errnos, ...(INTERRUPTED.test(call) ? ['EINTR'] : [])])];
  };
}
function errnoOf(all: readonly KnownRefusal[], file: string, rule: string): string {
  const found = all.find((one) => one.file === `src/${file}` && one.rule === rule);
  if (!found) throw new Bug(`docs/errno.md has no '${rule}' of ${file}`);
  return found.errno;
}
