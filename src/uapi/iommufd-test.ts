/**
 * IOMMU_TEST_CMD, the command of the kernel's own selftest (iommufd.md chapter 5). Names as in iommufd_test.h.
 *
 * The command has a union of 48 bytes at offset 16; each member is declared here as a struct over those bytes.
 */
import { bytes, struct, u32, u64, type Fields, type Of, type Struct } from '../base/struct.ts';
import { io } from './ioctl.ts';

export const IOMMU_TEST_CMD = io(0xa0);

export const iommu_test_cmd = struct('iommu_test_cmd', 72, {
  size: u32,
  op: u32,
  id: u32,
  __reserved: u32,
  u: bytes(48),
  last: u32,
  __pad: u32,
});
/** One `struct iommu_test_cmd`. */
export type iommu_test_cmd = Of<typeof iommu_test_cmd>;

export const IOMMU_TEST_OP_ADD_RESERVED = 1;
export const IOMMU_TEST_OP_MOCK_DOMAIN = 2;
export const IOMMU_TEST_OP_MD_CHECK_MAP = 3;
export const IOMMU_TEST_OP_MD_CHECK_REFS = 4;
export const IOMMU_TEST_OP_CREATE_ACCESS = 5;
export const IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
export const IOMMU_TEST_OP_ACCESS_PAGES = 7;
export const IOMMU_TEST_OP_ACCESS_RW = 8;
export const IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
export const IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
export const IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
export const IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
export const IOMMU_TEST_OP_DIRTY = 13;
export const IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
export const IOMMU_TEST_OP_TRIGGER_IOPF = 15;
export const IOMMU_TEST_OP_DEV_CHECK_CACHE = 16;
export const IOMMU_TEST_OP_TRIGGER_VEVENT = 17;
export const IOMMU_TEST_OP_PASID_ATTACH = 18;
export const IOMMU_TEST_OP_PASID_REPLACE = 19;
export const IOMMU_TEST_OP_PASID_DETACH = 20;
export const IOMMU_TEST_OP_PASID_CHECK_HWPT = 21;
export const IOMMU_TEST_OP_DMABUF_GET = 22;
export const IOMMU_TEST_OP_DMABUF_REVOKE = 23;

export const MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1;
export const MOCK_FLAGS_ACCESS_WRITE = 1;
export const MOCK_FLAGS_ACCESS_SYZ = 1 << 16;
export const MOCK_ACCESS_RW_WRITE = 1;
export const MOCK_ACCESS_RW_SLOW_PATH = 4;
/** On IOAS_COPY: src_iova is {u32 nth_area, u32 offset}. */
export const TEST_COPY_FLAG_SYZ = 1 << 16;
export const MOCK_FLAGS_DEVICE_NO_DIRTY = 1;
export const MOCK_FLAGS_DEVICE_PASID = 4;
export const MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3;
export const MOCK_DEV_CACHE_ID_MAX = 3;

export const iommu_test_add_reserved = union('add_reserved', { start: u64, length: u64 });
export const iommu_test_mock_domain = union('mock_domain', {
  out_stdev_id: u32,
  out_hwpt_id: u32,
  out_idev_id: u32,
  dev_flags: u32, // MOCK_DOMAIN_FLAGS only
});
export const iommu_test_mock_domain_replace = union('mock_domain_replace', { pt_id: u32 });
export const iommu_test_check_map = union('check_map', { iova: u64, length: u64, uptr: u64 });
export const iommu_test_check_refs = union('check_refs', { length: u64, uptr: u64, refs: u32 });
export const iommu_test_create_access = union('create_access', {
  out_access_fd: u32,
  flags: u32,
});
export const iommu_test_access_replace_ioas = union('access_replace_ioas', { ioas_id: u32 });
export const iommu_test_destroy_access_pages = union('destroy_access_pages', {
  access_pages_id: u32,
});
export const iommu_test_access_pages = union('access_pages', {
  flags: u32,
  out_access_pages_id: u32,
  iova: u64,
  length: u64,
  uptr: u64,
});
export const iommu_test_access_rw = union('access_rw', {
  iova: u64,
  length: u64,
  uptr: u64,
  flags: u32,
});
export const iommu_test_memory_limit = union('memory_limit', { limit: u32 });
export const iommu_test_dirty = union('dirty', {
  flags: u32,
  __pad: u32,
  iova: u64,
  length: u64,
  page_size: u64,
  uptr: u64,
  out_nr_dirty: u64,
});
export const iommu_test_check_iotlb = union('check_iotlb', { id: u32, iotlb: u32 });
export const iommu_test_trigger_iopf = union('trigger_iopf', {
  dev_id: u32,
  pasid: u32,
  grpid: u32,
  perm: u32,
  addr: u64,
});
export const iommu_test_check_dev_cache = union('check_dev_cache', { id: u32, cache: u32 });
export const iommu_test_trigger_vevent = union('trigger_vevent', { dev_id: u32 });
export const iommu_test_pasid_attach = union('pasid_attach', { pasid: u32, pt_id: u32 });
export const iommu_test_pasid_check = union('pasid_check', { pasid: u32, hwpt_id: u32 });
export const iommu_test_dmabuf_get = union('dmabuf_get', { length: u32, open_flags: u32 });
export const iommu_test_dmabuf_revoke = union('dmabuf_revoke', { dmabuf_fd: u32, revoked: u32 });

/** A member of the union: its fields, and the rest of the 48 bytes unnamed. */
function union<const F extends Fields>(name: string, fields: F): Struct<F> {
  const used = Object.values(fields).reduce((sum, field) => sum + field.size, 0);
  const rest = 48 - used;
  const padded = rest > 0 ? { ...fields, __rest: bytes(rest) } : fields;
  return struct(`iommu_test_cmd.${name}`, 48, padded);
}

export const IOMMU_HWPT_DATA_SELFTEST = 0xdead;
export const IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef;
export const IOMMU_TEST_DEV_CACHE_DEFAULT = 0xbaddad;
export const iommu_hwpt_selftest = struct('iommu_hwpt_selftest', 8, {
  iotlb: u32,
  pagetable_type: u32,
});
export const IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
export const IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;
export const iommu_test_hw_info = struct('iommu_test_hw_info', 8, { flags: u32, test_reg: u32 });
export const IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const IOMMU_TEST_INVALIDATE_FLAG_ALL = 1;
export const iommu_hwpt_invalidate_selftest = struct('iommu_hwpt_invalidate_selftest', 8, {
  flags: u32,
  iotlb_id: u32,
});
export const IOMMU_VIOMMU_TYPE_SELFTEST = 0xdeadbeef;
export const iommu_viommu_selftest = struct('iommu_viommu_selftest', 24, {
  in_data: u32,
  out_data: u32,
  out_mmap_offset: u64,
  out_mmap_length: u64,
});
export const IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
export const iommu_viommu_invalidate_selftest = struct('iommu_viommu_invalidate_selftest', 12, {
  flags: u32,
  vdev_id: u32,
  cache_id: u32,
});
export const IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeefbeef;
export const iommu_viommu_event_selftest = struct('iommu_viommu_event_selftest', 4, {
  virt_id: u32,
});
export const IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef;
