/** Every errno row of iommufd.md 1.3, chapter 2 and 5.3 that one call can reach, as a table. */
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EADDRINUSE,
  EBADF,
  EBADFD,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTTY,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import type { Fields, Struct } from '../../src/base/struct.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { IOCTLS } from '../../src/iommufd/main.ts';
import { KernelEnv } from '../../src/base/kernel-env.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  only,
  testOp,
  unmap,
  type MockDomain,
} from '../../src/testing/iommufd/calls.ts';
import { ARG, ARRAY, BUFFER, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const BAD = 0xdead_0000n;

/** An IOAS 1 with a mock device: stdev 2, idev 3, automatic hwpt 4. */
function prepare(): { fd: Iommufd; ioas: number; dev: MockDomain } {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  return { fd, ioas, dev: mock(fd, ioas) };
}

/** iommufd.md 1.2: number, sizeof, smallest size. */
const SIZES: readonly (readonly [nr: number, size: number, min: number])[] = [
  [0x80, 8, 8],
  [0x81, 12, 12],
  [0x82, 24, 24],
  [0x83, 40, 40],
  [0x84, 32, 32],
  [0x85, 40, 40],
  [0x86, 24, 24],
  [0x87, 24, 24],
  [0x88, 12, 12],
  [0x89, 48, 24],
  [0x8a, 40, 32],
  [0x8b, 16, 16],
  [0x8c, 48, 48],
  [0x8d, 32, 32],
  [0x8e, 16, 16],
  [0x8f, 40, 40],
  [0x90, 40, 24],
  [0x91, 24, 24],
  [0x92, 8, 8],
  [0x93, 32, 28],
  [0x94, 40, 40],
  [0x95, 40, 40],
  [0xa0, 72, 68],
];

describe('dispatch', () => {
  test('command numbers and sizes are those of the specification', () => {
    const served = IOCTLS.map((op) => [op.command, op.size, op.minSize]);
    expect(served).toEqual(SIZES.map(([nr, size, min]) => [0x3b00 | nr, size, min]));
  });
  test.for(IOCTLS.map((op) => [op.struct, op] as const))(
    '%s is EINVAL when it is short, E2BIG with an unknown tail, EFAULT at a bad pointer',
    ([, op]) => {
      const { fd } = prepare();
      const bytes = new Uint8Array(op.size + 8);
      const claim = (size: number): void => new DataView(bytes.buffer).setUint32(0, size, true);
      claim(op.minSize - 1);
      poke(fd.task, ARG, bytes);
      expect(fd.ioctl(op.command, ARG)).toBe(EINVAL);
      claim(op.size + 1);
      bytes[op.size] = 1;
      poke(fd.task, ARG, bytes);
      expect(fd.ioctl(op.command, ARG)).toBe(E2BIG);
      expect(fd.ioctl(op.command, 0n)).toBe(EFAULT);
      // A struct that is longer by zeros is the same call.
      const answers = [op.size, op.size + 1].map((size) => {
        const { fd: fresh } = prepare();
        const zeros = new Uint8Array(op.size + 8);
        new DataView(zeros.buffer).setUint32(0, size, true);
        poke(fresh.task, ARG, zeros);
        return fresh.ioctl(op.command, ARG);
      });
      expect(answers[1]).toBe(answers[0]);
    },
  );
  test('a struct that ends with its page is read, and one that goes on beyond is EFAULT', () => {
    const fd = new World().open();
    const last = ARG + 4096n - 8n;
    poke(fd.task, last, new Uint8Array([8, 0, 0, 0, 9, 0, 0, 0]));
    expect(fd.ioctl(uapi.IOMMU_DESTROY, last)).toBe(ENOENT);
    poke(fd.task, last, new Uint8Array([12, 0, 0, 0, 9, 0, 0, 0]));
    expect(fd.ioctl(uapi.IOMMU_IOAS_ALLOC, last)).toBe(EFAULT);
    poke(fd.task, last, new Uint8Array([16, 0, 0, 0, 9, 0, 0, 0]));
    expect(fd.ioctl(uapi.IOMMU_DESTROY, last)).toBe(EFAULT);
  });
  test('unknown numbers are ENOTTY, and a bad pointer comes before', () => {
    const fd = new World().open();
    expect(fd.ioctl(0x3b7f, ARG)).toBe(ENOTTY);
    expect(fd.ioctl(0x3b9f, ARG)).toBe(ENOTTY);
    expect(fd.ioctl(0x3b9f, 0n)).toBe(EFAULT);
    expect(fd.ioctl(0x4b80, ARG)).toBe(ENOTTY);
    expect(fd.ioctl(0x3bff, ARG)).toBe(ENOTTY);
  });
  test('without the selftest its command does not exist', () => {
    const world = new World({ env: new KernelEnv([]) });
    expect(world.open().ioctl(t.IOMMU_TEST_CMD, ARG)).toBe(ENOTTY);
  });
});

type Row = readonly [name: string, errno: Errno, call: (fd: Iommufd) => unknown];
function row<F extends Fields>(
  name: string,
  errno: Errno,
  cmd: number,
  layout: Struct<F>,
  values: Parameters<typeof Object.entries>[0],
): Row {
  return [name, errno, (fd) => fd.call(cmd, layout, values as never)];
}
const RW = 6;
const FIXED = 7;
const mapRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(`MAP: ${name}`, errno, uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, {
    flags: RW,
    ioas_id: 1,
    user_va: BUFFER,
    length: 0x1000n,
    ...values,
  });
const copyRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(`COPY: ${name}`, errno, uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, {
    flags: RW,
    dst_ioas_id: 1,
    src_ioas_id: 1,
    length: 0x1000n,
    ...values,
  });
const unmapRow = (name: string, errno: Errno, iova: bigint, length: bigint, ioas_id = 1) =>
  row(`UNMAP: ${name}`, errno, uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, {
    ioas_id,
    iova,
    length,
  });
const optionRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(`OPTION: ${name}`, errno, uapi.IOMMU_OPTION, uapi.iommu_option, values);
const hwptRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(`HWPT_ALLOC: ${name}`, errno, uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, {
    dev_id: 3,
    pt_id: 1,
    ...values,
  });
const dirtyRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(
    `GET_DIRTY: ${name}`,
    errno,
    uapi.IOMMU_HWPT_GET_DIRTY_BITMAP,
    uapi.iommu_hwpt_get_dirty_bitmap,
    {
      hwpt_id: 4,
      iova: 0x100_0000n,
      length: 0x1000n,
      page_size: 2048n,
      data: ARRAY,
      ...values,
    },
  );
const invalRow = (name: string, errno: Errno, values: Partial<Record<string, number | bigint>>) =>
  row(`INVALIDATE: ${name}`, errno, uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, values);
const testRow = (
  name: string,
  errno: Errno,
  op: number,
  id: number,
  member: Struct<Fields>,
  values = {},
): Row => [`TEST: ${name}`, errno, (fd) => testOp(fd, op, id, member, values as never)];
const testMember = (member: unknown): Struct<Fields> => member as Struct<Fields>;

/** State: IOAS 1, stdev 2, idev 3, auto hwpt 4; nothing mapped. */
const ROWS: readonly Row[] = [
  row('DESTROY: id 0', ENOENT, uapi.IOMMU_DESTROY, uapi.iommu_destroy, { id: 0 }),
  row('DESTROY: a device', EBUSY, uapi.IOMMU_DESTROY, uapi.iommu_destroy, { id: 3 }),
  row('IOAS_ALLOC: flags', EOPNOTSUPP, uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, { flags: 1 }),
  row(
    'IOVA_RANGES: reserved field',
    EOPNOTSUPP,
    uapi.IOMMU_IOAS_IOVA_RANGES,
    uapi.iommu_ioas_iova_ranges,
    { __reserved: 1 },
  ),
  row('IOVA_RANGES: no IOAS', ENOENT, uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, {
    ioas_id: 3,
  }),
  row('IOVA_RANGES: unwritable', EFAULT, uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, {
    ioas_id: 1,
    num_iovas: 1,
    allowed_iovas: BAD,
  }),
  row(
    'IOVA_RANGES: too small',
    EMSGSIZE,
    uapi.IOMMU_IOAS_IOVA_RANGES,
    uapi.iommu_ioas_iova_ranges,
    { ioas_id: 1, num_iovas: 0 },
  ),
  row(
    'ALLOW: reserved field',
    EOPNOTSUPP,
    uapi.IOMMU_IOAS_ALLOW_IOVAS,
    uapi.iommu_ioas_allow_iovas,
    { __reserved: 1 },
  ),
  row('ALLOW: no IOAS', ENOENT, uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
    ioas_id: 9,
  }),
  row('ALLOW: unreadable', EFAULT, uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
    ioas_id: 1,
    num_iovas: 1,
    allowed_iovas: BAD,
  }),
  row('ALLOW: empty range', EINVAL, uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
    ioas_id: 1,
    num_iovas: 1,
    allowed_iovas: ARRAY,
  }),
  mapRow('unknown flag', EOPNOTSUPP, { flags: 8 }),
  mapRow('reserved field', EOPNOTSUPP, { __reserved: 1 }),
  mapRow('iova 2^64-1, without FIXED too', EOVERFLOW, { iova: U64_MAX }),
  mapRow('length 2^64-1', EOVERFLOW, { length: U64_MAX }),
  mapRow('no access', EINVAL, { flags: 1 }),
  mapRow('no IOAS', ENOENT, { ioas_id: 2 }),
  mapRow('user_va wraps', EOVERFLOW, { user_va: U64_MAX }),
  mapRow('length 0', EINVAL, { length: 0n }),
  mapRow('length leaves no page', EINVAL, { user_va: 0n, length: U64_MAX - 1n }),
  mapRow('length misaligned', EINVAL, { length: 1n }),
  mapRow('iova misaligned', EINVAL, { flags: FIXED, iova: 0x100_0001n }),
  mapRow('iova wraps', EOVERFLOW, { flags: FIXED, iova: U64_MAX - 0x7ffn }),
  mapRow('reserved range', EINVAL, { flags: FIXED, iova: 0n }),
  mapRow('user_va misaligned', EINVAL, { flags: FIXED, iova: 0x100_0000n, user_va: BUFFER + 1n }),
  mapRow('too long to place', EOVERFLOW, { user_va: 0n, length: 1n << 63n }),
  mapRow('no alignment to be had', EINVAL, { user_va: BUFFER + 1n }),
  mapRow('no room', ENOSPC, { user_va: 0n, length: 1n << 40n }),
  mapRow('nothing at the address', EFAULT, { user_va: BAD }),
  copyRow('unknown flag', EOPNOTSUPP, { flags: 8 }),
  copyRow('src_iova 2^64-1', EOVERFLOW, { src_iova: U64_MAX }),
  copyRow('dst_iova 2^64-1', EOVERFLOW, { dst_iova: U64_MAX }),
  copyRow('no access', EINVAL, { flags: 0 }),
  copyRow('no source', ENOENT, { src_ioas_id: 9 }),
  copyRow('length 0', EINVAL, { length: 0n }),
  copyRow('source wraps', EOVERFLOW, { src_iova: U64_MAX - 1n }),
  copyRow('source not mapped', ENOENT, { src_iova: 0x100_0000n }),
  unmapRow('no IOAS', ENOENT, 0n, 1n, 9),
  unmapRow('length 2^64-1', EOVERFLOW, 1n, U64_MAX),
  unmapRow('iova 2^64-1', EOVERFLOW, U64_MAX, 1n),
  unmapRow('length 0', EINVAL, 0x1000n, 0n),
  unmapRow('wraps', EOVERFLOW, U64_MAX - 1n, 0x1000n),
  unmapRow('nothing there', ENOENT, 0x100_0000n, 0x1000n),
  optionRow('reserved field', EOPNOTSUPP, { __reserved: 1 }),
  optionRow('unknown option', EOPNOTSUPP, { option_id: 2 }),
  optionRow('RLIMIT_MODE with an object', EOPNOTSUPP, { object_id: 1 }),
  optionRow('RLIMIT_MODE with objects about', EBUSY, { val64: 1n }),
  optionRow('RLIMIT_MODE unknown op', EOPNOTSUPP, { op: 2 }),
  optionRow('HUGE_PAGES of no IOAS', ENOENT, { option_id: 1 }),
  optionRow('HUGE_PAGES 2', EINVAL, { option_id: 1, object_id: 1, val64: 2n }),
  optionRow('HUGE_PAGES unknown op', EOPNOTSUPP, { option_id: 1, object_id: 1, op: 2 }),
  row('VFIO_IOAS: reserved field', EOPNOTSUPP, uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, {
    __reserved: 1,
  }),
  row('VFIO_IOAS: GET of none', ENODEV, uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, {}),
  row('VFIO_IOAS: SET of none', ENOENT, uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1 }),
  row('VFIO_IOAS: unknown op', EOPNOTSUPP, uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 3 }),
  hwptRow('reserved field', EOPNOTSUPP, { __reserved: 1 }),
  hwptRow('length without type', EINVAL, { data_len: 1 }),
  hwptRow('type without length', EINVAL, { data_type: 1 }),
  hwptRow('no device', ENOENT, { dev_id: 1 }),
  hwptRow('no pt', EINVAL, { pt_id: 99 }),
  hwptRow('pt is a device', EINVAL, { pt_id: 3 }),
  hwptRow('unknown flag', EOPNOTSUPP, { flags: 16 }),
  hwptRow('fault and nest parent', EOPNOTSUPP, { flags: 5 }),
  hwptRow('no fault queue', ENOENT, { flags: 4, fault_id: 1 }),
  hwptRow('nested on an automatic hwpt', EINVAL, {
    pt_id: 4,
    data_type: t.IOMMU_HWPT_DATA_SELFTEST,
    data_len: 8,
    data_uptr: ARRAY,
  }),
  hwptRow('nested without data', EOPNOTSUPP, { pt_id: 4 }),
  hwptRow('unreadable data', EFAULT, {
    data_type: t.IOMMU_HWPT_DATA_SELFTEST,
    data_len: 8,
    data_uptr: BAD,
  }),
  row('GET_HW_INFO: flag', EOPNOTSUPP, uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, {
    flags: 2,
    dev_id: 3,
  }),
  row('GET_HW_INFO: no device', ENOENT, uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, { dev_id: 1 }),
  row('GET_HW_INFO: wrong type', EOPNOTSUPP, uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, {
    flags: 1,
    dev_id: 3,
    out_data_type: 1,
  }),
  row('GET_HW_INFO: unwritable', EFAULT, uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, {
    dev_id: 3,
    data_len: 8,
    data_uptr: BAD,
  }),
  row(
    'SET_DIRTY: flag',
    EOPNOTSUPP,
    uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
    uapi.iommu_hwpt_set_dirty_tracking,
    { flags: 2 },
  ),
  row(
    'SET_DIRTY: no hwpt',
    ENOENT,
    uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
    uapi.iommu_hwpt_set_dirty_tracking,
    { hwpt_id: 1 },
  ),
  row(
    'SET_DIRTY: not allocated for it',
    EOPNOTSUPP,
    uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
    uapi.iommu_hwpt_set_dirty_tracking,
    { hwpt_id: 4 },
  ),
  dirtyRow('flag', EOPNOTSUPP, { flags: 2 }),
  dirtyRow('no hwpt', ENOENT, { hwpt_id: 1 }),
  dirtyRow('length 0', EINVAL, { length: 0n }),
  dirtyRow('wraps', EOVERFLOW, { iova: U64_MAX, length: 2n }),
  dirtyRow('misaligned', EINVAL, { iova: 0x100_0001n }),
  dirtyRow('page_size 0', EINVAL, { page_size: 0n }),
  dirtyRow('not whole pages', EINVAL, { page_size: 0x2000n }),
  dirtyRow('not tracked', EOPNOTSUPP, {}),
  invalRow('reserved field', EOPNOTSUPP, { __reserved: 1 }),
  invalRow('no array', EINVAL, { hwpt_id: 4, entry_num: 1, entry_len: 8 }),
  invalRow('entries of length 0', EINVAL, { hwpt_id: 4, entry_num: 1, data_uptr: ARRAY }),
  invalRow('entries too long', EINVAL, {
    hwpt_id: 4,
    entry_num: 1,
    entry_len: 4097,
    data_uptr: ARRAY,
  }),
  invalRow('too many', EINVAL, {
    hwpt_id: 4,
    entry_num: (1 << 19) + 1,
    entry_len: 8,
    data_uptr: ARRAY,
  }),
  invalRow('no object', ENOENT, { hwpt_id: 99 }),
  invalRow('paging hwpt', EINVAL, { hwpt_id: 4 }),
  row('FAULT: flag', EOPNOTSUPP, uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {
    flags: 1,
  }),
  row('MAP_FILE: flag', EOPNOTSUPP, uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: 8,
  }),
  row('MAP_FILE: no file', EBADF, uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: RW,
    ioas_id: 1,
    fd: 99,
    length: 0x1000n,
  }),
  row('MAP_FILE: length 0', EINVAL, uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: RW,
    ioas_id: 1,
    fd: 99,
  }),
  row('MAP_FILE: wraps', EOVERFLOW, uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: RW,
    ioas_id: 1,
    fd: 99,
    start: U64_MAX,
    length: 2n,
  }),
  row('VIOMMU: no type', EOPNOTSUPP, uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    dev_id: 3,
    hwpt_id: 4,
  }),
  row('VIOMMU: no device', ENOENT, uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: 1,
    dev_id: 1,
  }),
  row('VIOMMU: unsupported type', EOPNOTSUPP, uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: 1,
    dev_id: 3,
  }),
  row('VIOMMU: no hwpt', ENOENT, uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: 3,
  }),
  row('VIOMMU: no nest parent', EINVAL, uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: 3,
    hwpt_id: 4,
  }),
  row('VDEVICE: no vIOMMU', ENOENT, uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
    viommu_id: 4,
  }),
  row('VEVENTQ: no type', EOPNOTSUPP, uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
    veventq_depth: 1,
  }),
  row('VEVENTQ: depth 0', EINVAL, uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, { type: 1 }),
  row('VEVENTQ: no vIOMMU', ENOENT, uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
    type: 1,
    veventq_depth: 1,
  }),
  row('HW_QUEUE: no type', EOPNOTSUPP, uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {}),
  row('HW_QUEUE: length 0', EINVAL, uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
    type: 1,
  }),
  row('HW_QUEUE: wraps', EOVERFLOW, uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
    type: 1,
    nesting_parent_iova: U64_MAX,
    length: 2n,
  }),
  row('HW_QUEUE: no vIOMMU', ENOENT, uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
    type: 1,
    length: 1n,
  }),
  row(
    'CHANGE_PROCESS: reserved field',
    EOPNOTSUPP,
    uapi.IOMMU_IOAS_CHANGE_PROCESS,
    uapi.iommu_ioas_change_process,
    { __reserved: 1 },
  ),
  row('GET_PA: flag', EOPNOTSUPP, uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, {
    flags: 1,
  }),
  row(
    'GET_PA: iova 2^64-1',
    EOVERFLOW,
    uapi.IOMMU_IOAS_NOIOMMU_GET_PA,
    uapi.iommu_ioas_noiommu_get_pa,
    { iova: U64_MAX, length: 1n },
  ),
  row('GET_PA: no IOAS', ENOENT, uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, {
    length: 1n,
  }),
  testRow('unknown op', EOPNOTSUPP, 99, 0, testMember(t.iommu_test_add_reserved)),
  testRow('ADD_RESERVED length 0', EINVAL, 1, 1, testMember(t.iommu_test_add_reserved)),
  testRow('ADD_RESERVED wraps', EOVERFLOW, 1, 1, testMember(t.iommu_test_add_reserved), {
    start: U64_MAX,
    length: 2n,
  }),
  testRow('ADD_RESERVED no IOAS', ENOENT, 1, 9, testMember(t.iommu_test_add_reserved), {
    length: 1n,
  }),
  testRow('MOCK_DOMAIN of nothing', ENOENT, 2, 99, testMember(t.iommu_test_mock_domain)),
  testRow('MOCK_DOMAIN of a device', EINVAL, 2, 3, testMember(t.iommu_test_mock_domain)),
  testRow('MOCK_DOMAIN_FLAGS unknown', EINVAL, 12, 1, testMember(t.iommu_test_mock_domain), {
    dev_flags: 8,
  }),
  testRow('CHECK_MAP misaligned', EINVAL, 3, 4, testMember(t.iommu_test_check_map), { length: 1n }),
  testRow('CHECK_REFS misaligned', EINVAL, 4, 0, testMember(t.iommu_test_check_refs), {
    length: 1n,
  }),
  testRow('CREATE_ACCESS flag', EOPNOTSUPP, 5, 1, testMember(t.iommu_test_create_access), {
    flags: 2,
  }),
  testRow('CREATE_ACCESS no IOAS', ENOENT, 5, 9, testMember(t.iommu_test_create_access)),
  testRow('ACCESS_PAGES too long', ENOMEM, 7, 0, testMember(t.iommu_test_access_pages), {
    length: (16n << 20n) + 1n,
  }),
  testRow('ACCESS_PAGES bad fd', EBADFD, 7, 99, testMember(t.iommu_test_access_pages), {
    length: 1n,
  }),
  testRow('ACCESS_RW too long', ENOMEM, 8, 0, testMember(t.iommu_test_access_rw), {
    length: (16n << 20n) + 1n,
  }),
  testRow('ACCESS_RW bad fd', EBADFD, 8, 99, testMember(t.iommu_test_access_rw), { length: 1n }),
  testRow('MEMORY_LIMIT 11', EINVAL, 9, 0, testMember(t.iommu_test_memory_limit), { limit: 11 }),
  testRow('REPLACE of no stdev', ENOENT, 10, 1, testMember(t.iommu_test_mock_domain_replace)),
  testRow('REPLACE by nothing', ENOENT, 10, 2, testMember(t.iommu_test_mock_domain_replace), {
    pt_id: 99,
  }),
  testRow('DIRTY without uptr', EINVAL, 13, 4, testMember(t.iommu_test_dirty), {
    length: 2048n,
    page_size: 2048n,
  }),
  testRow('DIRTY not tracking', EINVAL, 13, 4, testMember(t.iommu_test_dirty), {
    length: 2048n,
    page_size: 2048n,
    uptr: ARRAY,
  }),
  testRow('CHECK_IOTLB of a paging hwpt', ENOENT, 14, 4, testMember(t.iommu_test_check_iotlb)),
  testRow('CHECK_CACHE wrong value', EINVAL, 16, 3, testMember(t.iommu_test_check_dev_cache)),
  testRow('TRIGGER_IOPF no device', ENOENT, 15, 0, testMember(t.iommu_test_trigger_iopf), {
    dev_id: 9,
  }),
  testRow('TRIGGER_VEVENT without vIOMMU', ENOENT, 17, 0, testMember(t.iommu_test_trigger_vevent), {
    dev_id: 3,
  }),
  testRow('DMABUF_GET length 0', EINVAL, 22, 0, testMember(t.iommu_test_dmabuf_get)),
  testRow('DMABUF_REVOKE no file', EBADF, 23, 0, testMember(t.iommu_test_dmabuf_revoke), {
    dmabuf_fd: 99,
  }),
];

