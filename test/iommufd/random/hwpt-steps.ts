/** Random commands on page tables, their dirty bits and caches, fault queues and what belongs to vIOMMUs. */
import fc from 'fast-check';
import { U64_MAX } from '../../../src/base/u64.ts';
import * as uapi from '../../../src/uapi/iommufd.ts';
import * as t from '../../../src/uapi/iommufd-test.ts';
import { flag, iova, length, one, pointer, reserved } from './arguments.ts';
import { structCommand, type Command } from './command.ts';
import { pick, sure } from './picks.ts';

const ENTRIES = 'entries before the bad one are done, and the count says how many (2.15)';

/** NEST_PARENT 1, DIRTY_TRACKING 2, FAULT_ID_VALID 4, PASID 8. */
const plainFlags = fc.oneof(one(4, 0), one(6, 1, 1, 2, 2, 8, 10), one(2, 4, 12), one(1, 5, 16));
const nestedFlags = fc.oneof(one(5, 0, 4, 4, 8), one(1, 1, 2, 16));
/** Cache word and table type of the mock's tables. */
const mockData = fc.constantFrom([t.IOMMU_TEST_IOTLB_DEFAULT, 0], [7, 0], [7, 1], [7, 2]);
/** Flags, table, width, reserved of an Intel first stage. */
const intelData = fc.oneof(
  one(4, [0, 0, 0x100_0000, 0, 48, 0]),
  one(1, [8, 0, 0x100_0000, 0, 48, 0], [0, 0, 0x1000, 0, 48, 1], [0, 0, 0x1000, 0, 57, 0]),
);
const entries = fc.constantFrom<readonly number[]>(
  [0, 0, 0, 1, 0, 0],
  [0, 0, 0, 1, 0, 9],
  [1, 0, 1, 0, 0, 0],
  [0, 2, 2, 0],
);
const deviceEntries = fc
  .tuple(fc.constantFrom(0, 1, 2, 3), fc.constantFrom(0, 1, 9), fc.constantFrom(0, 0, 1, 2))
  .map(([id, word, flags]) => [flags, id, word, 0, id + 1, 1]);
const intelEntries = fc.constantFrom<readonly number[]>(
  [0x100_0000, 0, 1, 0, 0, 0, 0x100_1000, 0, 4, 0, 1, 0],
  [0, 0, 0xffff_ffff, 0xffff_ffff, 0, 0],
  [0x100_0000, 0, 1, 0, 0, 0, 0x100_0001, 0, 1, 0, 0, 0],
  [0x100_0000, 0, 1, 0, 8, 0],
);

const { IOMMU_HWPT_ALLOC, iommu_hwpt_alloc } = uapi;
const { IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate } = uapi;

export const HWPT_COMMANDS: readonly Command[] = [
  structCommand({
    name: 'IOMMU_HWPT_ALLOC',
    cmd: IOMMU_HWPT_ALLOC,
    layout: iommu_hwpt_alloc,
    fields: {
      flags: plainFlags,
      dev_id: pick('DEVICE'),
      pt_id: pick('IOAS'),
      __reserved: reserved,
      fault_id: pick('FAULT'),
    },
    weight: 6,
  }),
  structCommand({
    name: 'IOMMU_HWPT_ALLOC with data',
    cmd: IOMMU_HWPT_ALLOC,
    layout: iommu_hwpt_alloc,
    fields: {
      flags: fc.oneof(plainFlags, nestedFlags),
      dev_id: pick('DEVICE'),
      pt_id: fc.oneof(pick('hwpt base'), pick('nest parent'), pick('VIOMMU')),
      data_type: flag(t.IOMMU_HWPT_DATA_SELFTEST, 0, 1, 99),
      data_len: fc.oneof(one(8, 8, 4), one(1, 0, 3, 12, 5000)),
      data_uptr: pointer,
      fault_id: pick('FAULT'),
    },
    weight: 6,
    data: mockData,
  }),
  structCommand({
    name: 'IOMMU_HWPT_ALLOC of a guest of Intel',
    cmd: IOMMU_HWPT_ALLOC,
    layout: iommu_hwpt_alloc,
    fields: {
      flags: nestedFlags,
      dev_id: pick('DEVICE'),
      pt_id: pick('nest parent'),
      data_type: fc.constant(uapi.IOMMU_HWPT_DATA_VTD_S1),
      data_len: flag(24, 16, 32),
      data_uptr: pointer,
      fault_id: pick('FAULT'),
    },
    weight: 3,
    data: intelData,
  }),
  structCommand({
    name: 'IOMMU_GET_HW_INFO',
    cmd: uapi.IOMMU_GET_HW_INFO,
    layout: uapi.iommu_hw_info,
    fields: {
      flags: flag(0, 1, 2),
      dev_id: pick('DEVICE'),
      data_len: fc.constantFrom(0, 8, 24, 64, 0x5000),
      data_uptr: pointer,
      out_data_type: flag(0, 1, t.IOMMU_HW_INFO_TYPE_SELFTEST),
    },
  }),
  structCommand({
    name: 'IOMMU_HWPT_SET_DIRTY_TRACKING',
    cmd: uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
    layout: uapi.iommu_hwpt_set_dirty_tracking,
    fields: {
      flags: fc.constantFrom(1, 1, 1, 0, 2),
      hwpt_id: fc.oneof(sure('dirty hwpt'), pick('HWPT')),
    },
  }),
  structCommand({
    name: 'IOMMU_HWPT_GET_DIRTY_BITMAP',
    cmd: uapi.IOMMU_HWPT_GET_DIRTY_BITMAP,
    layout: uapi.iommu_hwpt_get_dirty_bitmap,
    fields: {
      hwpt_id: fc.oneof(sure('dirty hwpt'), sure('dirty hwpt'), pick('HWPT')),
      flags: flag(0, 1, 2),
      __reserved: reserved,
      iova: fc.oneof(sure('mapping'), iova),
      length,
      page_size: fc.constantFrom(0x800n, 0x1000n, 0x1000n, 0n, 0x1800n, 0x20_0000n),
      data: pointer,
    },
  }),
  structCommand({
    name: 'IOMMU_HWPT_INVALIDATE',
    cmd: IOMMU_HWPT_INVALIDATE,
    layout: iommu_hwpt_invalidate,
    fields: {
      hwpt_id: fc.oneof(pick('HWPT_NESTED'), pick('cached'), pick('HWPT')),
      data_uptr: pointer,
      data_type: flag(t.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, 0, 7),
      entry_len: flag(8, 0, 7, 16, 5000),
      entry_num: fc.constantFrom(0, 1, 1, 2, 3, 1 << 20),
      __reserved: reserved,
    },
    data: entries,
    partial: ENTRIES,
    unanswered: ENTRIES,
  }),
  structCommand({
    name: 'IOMMU_HWPT_INVALIDATE of a vIOMMU',
    cmd: IOMMU_HWPT_INVALIDATE,
    layout: iommu_hwpt_invalidate,
    fields: {
      hwpt_id: pick('VIOMMU'),
      data_uptr: pointer,
      data_type: flag(t.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST, 0),
      entry_len: flag(12, 8, 24),
      entry_num: fc.constantFrom(0, 1, 1, 2),
    },
    weight: 3,
    data: deviceEntries,
    partial: ENTRIES,
    unanswered: ENTRIES,
  }),
  structCommand({
    name: 'IOMMU_HWPT_INVALIDATE of a guest of Intel',
    cmd: IOMMU_HWPT_INVALIDATE,
    layout: iommu_hwpt_invalidate,
    fields: {
      hwpt_id: pick('HWPT_NESTED'),
      data_uptr: pointer,
      data_type: flag(uapi.IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, 2),
      entry_len: flag(24, 16, 32),
      entry_num: fc.constantFrom(0, 1, 1, 2),
    },
    weight: 5,
    data: intelEntries,
    partial: ENTRIES,
    unanswered: ENTRIES,
  }),
];

