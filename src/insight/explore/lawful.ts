/**
 * Which errnos a call can give a program that did nothing wrong: memory and address space run out, somebody else was
 * first, the device is gone. What a program brings on itself (EINVAL, EFAULT) is no failure it has to survive.
 *
 * Each is one that a refusal of the code gives: the test holds this table against docs/errno.md.
 */

/** Errnos of the calls that a pattern matches, and the sources of their refusals below src/. */
export interface LawfulErrnos {
  readonly calls: RegExp;
  readonly errnos: readonly string[];
  readonly sources: readonly string[];
}

/** The first row that matches decides. */
// prettier-ignore
export const LAWFUL: readonly LawfulErrnos[] = [
  { calls: /^IOMMU_IOAS_(MAP|MAP_FILE|COPY)$/, errnos: ['ENOMEM', 'EEXIST', 'ENOSPC'], sources: ['iommufd/io-pagetable/'] },
  { calls: /^IOMMU_IOAS_UNMAP$/,               errnos: ['EBUSY', 'ENOENT'],            sources: ['iommufd/io-pagetable/'] },
  { calls: /^IOMMU_DESTROY$/,                  errnos: ['EBUSY'],                      sources: ['iommufd/object'] },
  { calls: /^IOMMU_/,                          errnos: ['ENOMEM'],                     sources: ['iommufd/object'] },
  { calls: /^VFIO_IOMMU_MAP_DMA$/,             errnos: ['ENOMEM', 'EEXIST', 'ENOSPC'], sources: ['vfio/type1/'] },
  { calls: /^VFIO_IOMMU_UNMAP_DMA$/,           errnos: ['EBUSY'],                      sources: ['vfio/type1/'] },
  { calls: /^VFIO_GROUP_GET_DEVICE_FD$/,       errnos: ['ENODEV'],                     sources: ['vfio/'] },
  { calls: /^VFIO_(GROUP_SET_CONTAINER|SET_IOMMU)$/, errnos: ['EBUSY'],                sources: ['vfio/'] },
  { calls: /^VFIO_DEVICE_(ATTACH|BIND)_IOMMUFD/, errnos: ['EBUSY', 'ENODEV'],          sources: ['iommufd/', 'vfio/'] },
  { calls: /^VFIO_DEVICE_SET_IRQS$/,           errnos: ['EBUSY'],                      sources: ['vfio/pci/irqs'] },
  { calls: /^VFIO_DEVICE_/,                    errnos: ['ENODEV'],                     sources: ['vfio/device-file'] },
  { calls: /^(open|mmap)/,                     errnos: ['ENODEV'],                     sources: ['vfio/device-file', 'vfio/vfio-core', 'machine/files/'] },
  { calls: /^p?(read|write)(64)?$/,            errnos: ['EIO'],                        sources: ['vfio/pci/regions', 'machine/files/'] },
];
/**
 * A signal can end these early, says their manual. No refusal has it: a call of the simulated kernel is interrupted by
 * who waits in it.
 */
const INTERRUPTED = /^(openat|p?(read|write)(64)?)$/;

/** By name, the likeliest first. */
export function lawfulErrnos(call: string): readonly string[] {
  const row = LAWFUL.find(({ calls }) => calls.test(call));
  return [...(row?.errnos ?? []), ...(INTERRUPTED.test(call) ? ['EINTR'] : [])];
}
