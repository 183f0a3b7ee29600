/**
 * The ABI of /dev/iommu: commands, structs and flags, named as in linux/iommufd.h (iommufd.md 1.2, chapter 2).
 * No behaviour. The selftest command (iommufd_test.h) is in iommufd-test.ts.
 */
import { bytes, struct, u16, u32, u64, u8, type Of } from '../base/struct.ts';
import { io } from './ioctl.ts';

export const IOMMUFD_CMD_BASE = 0x80;

export const IOMMU_DESTROY = io(0x80);
export const IOMMU_IOAS_ALLOC = io(0x81);
export const IOMMU_IOAS_ALLOW_IOVAS = io(0x82);
export const IOMMU_IOAS_COPY = io(0x83);
export const IOMMU_IOAS_IOVA_RANGES = io(0x84);
export const IOMMU_IOAS_MAP = io(0x85);
export const IOMMU_IOAS_UNMAP = io(0x86);
export const IOMMU_OPTION = io(0x87);
export const IOMMU_VFIO_IOAS = io(0x88);
export const IOMMU_HWPT_ALLOC = io(0x89);
export const IOMMU_GET_HW_INFO = io(0x8a);
export const IOMMU_HWPT_SET_DIRTY_TRACKING = io(0x8b);
export const IOMMU_HWPT_GET_DIRTY_BITMAP = io(0x8c);
export const IOMMU_HWPT_INVALIDATE = io(0x8d);
export const IOMMU_FAULT_QUEUE_ALLOC = io(0x8e);
export const IOMMU_IOAS_MAP_FILE = io(0x8f);
export const IOMMU_VIOMMU_ALLOC = io(0x90);
export const IOMMU_VDEVICE_ALLOC = io(0x91);
export const IOMMU_IOAS_CHANGE_PROCESS = io(0x92);
export const IOMMU_VEVENTQ_ALLOC = io(0x93);
export const IOMMU_HW_QUEUE_ALLOC = io(0x94);
export const IOMMU_IOAS_NOIOMMU_GET_PA = io(0x95);

export const iommu_destroy = struct('iommu_destroy', 8, { size: u32, id: u32 });
/** One `struct iommu_destroy`. */
export type iommu_destroy = Of<typeof iommu_destroy>;

export const iommu_ioas_alloc = struct('iommu_ioas_alloc', 12, {
  size: u32,
  flags: u32,
  out_ioas_id: u32,
});
/** One `struct iommu_ioas_alloc`. */
export type iommu_ioas_alloc = Of<typeof iommu_ioas_alloc>;

export const iommu_iova_range = struct('iommu_iova_range', 16, { start: u64, last: u64 });
/** One `struct iommu_iova_range`. */
export type iommu_iova_range = Of<typeof iommu_iova_range>;

export const iommu_ioas_iova_ranges = struct('iommu_ioas_iova_ranges', 32, {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
  out_iova_alignment: u64,
});
/** One `struct iommu_ioas_iova_ranges`. */
export type iommu_ioas_iova_ranges = Of<typeof iommu_ioas_iova_ranges>;

export const iommu_ioas_allow_iovas = struct('iommu_ioas_allow_iovas', 24, {
  size: u32,
  ioas_id: u32,
  num_iovas: u32,
  __reserved: u32,
  allowed_iovas: u64,
});
/** One `struct iommu_ioas_allow_iovas`. */
export type iommu_ioas_allow_iovas = Of<typeof iommu_ioas_allow_iovas>;

export const IOMMU_IOAS_MAP_FIXED_IOVA = 1;
export const IOMMU_IOAS_MAP_WRITEABLE = 2;
export const IOMMU_IOAS_MAP_READABLE = 4;
export const iommu_ioas_map = struct('iommu_ioas_map', 40, {
  size: u32,
  flags: u32, //       IOMMU_IOAS_MAP_*
  ioas_id: u32,
  __reserved: u32,
  user_va: u64,
  length: u64,
  iova: u64, //        in if FIXED_IOVA, out otherwise
});
/** One `struct iommu_ioas_map`. */
export type iommu_ioas_map = Of<typeof iommu_ioas_map>;

export const iommu_ioas_map_file = struct('iommu_ioas_map_file', 40, {
  size: u32,
  flags: u32,
  ioas_id: u32,
  fd: u32, //          __s32
  start: u64,
  length: u64,
  iova: u64,
});
/** One `struct iommu_ioas_map_file`. */
export type iommu_ioas_map_file = Of<typeof iommu_ioas_map_file>;

export const iommu_ioas_copy = struct('iommu_ioas_copy', 40, {
  size: u32,
  flags: u32,
  dst_ioas_id: u32,
  src_ioas_id: u32,
  length: u64,
  dst_iova: u64,
  src_iova: u64,
});
/** One `struct iommu_ioas_copy`. */
export type iommu_ioas_copy = Of<typeof iommu_ioas_copy>;

export const iommu_ioas_unmap = struct('iommu_ioas_unmap', 24, {
  size: u32,
  ioas_id: u32,
  iova: u64,
  length: u64,
});
/** One `struct iommu_ioas_unmap`. */
export type iommu_ioas_unmap = Of<typeof iommu_ioas_unmap>;

