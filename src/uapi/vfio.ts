/**
 * The ABI of VFIO: requests, structs and flags, named as in linux/vfio.h (vfio.md 0.1 to 0.3). No behaviour.
 *
 * Every request is `_IO(';', 100 + n)`. Numbers are used again per kind of file. `argsz` is the caller's buffer size.
 */
import { bytes, struct, u16, u32, u64, u8, type Of } from '../base/struct.ts';

const io = (n: number): number => 0x3b64 + n;

export const VFIO_API_VERSION = 0;

export const VFIO_GET_API_VERSION = io(0);
export const VFIO_CHECK_EXTENSION = io(1);
export const VFIO_SET_IOMMU = io(2);
export const VFIO_GROUP_GET_STATUS = io(3);
export const VFIO_GROUP_SET_CONTAINER = io(4);
export const VFIO_GROUP_UNSET_CONTAINER = io(5);
export const VFIO_GROUP_GET_DEVICE_FD = io(6);
export const VFIO_DEVICE_GET_INFO = io(7);
export const VFIO_DEVICE_GET_REGION_INFO = io(8);
export const VFIO_DEVICE_GET_IRQ_INFO = io(9);
export const VFIO_DEVICE_SET_IRQS = io(10);
export const VFIO_DEVICE_RESET = io(11);
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = io(12);
export const VFIO_DEVICE_PCI_HOT_RESET = io(13);
export const VFIO_DEVICE_QUERY_GFX_PLANE = io(14);
export const VFIO_DEVICE_GET_GFX_DMABUF = io(15);
export const VFIO_DEVICE_IOEVENTFD = io(16);
export const VFIO_DEVICE_FEATURE = io(17);
export const VFIO_DEVICE_BIND_IOMMUFD = io(18);
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = io(19);
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = io(20);
/** On the data fd of a migration. */
export const VFIO_MIG_GET_PRECOPY_INFO = io(21);
/** On a container. */
export const VFIO_IOMMU_GET_INFO = io(12);
export const VFIO_IOMMU_MAP_DMA = io(13);
export const VFIO_IOMMU_UNMAP_DMA = io(14);
export const VFIO_IOMMU_DIRTY_PAGES = io(17);

/** VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU. */
export const VFIO_TYPE1_IOMMU = 1;
export const VFIO_TYPE1v2_IOMMU = 3;
export const VFIO_TYPE1_NESTING_IOMMU = 6;
export const VFIO_DMA_CC_IOMMU = 4;
export const VFIO_NOIOMMU_IOMMU = 8;
export const VFIO_UNMAP_ALL = 9;
export const VFIO_UPDATE_VADDR = 10;

export const VFIO_GROUP_FLAGS_VIABLE = 1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 2;
export const vfio_group_status = struct('vfio_group_status', 8, { argsz: u32, flags: u32 });
/** One `struct vfio_group_status`. */
export type vfio_group_status = Of<typeof vfio_group_status>;

export const vfio_info_cap_header = struct('vfio_info_cap_header', 8, {
  id: u16,
  version: u16,
  next: u32,
});

export const VFIO_DEVICE_FLAGS_RESET = 1;
export const VFIO_DEVICE_FLAGS_PCI = 2;
export const VFIO_DEVICE_FLAGS_CAPS = 0x80;
export const vfio_device_info = struct('vfio_device_info', 24, {
  argsz: u32,
  flags: u32,
  num_regions: u32,
  num_irqs: u32,
  cap_offset: u32,
  pad: u32,
});

export const VFIO_REGION_INFO_FLAG_READ = 1;
export const VFIO_REGION_INFO_FLAG_WRITE = 2;
export const VFIO_REGION_INFO_FLAG_MMAP = 4;
export const VFIO_REGION_INFO_FLAG_CAPS = 8;
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
export const VFIO_REGION_INFO_CAP_TYPE = 2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;
export const vfio_region_info = struct('vfio_region_info', 32, {
  argsz: u32,
  flags: u32,
  index: u32,
  cap_offset: u32,
  size: u64,
  offset: u64,
});
/** One `struct vfio_region_info`. */
export type vfio_region_info = Of<typeof vfio_region_info>;

export const VFIO_PCI_BAR0_REGION_INDEX = 0;
export const VFIO_PCI_BAR5_REGION_INDEX = 5;
export const VFIO_PCI_ROM_REGION_INDEX = 6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 7;
export const VFIO_PCI_VGA_REGION_INDEX = 8;
export const VFIO_PCI_NUM_REGIONS = 9;

export const VFIO_IRQ_INFO_EVENTFD = 1;
export const VFIO_IRQ_INFO_MASKABLE = 2;
export const VFIO_IRQ_INFO_AUTOMASKED = 4;
export const VFIO_IRQ_INFO_NORESIZE = 8;
export const vfio_irq_info = struct('vfio_irq_info', 16, {
  argsz: u32,
  flags: u32,
  index: u32,
  count: u32,
});