test.for(ROWS)('%s is %s', ([, errno, call]) => {
  const { fd } = prepare();
  const before = fd.world.frames.totalPins;
  expect(call(fd)).toBe(errno);
  // A refused call leaves nothing behind: the next object gets the id it would have got.
  expect(ioasAlloc(fd)).toBe(5);
  expect(fd.world.frames.totalPins).toBe(before);
  fd.close();
});

test('a range of areas is EEXIST, ENOENT for a part, EADDRINUSE for what lies there', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  expect(map(fd, ioas, BUFFER, 0x2000n, 0x10_0000n)).toBe(0x10_0000n);
  expect(map(fd, ioas, BUFFER, 0x1000n, 0x10_1000n)).toBe(EEXIST);
  expect(unmap(fd, ioas, 0x10_0000n, 0x1000n)).toBe(ENOENT);
  const reserve = { start: 0x10_1000n, length: 1n };
  expect(testOp(fd, 1, ioas, t.iommu_test_add_reserved, reserve)).toBe(EADDRINUSE);
  expect(unmap(fd, ioas, 0n, 0x20_0000n)).toBe(0x2000n);
  expect(only(testOp(fd, 1, ioas, t.iommu_test_add_reserved, reserve))).toBeUndefined();
  expect(map(fd, ioas, BUFFER, 0x2000n, 0x10_0000n)).toBe(EINVAL);
  const ranges = new BigUint64Array([0x10_0000n, 0x10_1000n]);
  poke(fd.task, ARRAY, new Uint8Array(ranges.buffer));
  const allow = { ioas_id: ioas, num_iovas: 1, allowed_iovas: ARRAY };
  expect(fd.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, allow)).toBe(EADDRINUSE);
  expect(unmap(fd, ioas, 0n, U64_MAX)).toBe(0n);
  fd.close();
});