export const IOMMU_OPTION_RLIMIT_MODE = 0;
export const IOMMU_OPTION_HUGE_PAGES = 1;
export const IOMMU_OPTION_OP_SET = 0;
export const IOMMU_OPTION_OP_GET = 1;
export const iommu_option = struct('iommu_option', 24, {
  size: u32,
  option_id: u32,
  op: u16,
  __reserved: u16,
  object_id: u32,
  val64: u64,
});
/** One `struct iommu_option`. */
export type iommu_option = Of<typeof iommu_option>;

export const IOMMU_VFIO_IOAS_GET = 0;
export const IOMMU_VFIO_IOAS_SET = 1;
export const IOMMU_VFIO_IOAS_CLEAR = 2;
export const iommu_vfio_ioas = struct('iommu_vfio_ioas', 12, {
  size: u32,
  ioas_id: u32,
  op: u16,
  __reserved: u16,
});
/** One `struct iommu_vfio_ioas`. */
export type iommu_vfio_ioas = Of<typeof iommu_vfio_ioas>;

export const IOMMU_HWPT_ALLOC_NEST_PARENT = 1;
export const IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 2;
export const IOMMU_HWPT_FAULT_ID_VALID = 4;
export const IOMMU_HWPT_ALLOC_PASID = 8;
export const IOMMU_HWPT_DATA_NONE = 0;
export const IOMMU_HWPT_DATA_VTD_S1 = 1;
export const IOMMU_HWPT_DATA_ARM_SMMUV3 = 2;
export const IOMMU_HWPT_DATA_AMD_GUEST = 3;
export const iommu_hwpt_alloc = struct('iommu_hwpt_alloc', 48, {
  size: u32,
  flags: u32,
  dev_id: u32,
  pt_id: u32,
  out_hwpt_id: u32,
  __reserved: u32,
  data_type: u32,
  data_len: u32,
  data_uptr: u64,
  fault_id: u32,
  __reserved2: u32,
});
/** One `struct iommu_hwpt_alloc`. */
export type iommu_hwpt_alloc = Of<typeof iommu_hwpt_alloc>;

export const IOMMU_VTD_S1_SRE = 1;
export const IOMMU_VTD_S1_EAFE = 2;
export const IOMMU_VTD_S1_WPE = 4;
export const iommu_hwpt_vtd_s1 = struct('iommu_hwpt_vtd_s1', 24, {
  flags: u64,
  pgtbl_addr: u64,
  addr_width: u32,
  __reserved: u32,
});
/** One `struct iommu_hwpt_vtd_s1`. */
export type iommu_hwpt_vtd_s1 = Of<typeof iommu_hwpt_vtd_s1>;
export const iommu_hwpt_arm_smmuv3 = struct('iommu_hwpt_arm_smmuv3', 16, { ste: bytes(16) });
export const iommu_hwpt_amd_guest = struct('iommu_hwpt_amd_guest', 32, { dte: bytes(32) });

export const IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1;
export const IOMMU_HW_INFO_TYPE_NONE = 0;
export const IOMMU_HW_INFO_TYPE_DEFAULT = 0;
export const IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
export const IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
export const IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
export const IOMMU_HW_INFO_TYPE_AMD = 4;
export const IOMMU_HW_CAP_DIRTY_TRACKING = 1n;
export const IOMMU_HW_CAP_PCI_PASID_EXEC = 2n;
export const IOMMU_HW_CAP_PCI_PASID_PRIV = 4n;
export const IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 8n;
export const iommu_hw_info = struct('iommu_hw_info', 40, {
  size: u32,
  flags: u32,
  dev_id: u32,
  data_len: u32,
  data_uptr: u64,
  out_data_type: u32, // in_data_type with INPUT_TYPE
  out_max_pasid_log2: u8,
  __reserved: bytes(3),
  out_capabilities: u64,
});
/** One `struct iommu_hw_info`. */
export type iommu_hw_info = Of<typeof iommu_hw_info>;
export const iommu_hw_info_vtd = struct('iommu_hw_info_vtd', 24, {
  flags: u32,
  __reserved: u32,
  cap_reg: u64,
  ecap_reg: u64,
});
/** One `struct iommu_hw_info_vtd`. */
export type iommu_hw_info_vtd = Of<typeof iommu_hw_info_vtd>;

export const IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;
export const iommu_hwpt_set_dirty_tracking = struct('iommu_hwpt_set_dirty_tracking', 16, {
  size: u32,
  flags: u32,
  hwpt_id: u32,
  __reserved: u32,
});
/** One `struct iommu_hwpt_set_dirty_tracking`. */
export type iommu_hwpt_set_dirty_tracking = Of<typeof iommu_hwpt_set_dirty_tracking>;

