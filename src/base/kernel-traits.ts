/**
 * Behaviours that differ between kernel versions, by name. Shared code asks `env.has('…')`, never for a version;
 * which kernel has which trait is said in machine/description/releases.ts only.
 */
export const KERNEL_TRAITS = {
  'bus-domain-alloc-last-device':
    'iommu_domain_alloc(bus): the last mapped device decides, one warning (posted v1)',
  'bus-domain-alloc-refuse':
    'iommu_domain_alloc(bus): devices of different drivers refuse the allocation (6.8 to 6.12)',
  'type1-errno-search':
    'type1 looks for a domain by errno: EINVAL tries the next one (posted 2022)',
  'test-dev': 'the core calls test_dev before every attach (posted 2025)',
  'aux-domains': 'aux domains and mdev iommu devices exist (5.2 to 5.17)',
  'no-iommufd': 'there is no iommufd (before 6.2)',
  'vfio-groups-only': 'VFIO has no cdevs (before 6.6)',
  'map-length-first':
    'IOAS_MAP: a length near 2^64 is EINVAL, also where the range wraps (to 6.12)',
  'hwpt-invalidate-nested-only': 'HWPT_INVALIDATE: what is no nested hwpt is ENOENT (to 6.12)',
  'nested-wants-invalidate': 'a nested domain that cannot invalidate is EINVAL (to 6.12)',
  'iommufd-noiommu': 'iommufd binds devices without an IOMMU (7.3)',
  'noiommu-cdev': 'noiommu devices have a cdev (7.3)',
  'type1-v1-only': 'type1 is of version 1 only: no VFIO_TYPE1v2_IOMMU (before 3.15)',
  'type1-nesting': 'type1 has the nesting type 6 (to 6.12)',
  'type1-loses-end': 'type1: a mapping that ends at 2^64 is found by no unmap (to 6.12)',
  'type1-wrap-einval': 'type1: a range that wraps is EINVAL, not EOVERFLOW (to 6.12)',
  'vfio-bind-plain': 'cdev BIND knows no flag, ATTACH and DETACH no PASID (to 6.12)',
  'vfio-err-irq-pcie-only': 'vfio-pci: the ERR interrupt is of PCIe functions only (to 6.12)',
  'vfio-msix-fixed': 'vfio-pci: MSI-X vectors are all enabled at once (before 6.5)',
  'vfio-no-fdinfo': 'fdinfo of a VFIO device does not name it (to 6.12)',
  'vfio-no-migration': 'VFIO devices do not migrate, and log no DMA (before 6.2)',
  'vfio-no-precopy-info': 'DEVICE_FEATURE 12 is ENOTTY (to 6.12)',
  'vfio-dmabuf': 'vfio-pci exports memory BARs as dma-bufs (7.3)',
  'vfio-denylist-off':
    'the vfio_pci parameter disable_denylist is Y: accelerators it names are given to users',
  'vfio-sriov':
    'the vfio_pci parameter enable_sriov is Y: users of a physical function may have virtual ones',
  mtty: 'the sample driver mtty is loaded: mediated devices with serial ports',
  'unsafe-noiommu-mode': 'the vfio parameter enable_unsafe_noiommu_mode is Y',
  'unsafe-interrupts': 'the parameter allow_unsafe_interrupts is Y',
  'pin-writes-any-file':
    'a device may write shared pages of every file system, ext4 too (before 6.5)',
  'vfio-cdev-only': 'VFIO has no groups and no containers (CONFIG_VFIO_GROUP=n)',
  'vfio-container-iommufd': '/dev/vfio/vfio is served by iommufd',
  'iommufd-selftest': 'IOMMU_TEST_CMD is built in',
  'fault-injection': 'fail-nth of threads and its switches in debugfs (CONFIG_FAULT_INJECTION)',
  'debug-hotplug':
    'files of /sys/kernel/debug/softiommu pull devices out and put them back; not of Linux',
  'passthrough-default': 'iommu.passthrough=1: the default domain is IDENTITY',
  'strict-default': 'iommu.strict=1: the default domain flushes at unmap',
} as const;

/** Name of a behaviour in which kernels differ. */
export type KernelTrait = keyof typeof KERNEL_TRAITS;