test('a copy is refused with EPERM when the first mapping was read-only', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  expect(map(fd, ioas, BUFFER, 0x1000n, 0x10_0000n, 4)).toBe(0x10_0000n);
  const values = {
    flags: RW,
    dst_ioas_id: ioas,
    src_ioas_id: ioas,
    length: 0x1000n,
    src_iova: 0x10_0000n,
  };
  expect(fd.call(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, values)).toBe(EPERM);
  fd.close();
});

test('locking too much memory is ENOMEM by user, or by address space, and the charge comes back', () => {
  for (const mode of [0n, 1n]) {
    const world = new World();
    const fd = world.open();
    fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: mode });
    fd.task.caps.clear();
    fd.task.rlimitMemlock = 0x2000n;
    const ioas = ioasAlloc(fd);
    mock(fd, ioas);
    const counted = () => (mode === 0n ? world.accounts.lockedPages(1000) : fd.task.mm.lockedVm);
    expect(map(fd, ioas, BUFFER, 0x3000n)).toBe(ENOMEM);
    expect(counted()).toBe(0);
    const iova = map(fd, ioas, BUFFER, 0x2000n) as bigint;
    expect(counted()).toBe(2);
    expect(map(fd, ioas, BUFFER, 0x1000n)).toBe(ENOMEM);
    expect(unmap(fd, ioas, iova, 0x2000n)).toBe(0x2000n);
    expect(counted()).toBe(0);
    fd.close();
  }
});