export const IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;
export const iommu_hwpt_get_dirty_bitmap = struct('iommu_hwpt_get_dirty_bitmap', 48, {
  size: u32,
  hwpt_id: u32,
  flags: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  data: u64,
});
/** One `struct iommu_hwpt_get_dirty_bitmap`. */
export type iommu_hwpt_get_dirty_bitmap = Of<typeof iommu_hwpt_get_dirty_bitmap>;

export const IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
export const IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1;
export const iommu_hwpt_invalidate = struct('iommu_hwpt_invalidate', 32, {
  size: u32,
  hwpt_id: u32,
  data_uptr: u64,
  data_type: u32,
  entry_len: u32,
  entry_num: u32,
  __reserved: u32,
});
/** One `struct iommu_hwpt_invalidate`. */
export type iommu_hwpt_invalidate = Of<typeof iommu_hwpt_invalidate>;
export const IOMMU_VTD_INV_FLAGS_LEAF = 1;
export const iommu_hwpt_vtd_s1_invalidate = struct('iommu_hwpt_vtd_s1_invalidate', 24, {
  addr: u64,
  npages: u64,
  flags: u32,
  __reserved: u32,
});
/** One `struct iommu_hwpt_vtd_s1_invalidate`. */
export type iommu_hwpt_vtd_s1_invalidate = Of<typeof iommu_hwpt_vtd_s1_invalidate>;

export const IOMMU_PGFAULT_FLAGS_PASID_VALID = 1;
export const IOMMU_PGFAULT_FLAGS_LAST_PAGE = 2;
export const iommu_hwpt_pgfault = struct('iommu_hwpt_pgfault', 40, {
  flags: u32,
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  __reserved: u32,
  addr: u64,
  length: u32,
  cookie: u32,
});
/** One `struct iommu_hwpt_pgfault`. */
export type iommu_hwpt_pgfault = Of<typeof iommu_hwpt_pgfault>;
export const IOMMUFD_PAGE_RESP_SUCCESS = 0;
export const IOMMUFD_PAGE_RESP_INVALID = 1;
export const iommu_hwpt_page_response = struct('iommu_hwpt_page_response', 8, {
  cookie: u32,
  code: u32,
});
/** One `struct iommu_hwpt_page_response`. */
export type iommu_hwpt_page_response = Of<typeof iommu_hwpt_page_response>;

export const iommu_fault_alloc = struct('iommu_fault_alloc', 16, {
  size: u32,
  flags: u32,
  out_fault_id: u32,
  out_fault_fd: u32,
});
/** One `struct iommu_fault_alloc`. */
export type iommu_fault_alloc = Of<typeof iommu_fault_alloc>;

export const IOMMU_VIOMMU_TYPE_DEFAULT = 0;
export const IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
export const IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;
export const iommu_viommu_alloc = struct('iommu_viommu_alloc', 40, {
  size: u32,
  flags: u32,
  type: u32,
  dev_id: u32,
  hwpt_id: u32,
  out_viommu_id: u32,
  data_len: u32,
  __reserved: u32,
  data_uptr: u64,
});
/** One `struct iommu_viommu_alloc`. */
export type iommu_viommu_alloc = Of<typeof iommu_viommu_alloc>;

export const iommu_vdevice_alloc = struct('iommu_vdevice_alloc', 24, {
  size: u32,
  viommu_id: u32,
  dev_id: u32,
  out_vdevice_id: u32,
  virt_id: u64,
});
/** One `struct iommu_vdevice_alloc`. */
export type iommu_vdevice_alloc = Of<typeof iommu_vdevice_alloc>;

export const iommu_ioas_change_process = struct('iommu_ioas_change_process', 8, {
  size: u32,
  __reserved: u32,
});
/** One `struct iommu_ioas_change_process`. */
export type iommu_ioas_change_process = Of<typeof iommu_ioas_change_process>;

export const IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1;
export const iommufd_vevent_header = struct('iommufd_vevent_header', 8, {
  flags: u32,
  sequence: u32,
});
export const iommu_veventq_alloc = struct('iommu_veventq_alloc', 32, {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  veventq_depth: u32,
  out_veventq_id: u32,
  out_veventq_fd: u32,
  __reserved: u32,
});
/** One `struct iommu_veventq_alloc`. */
export type iommu_veventq_alloc = Of<typeof iommu_veventq_alloc>;

export const iommu_hw_queue_alloc = struct('iommu_hw_queue_alloc', 40, {
  size: u32,
  flags: u32,
  viommu_id: u32,
  type: u32,
  index: u32,
  out_hw_queue_id: u32,
  nesting_parent_iova: u64,
  length: u64,
});
/** One `struct iommu_hw_queue_alloc`. */
export type iommu_hw_queue_alloc = Of<typeof iommu_hw_queue_alloc>;

export const iommu_ioas_noiommu_get_pa = struct('iommu_ioas_noiommu_get_pa', 40, {
  size: u32,
  flags: u32,
  ioas_id: u32,
  __reserved: u32,
  iova: u64,
  length: u64,
  out_phys: u64,
});
/** One `struct iommu_ioas_noiommu_get_pa`. */
export type iommu_ioas_noiommu_get_pa = Of<typeof iommu_ioas_noiommu_get_pa>;