export const QUEUE_COMMANDS: readonly Command[] = [
  structCommand({
    name: 'IOMMU_FAULT_QUEUE_ALLOC',
    cmd: uapi.IOMMU_FAULT_QUEUE_ALLOC,
    layout: uapi.iommu_fault_alloc,
    fields: {
      flags: reserved,
    },
  }),
  structCommand({
    name: 'IOMMU_VIOMMU_ALLOC',
    cmd: uapi.IOMMU_VIOMMU_ALLOC,
    layout: uapi.iommu_viommu_alloc,
    fields: {
      flags: reserved,
      type: flag(t.IOMMU_VIOMMU_TYPE_SELFTEST, 0, 1),
      dev_id: pick('DEVICE'),
      hwpt_id: fc.oneof(
        { weight: 3, arbitrary: sure('nest parent') },
        { weight: 1, arbitrary: pick('HWPT') },
      ),
      data_len: fc.constantFrom(0, 24, 24, 8, 4),
      data_uptr: pointer,
    },
    weight: 3,
    data: fc.constant([0xbeef, 0, 0, 0, 0, 0]),
  }),
  structCommand({
    name: 'IOMMU_VDEVICE_ALLOC',
    cmd: uapi.IOMMU_VDEVICE_ALLOC,
    layout: uapi.iommu_vdevice_alloc,
    fields: {
      viommu_id: pick('VIOMMU'),
      dev_id: pick('DEVICE'),
      virt_id: fc.constantFrom(1n, 2n, 3n, 0n, U64_MAX),
    },
    weight: 4,
  }),
  structCommand({
    name: 'IOMMU_VEVENTQ_ALLOC',
    cmd: uapi.IOMMU_VEVENTQ_ALLOC,
    layout: uapi.iommu_veventq_alloc,
    fields: {
      flags: reserved,
      viommu_id: pick('VIOMMU'),
      type: flag(t.IOMMU_VEVENTQ_TYPE_SELFTEST, 0, 1),
      veventq_depth: fc.constantFrom(1, 2, 2, 0, 1 << 20),
      __reserved: reserved,
    },
    weight: 3,
  }),
  structCommand({
    name: 'IOMMU_HW_QUEUE_ALLOC',
    cmd: uapi.IOMMU_HW_QUEUE_ALLOC,
    layout: uapi.iommu_hw_queue_alloc,
    fields: {
      flags: reserved,
      viommu_id: pick('VIOMMU'),
      type: flag(t.IOMMU_HW_QUEUE_TYPE_SELFTEST, 0, 1),
      index: fc.constantFrom(0, 0, 1, 2),
      nesting_parent_iova: fc.oneof(sure('mapping'), sure('mapping'), iova),
      length,
    },
    weight: 4,
  }),
];