test('RLIMIT_MODE needs CAP_SYS_RESOURCE', () => {
  const fd = new World().open();
  fd.task.caps.clear();
  expect(fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 1n })).toBe(EPERM);
  fd.close();
});

test('large pages cannot be switched off under mappings, nor under misaligned ones', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const off = { option_id: 1, object_id: ioas, val64: 0n };
  map(fd, ioas, BUFFER + 0x800n, 0x800n);
  expect(fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, off)).toBe(EADDRINUSE);
  unmap(fd, ioas, 0n, U64_MAX);
  mock(fd, ioas);
  map(fd, ioas, BUFFER, 0x1000n);
  expect(fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, off)).toBe(EINVAL);
  fd.close();
});

test('devices with NO_DIRTY take no dirty hwpt, and the others have theirs', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const good = mock(fd, ioas);
  const hwpt = hwptAlloc(fd, good.idev, ioas, { flags: 2 });
  expect(isErrno(hwpt)).toBe(false);
  const poor = mock(fd, ioas, t.MOCK_FLAGS_DEVICE_NO_DIRTY);
  expect(hwptAlloc(fd, poor.idev, ioas, { flags: 2 })).toBe(EOPNOTSUPP);
  const replace = { pt_id: hwpt as number };
  expect(testOp(fd, 10, poor.stdev, t.iommu_test_mock_domain_replace, replace)).toBe(EINVAL);
  expect(destroy(fd, hwpt as number)).toBeUndefined();
  fd.close();
});