export const VFIO_PCI_INTX_IRQ_INDEX = 0;
export const VFIO_PCI_MSI_IRQ_INDEX = 1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 2;
export const VFIO_PCI_ERR_IRQ_INDEX = 3;
export const VFIO_PCI_REQ_IRQ_INDEX = 4;
export const VFIO_PCI_NUM_IRQS = 5;

export const VFIO_IRQ_SET_DATA_NONE = 1;
export const VFIO_IRQ_SET_DATA_BOOL = 2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 4;
export const VFIO_IRQ_SET_ACTION_MASK = 8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
export const VFIO_IRQ_SET_ACTION_TYPE_MASK = 0x38;
/** Followed by u8 or s32 data[]. */
export const vfio_irq_set = struct('vfio_irq_set', 20, {
  argsz: u32,
  flags: u32,
  index: u32,
  start: u32,
  count: u32,
});
/** One `struct vfio_irq_set`. */
export type vfio_irq_set = Of<typeof vfio_irq_set>;

/** Which of the bits is set says the width: 1, 2, 4 or 8 bytes. */
export const VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;
export const vfio_device_ioeventfd = struct('vfio_device_ioeventfd', 32, {
  argsz: u32,
  flags: u32,
  offset: u64,
  data: u64,
  fd: u32,
  reserved: u32,
});

export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1;
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 2;
export const VFIO_PCI_DEVID_OWNED = 0;
export const VFIO_PCI_DEVID_NOT_OWNED = 0xffff_ffff;
/** Followed by vfio_pci_dependent_device[]. */
export const vfio_pci_hot_reset_info = struct('vfio_pci_hot_reset_info', 12, {
  argsz: u32,
  flags: u32,
  count: u32,
});
export const vfio_pci_dependent_device = struct('vfio_pci_dependent_device', 8, {
  /** group_id or devid */
  id: u32,
  segment: u16,
  bus: u8,
  devfn: u8,
});
/** Followed by s32 group_fds[]. */
export const vfio_pci_hot_reset = struct('vfio_pci_hot_reset', 12, {
  argsz: u32,
  flags: u32,
  count: u32,
});

export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x1_0000;
export const VFIO_DEVICE_FEATURE_SET = 0x2_0000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x4_0000;
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
export const VFIO_DEVICE_FEATURE_MIGRATION = 1;
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
export const VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;
export const VFIO_DEVICE_FEATURE_DMA_BUF = 11;
export const VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;
export const vfio_device_feature = struct('vfio_device_feature', 8, { argsz: u32, flags: u32 });
/** Followed by nr_ranges of vfio_region_dma_range. */
export const vfio_device_feature_dma_buf = struct('vfio_device_feature_dma_buf', 16, {
  region_index: u32,
  open_flags: u32,
  flags: u32,
  nr_ranges: u32,
});
export const vfio_region_dma_range = struct('vfio_region_dma_range', 16, {
  offset: u64,
  length: u64,
});

export const VFIO_MIGRATION_STOP_COPY = 1;
export const VFIO_MIGRATION_P2P = 2;
export const VFIO_MIGRATION_PRE_COPY = 4;
export const vfio_device_feature_migration = struct('vfio_device_feature_migration', 8, {
  flags: u64,
});
export const VFIO_DEVICE_STATE_ERROR = 0;
export const VFIO_DEVICE_STATE_STOP = 1;
export const VFIO_DEVICE_STATE_RUNNING = 2;
export const VFIO_DEVICE_STATE_STOP_COPY = 3;
export const VFIO_DEVICE_STATE_RESUMING = 4;
export const VFIO_DEVICE_STATE_RUNNING_P2P = 5;
export const VFIO_DEVICE_STATE_PRE_COPY = 6;
export const VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
/** `data_fd` is an s32: sign it with `| 0`. */
export const vfio_device_feature_mig_state = struct('vfio_device_feature_mig_state', 8, {
  device_state: u32,
  data_fd: u32,
});
export const vfio_device_feature_mig_data_size = struct('vfio_device_feature_mig_data_size', 8, {
  stop_copy_length: u64,
});
export const VFIO_PRECOPY_INFO_REINIT = 1;
export const vfio_precopy_info = struct('vfio_precopy_info', 24, {
  argsz: u32,
  flags: u32,
  initial_bytes: u64,
  dirty_bytes: u64,
});
/** One `struct vfio_precopy_info`. */
export type vfio_precopy_info = Of<typeof vfio_precopy_info>;
export const vfio_device_feature_dma_logging_control = struct(
  'vfio_device_feature_dma_logging_control',
  24,
  { page_size: u64, num_ranges: u32, __reserved: u32, ranges: u64 },
);
export const vfio_device_feature_dma_logging_range = struct(
  'vfio_device_feature_dma_logging_range',
  16,
  { iova: u64, length: u64 },
);
export const vfio_device_feature_dma_logging_report = struct(
  'vfio_device_feature_dma_logging_report',
  32,
  { iova: u64, length: u64, page_size: u64, bitmap: u64 },
);
/** `wakeup_eventfd` is an s32. */
export const vfio_device_low_power_entry_with_wakeup = struct(
  'vfio_device_low_power_entry_with_wakeup',
  8,
  { wakeup_eventfd: u32, reserved: u32 },
);

export const VFIO_DEVICE_BIND_FLAG_TOKEN = 1;
/** `iommufd` is an s32: sign it with `| 0`. */
export const vfio_device_bind_iommufd = struct('vfio_device_bind_iommufd', 24, {
  argsz: u32,
  flags: u32,
  iommufd: u32,
  out_devid: u32,
  token_uuid_ptr: u64,
});
export const VFIO_DEVICE_ATTACH_PASID = 1;
export const vfio_device_attach_iommufd_pt = struct('vfio_device_attach_iommufd_pt', 16, {
  argsz: u32,
  flags: u32,
  pt_id: u32,
  pasid: u32,
});
export const VFIO_DEVICE_DETACH_PASID = 1;
export const vfio_device_detach_iommufd_pt = struct('vfio_device_detach_iommufd_pt', 12, {
  argsz: u32,
  flags: u32,
  pasid: u32,
});

export const VFIO_IOMMU_INFO_PGSIZES = 1;
export const VFIO_IOMMU_INFO_CAPS = 2;
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;
export const vfio_iommu_type1_info = struct('vfio_iommu_type1_info', 24, {
  argsz: u32,
  flags: u32,
  iova_pgsizes: u64,
  cap_offset: u32,
  pad: u32,
});

/** `header` is a vfio_info_cap_header, here and below. Followed by nr_iovas of vfio_iova_range. */
export const vfio_iommu_type1_info_cap_iova_range = struct(
  'vfio_iommu_type1_info_cap_iova_range',
  16,
  { header: bytes(8), nr_iovas: u32, reserved: u32 },
);
/** `end` is inclusive. */
export const vfio_iova_range = struct('vfio_iova_range', 16, { start: u64, end: u64 });
export const vfio_iommu_type1_info_cap_migration = struct(
  'vfio_iommu_type1_info_cap_migration',
  32,
  {
    header: bytes(8),
    flags: u32,
    __pad: u32,
    pgsize_bitmap: u64,
    max_dirty_bitmap_size: u64,
  },
);
export const vfio_iommu_type1_info_dma_avail = struct('vfio_iommu_type1_info_dma_avail', 12, {
  header: bytes(8),
  avail: u32,
});

export const VFIO_DMA_MAP_FLAG_READ = 1;
export const VFIO_DMA_MAP_FLAG_WRITE = 2;
export const VFIO_DMA_MAP_FLAG_VADDR = 4;
export const vfio_iommu_type1_dma_map = struct('vfio_iommu_type1_dma_map', 32, {
  argsz: u32,
  flags: u32,
  vaddr: u64,
  iova: u64,
  size: u64,
});
/** One `struct vfio_iommu_type1_dma_map`. */
export type vfio_iommu_type1_dma_map = Of<typeof vfio_iommu_type1_dma_map>;

export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 4;
/** Followed by vfio_bitmap when GET_DIRTY_BITMAP is set. */
export const vfio_iommu_type1_dma_unmap = struct('vfio_iommu_type1_dma_unmap', 24, {
  argsz: u32,
  flags: u32,
  iova: u64,
  size: u64,
});
/** One `struct vfio_iommu_type1_dma_unmap`. */
export type vfio_iommu_type1_dma_unmap = Of<typeof vfio_iommu_type1_dma_unmap>;
export const vfio_bitmap = struct('vfio_bitmap', 24, { pgsize: u64, size: u64, data: u64 });
/** One `struct vfio_bitmap`. */
export type vfio_bitmap = Of<typeof vfio_bitmap>;

export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 4;
/** Followed by vfio_iommu_type1_dirty_bitmap_get. */
export const vfio_iommu_type1_dirty_bitmap = struct('vfio_iommu_type1_dirty_bitmap', 8, {
  argsz: u32,
  flags: u32,
});
export const vfio_iommu_type1_dirty_bitmap_get = struct('vfio_iommu_type1_dirty_bitmap_get', 40, {
  iova: u64,
  size: u64,
  pgsize: u64,
  bitmap_size: u64,
  data: u64,
});
/** One `struct vfio_iommu_type1_dirty_bitmap_get`. */
export type vfio_iommu_type1_dirty_bitmap_get = Of<typeof vfio_iommu_type1_dirty_bitmap_get>;
