/**
 * Which check comes first (iommufd.md chapter 2): every command is called with everything wrong, then with everything
 * but the first thing, and so on; each time the errno is that of the first thing still wrong.
 */
import { describe, expect, test } from 'vitest';
import {
  EADDRINUSE,
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import type { Fields, Struct } from '../../src/base/struct.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { hwptAlloc, ioasAlloc, map, mock } from '../../src/testing/iommufd/calls.ts';
import { ARRAY, BUFFER, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const BAD = 0xdead_0000n;
const APERTURE = 0x100_0000n;
const FREE = 0x200_0000n;
const READ_ONLY = 0x300_0000n;
const PAGE = 0x1000n;
const { IOMMU_IOAS_MAP_FIXED_IOVA: FIXED } = uapi;
const ALL = FIXED | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

/** Ids are fixed: IOAS 1; mock 2, 3 with hwpt 4; a poor mock; then as named. */
interface Scene {
  readonly fd: Iommufd;
  readonly ioas: number;
  readonly idev: number;
  readonly poor: number;
  readonly auto: number;
  readonly plain: number;
  readonly dirty: number;
  readonly parent: number;
  readonly viommu: number;
  readonly vacant: number;
  readonly stranger: number;
  readonly memfd: number;
}

function scene(): Scene {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const poor = mock(fd, ioas, t.MOCK_FLAGS_DEVICE_NO_DIRTY);
  const hwpt = (flags: number) => hwptAlloc(fd, dev.idev, ioas, { flags }) as number;
  const plain = hwpt(0);
  const dirty = hwpt(uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
  const parent = hwpt(uapi.IOMMU_HWPT_ALLOC_NEST_PARENT);
  const viommuOn = () =>
    fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
      type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
      dev_id: dev.idev,
      hwpt_id: parent,
    }).out_viommu_id;
  const [viommu, vacant] = [viommuOn(), viommuOn()] as const;
  const vdevice = { viommu_id: viommu, dev_id: dev.idev, virt_id: 5n };
  fd.must(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, vdevice);
  fd.must(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
    viommu_id: viommu,
    type: 1,
    veventq_depth: 1,
  });
  map(fd, ioas, BUFFER, PAGE, APERTURE);
  map(fd, ioas, BUFFER, PAGE, READ_ONLY, uapi.IOMMU_IOAS_MAP_READABLE);
  const memfd = fd.task.installFile(world.memfd(1));
  poke(fd.task, ARRAY, new Uint8Array(64));
  const { idev, hwpt: auto } = dev;
  const stranger = mock(fd, ioas).idev;
  return {
    ...{ fd, ioas, idev, poor: poor.idev, auto, plain, dirty, parent, viommu, vacant, stranger },
    memfd,
  };
}

type Values = Record<string, number | bigint>;
type Step = readonly [rule: string, errno: Errno, wrong: (s: Scene) => Values];

/** The steps in the order of the checks; `right` is what each of them spoils. Values of a step hold for those before. */
function inOrder<F extends Fields>(
  name: string,
  cmd: number,
  layout: Struct<F>,
  right: (s: Scene) => Values,
  steps: readonly Step[],
): void {
  describe(name, () => {
    test.for(steps.map((step, n) => [step[0], step[1], n] as const))(
      'the checks come in the order of the kernel: %s',
      ([, errno, first]) => {
        const s = scene();
        const values = steps
          .slice(first)
          .reduceRight<Values>((sofar, [, , wrong]) => ({ ...sofar, ...wrong(s) }), right(s));
        expect(s.fd.call(cmd, layout, values as never)).toBe(errno);
      },
    );
    test('a call with nothing wrong works', () => {
      const s = scene();
      expect(isErrno(s.fd.call(cmd, layout, right(s) as never))).toBe(false);
    });
  });
}

inOrder(
  'IOAS_IOVA_RANGES',
  uapi.IOMMU_IOAS_IOVA_RANGES,
  uapi.iommu_ioas_iova_ranges,
  ({ ioas }) => ({ ioas_id: ioas, num_iovas: 1, allowed_iovas: ARRAY }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['no IOAS', ENOENT, () => ({ __reserved: 0, ioas_id: 99 })],
    ['unwritable', EFAULT, ({ ioas }) => ({ ioas_id: ioas, num_iovas: 1, allowed_iovas: BAD })],
    ['too small', EMSGSIZE, () => ({ num_iovas: 0 })],
  ],
);

inOrder(
  'IOAS_ALLOW_IOVAS',
  uapi.IOMMU_IOAS_ALLOW_IOVAS,
  uapi.iommu_ioas_allow_iovas,
  ({ ioas }) => ({ ioas_id: ioas, num_iovas: 0 }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['no IOAS', ENOENT, () => ({ __reserved: 0, ioas_id: 99 })],
    ['unreadable', EFAULT, ({ ioas }) => ({ ioas_id: ioas, allowed_iovas: BAD })],
    ['empty range', EINVAL, () => ({ allowed_iovas: ARRAY, num_iovas: 1 })],
  ],
);

test('IOAS_ALLOW_IOVAS looks at the whole list before it looks at reservations', () => {
  const { fd, ioas } = scene();
  const allow = (...bounds: bigint[]) => {
    poke(fd.task, ARRAY, new Uint8Array(new BigUint64Array(bounds).buffer));
    return fd.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
      ioas_id: ioas,
      num_iovas: bounds.length / 2,
      allowed_iovas: ARRAY,
    });
  };
  expect(allow(0n, 0xfffn, 0x2000n, 0x1000n)).toBe(EINVAL);
  expect(allow(0n, 0xfffn, 0x800n, 0x1000n)).toBe(EINVAL);
  expect(allow(0n, 0xfffn, 0x1000n, 0x2000n)).toBe(EADDRINUSE);
});

inOrder(
  'IOAS_MAP',
  uapi.IOMMU_IOAS_MAP,
  uapi.iommu_ioas_map,
  ({ ioas }) => ({ flags: ALL, ioas_id: ioas, user_va: BUFFER, length: PAGE, iova: FREE }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 8 })],
    ['reserved field', EOPNOTSUPP, () => ({ flags: FIXED, __reserved: 1 })],
    ['iova 2^64-1', EOVERFLOW, () => ({ __reserved: 0, iova: U64_MAX })],
    ['length 2^64-1', EOVERFLOW, () => ({ length: U64_MAX })],
    ['no access', EINVAL, () => ({ flags: FIXED, iova: 1n, length: 0x1001n })],
    ['no IOAS', ENOENT, () => ({ flags: ALL, ioas_id: 99 })],
    ['user_va wraps', EOVERFLOW, ({ ioas }) => ({ ioas_id: ioas, user_va: U64_MAX })],
    ['length misaligned', EINVAL, () => ({ user_va: BAD + 1n, length: 0x1001n })],
    ['iova wraps', EOVERFLOW, () => ({ length: PAGE, iova: U64_MAX - 0x7ffn })],
    ['reserved there', EINVAL, () => ({ iova: 0n })],
    ['mapped there', EEXIST, () => ({ iova: APERTURE })],
    ['user_va misaligned', EINVAL, () => ({ user_va: BAD + 1n, iova: FREE })],
    ['nothing at user_va', EFAULT, () => ({ user_va: BAD })],
  ],
);

inOrder(
  'IOAS_MAP_FILE',
  uapi.IOMMU_IOAS_MAP_FILE,
  uapi.iommu_ioas_map_file,
  ({ ioas, memfd }) => ({ flags: ALL, ioas_id: ioas, fd: memfd, length: PAGE, iova: FREE }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 8 })],
    ['iova 2^64-1', EOVERFLOW, () => ({ flags: FIXED, iova: U64_MAX })],
    ['no access', EINVAL, () => ({ flags: FIXED, iova: 0n })],
    ['no IOAS', ENOENT, () => ({ flags: ALL, ioas_id: 99 })],
    ['length 0', EINVAL, ({ ioas }) => ({ ioas_id: ioas, length: 0n })],
    ['start wraps', EOVERFLOW, () => ({ start: U64_MAX, length: 2n })],
    ['no file', EBADF, () => ({ start: 1n, length: 0x1001n, fd: 99 })],
    ['length misaligned', EINVAL, ({ memfd }) => ({ fd: memfd, length: 0x1001n })],
    ['mapped there', EEXIST, () => ({ length: PAGE, iova: APERTURE })],
    ['start misaligned', EINVAL, () => ({ iova: FREE, start: 1n })],
    ['beyond the file', EINVAL, () => ({ start: PAGE })],
  ],
);

inOrder(
  'IOAS_COPY',
  uapi.IOMMU_IOAS_COPY,
  uapi.iommu_ioas_copy,
  ({ ioas }) => ({
    ...{ flags: ALL, dst_ioas_id: ioas, src_ioas_id: ioas },
    ...{ length: PAGE, src_iova: APERTURE, dst_iova: FREE },
  }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 8 })],
    ['src_iova 2^64-1', EOVERFLOW, () => ({ flags: FIXED, src_iova: U64_MAX })],
    ['dst_iova 2^64-1', EOVERFLOW, () => ({ src_iova: U64_MAX - 1n, dst_iova: U64_MAX })],
    ['no access', EINVAL, () => ({ flags: FIXED, dst_iova: 1n })],
    ['no source IOAS', ENOENT, () => ({ flags: ALL, src_ioas_id: 99 })],
    ['length 0', EINVAL, ({ ioas }) => ({ src_ioas_id: ioas, length: 0n })],
    ['source wraps', EOVERFLOW, () => ({ src_iova: U64_MAX - 1n, length: 0x1801n })],
    ['a hole in the source', ENOENT, () => ({ src_iova: READ_ONLY, length: 0x1801n })],
    ['no destination IOAS', ENOENT, () => ({ dst_ioas_id: 99, length: 0x801n })],
    ['length misaligned', EINVAL, ({ ioas }) => ({ dst_ioas_id: ioas, length: 0x7ffn })],
    ['mapped there', EEXIST, () => ({ length: 0x800n, dst_iova: APERTURE })],
    [
      'read-only memory',
      EPERM,
      () => ({
        src_iova: READ_ONLY + 1n,
        dst_iova: FREE,
        length: 0x800n,
      }),
    ],
    ['offset misaligned', EINVAL, () => ({ src_iova: APERTURE + 1n, length: 0x800n })],
  ],
);

inOrder(
  'IOAS_UNMAP',
  uapi.IOMMU_IOAS_UNMAP,
  uapi.iommu_ioas_unmap,
  ({ ioas }) => ({ ioas_id: ioas, iova: APERTURE, length: PAGE }),
  [
    ['no IOAS', ENOENT, () => ({ ioas_id: 99 })],
    ['iova 2^64-1', EOVERFLOW, ({ ioas }) => ({ ioas_id: ioas, iova: U64_MAX, length: 0n })],
    ['length 0', EINVAL, () => ({ iova: FREE, length: 0n })],
    ['wraps', EOVERFLOW, () => ({ iova: U64_MAX - 1n, length: PAGE })],
    ['part of a mapping', ENOENT, () => ({ iova: APERTURE, length: 0x800n })],
  ],
);

inOrder(
  'OPTION',
  uapi.IOMMU_OPTION,
  uapi.iommu_option,
  ({ ioas }) => ({ option_id: 1, object_id: ioas, val64: 1n }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['unknown option', EOPNOTSUPP, () => ({ __reserved: 0, option_id: 2 })],
    ['no IOAS', ENOENT, () => ({ option_id: 1, object_id: 99 })],
    ['unknown operation', EOPNOTSUPP, ({ ioas }) => ({ object_id: ioas, op: 2 })],
    ['under mappings and domains', EINVAL, () => ({ op: 0, val64: 0n })],
    ['a value that is none', EINVAL, () => ({ val64: 2n })],
  ],
);

test('OPTION RLIMIT_MODE looks at the object, the operation, the right, the objects, the value', () => {
  const { fd } = scene();
  const mode = (values: Values) =>
    fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 9n, ...values });
  fd.task.caps.clear();
  expect(mode({ object_id: 1, op: 2 })).toBe(EOPNOTSUPP);
  expect(mode({ op: 2 })).toBe(EOPNOTSUPP);
  expect(mode({})).toBe(EPERM);
  fd.task.caps.add(24);
  expect(mode({})).toBe(EBUSY);
  const fresh = new World().open();
  expect(fresh.call(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 9n })).toBe(EINVAL);
  // Reading wants no right, and works with objects about.
  fd.task.caps.clear();
  expect(isErrno(mode({ op: 1 }))).toBe(false);
});

inOrder(
  'VFIO_IOAS',
  uapi.IOMMU_VFIO_IOAS,
  uapi.iommu_vfio_ioas,
  ({ ioas }) => ({ op: 1, ioas_id: ioas }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['none to get', ENODEV, () => ({ __reserved: 0, op: 0 })],
    ['unknown operation', EOPNOTSUPP, () => ({ op: 3 })],
    ['no IOAS', ENOENT, () => ({ op: 1, ioas_id: 99 })],
  ],
);

const DATA = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 8, data_uptr: ARRAY };

inOrder(
  'HWPT_ALLOC on an IOAS',
  uapi.IOMMU_HWPT_ALLOC,
  uapi.iommu_hwpt_alloc,
  ({ idev, ioas }) => ({ dev_id: idev, pt_id: ioas, ...DATA }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['a type without a length', EINVAL, () => ({ __reserved: 0, data_len: 0 })],
    ['no device', ENOENT, () => ({ data_len: 8, dev_id: 99 })],
    ['nothing to allocate on', EINVAL, ({ poor }) => ({ dev_id: poor, pt_id: 99 })],
    ['of another kind', EINVAL, ({ idev }) => ({ pt_id: idev })],
    ['unknown flag', EOPNOTSUPP, ({ ioas }) => ({ pt_id: ioas, flags: 16 })],
    ['dirty tracking it has not', EOPNOTSUPP, () => ({ flags: 2 | 4 })],
    ['fault and nest parent', EOPNOTSUPP, ({ idev }) => ({ dev_id: idev, flags: 5 })],
    ['data type', EOPNOTSUPP, () => ({ flags: 4, data_type: 1, data_uptr: BAD })],
    ['data length', EINVAL, () => ({ data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 3 })],
    ['data unreadable', EFAULT, () => ({ data_len: 8, data_uptr: BAD })],
    ['no fault queue', ENOENT, () => ({ data_uptr: ARRAY, flags: 4, fault_id: 99 })],
  ],
);

inOrder(
  'HWPT_ALLOC on an hwpt',
  uapi.IOMMU_HWPT_ALLOC,
  uapi.iommu_hwpt_alloc,
  ({ idev, parent }) => ({ dev_id: idev, pt_id: parent, ...DATA }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 2 })],
    ['no data', EOPNOTSUPP, ({ auto }) => ({ flags: 4, pt_id: auto, data_type: 0, data_len: 0 })],
    ['an automatic one', EINVAL, ({ auto }) => ({ ...DATA, pt_id: auto, data_type: 1 })],
    ['no nest parent', EINVAL, ({ plain }) => ({ pt_id: plain })],
    ['data type', EOPNOTSUPP, ({ parent }) => ({ pt_id: parent, data_type: 1, data_len: 3 })],
    ['data length', EINVAL, () => ({ ...DATA, data_len: 3 })],
    ['no fault queue', ENOENT, () => ({ ...DATA, flags: 4, fault_id: 99 })],
  ],
);

inOrder(
  'HWPT_ALLOC on a vIOMMU',
  uapi.IOMMU_HWPT_ALLOC,
  uapi.iommu_hwpt_alloc,
  ({ idev, viommu }) => ({ dev_id: idev, pt_id: viommu, ...DATA }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 2 })],
    ['no data', EOPNOTSUPP, () => ({ flags: 4, data_type: 0, data_len: 0 })],
    ['data type', EOPNOTSUPP, () => ({ ...DATA, data_type: 1, data_len: 3 })],
    ['data length', EINVAL, () => ({ ...DATA, data_len: 3 })],
    ['data unreadable', EFAULT, () => ({ ...DATA, data_uptr: BAD })],
    ['no fault queue', ENOENT, () => ({ ...DATA, flags: 4, fault_id: 99 })],
  ],
);

inOrder(
  'GET_HW_INFO',
  uapi.IOMMU_GET_HW_INFO,
  uapi.iommu_hw_info,
  ({ idev }) => ({ dev_id: idev, data_len: 8, data_uptr: ARRAY }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 2 })],
    ['no device', ENOENT, () => ({ flags: 1, dev_id: 99 })],
    ['type', EOPNOTSUPP, ({ idev }) => ({ flags: 1, dev_id: idev, out_data_type: 77 })],
    ['unwritable', EFAULT, () => ({ out_data_type: 0, data_uptr: BAD })],
  ],
);

inOrder(
  'HWPT_SET_DIRTY_TRACKING',
  uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
  uapi.iommu_hwpt_set_dirty_tracking,
  ({ dirty }) => ({ hwpt_id: dirty, flags: 1 }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 2 })],
    ['no paging hwpt', ENOENT, ({ viommu }) => ({ flags: 1, hwpt_id: viommu })],
    ['not allocated for it', EOPNOTSUPP, ({ plain }) => ({ hwpt_id: plain })],
  ],
);

inOrder(
  'HWPT_GET_DIRTY_BITMAP',
  uapi.IOMMU_HWPT_GET_DIRTY_BITMAP,
  uapi.iommu_hwpt_get_dirty_bitmap,
  ({ dirty }) => ({
    ...{ hwpt_id: dirty, iova: APERTURE, length: PAGE },
    ...{ page_size: 2048n, data: ARRAY },
  }),
  [
    ['unknown flag', EOPNOTSUPP, () => ({ flags: 2 })],
    ['reserved field', EOPNOTSUPP, () => ({ flags: 0, __reserved: 1 })],
    ['no hwpt', ENOENT, () => ({ __reserved: 0, hwpt_id: 99 })],
    ['wraps', EOVERFLOW, ({ plain }) => ({ hwpt_id: plain, iova: U64_MAX, length: PAGE })],
    ['misaligned', EINVAL, () => ({ iova: APERTURE + 1n })],
    ['page_size 0', EINVAL, () => ({ iova: APERTURE, page_size: 0n })],
    ['not whole pages', EINVAL, () => ({ page_size: 0x2000n })],
    ['not allocated for it', EOPNOTSUPP, ({ plain }) => ({ hwpt_id: plain, page_size: 2048n })],
  ],
);

inOrder(
  'HWPT_INVALIDATE',
  uapi.IOMMU_HWPT_INVALIDATE,
  uapi.iommu_hwpt_invalidate,
  ({ viommu }) => ({ hwpt_id: viommu, data_type: t.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST }),
  [
    ['reserved field', EOPNOTSUPP, () => ({ __reserved: 1 })],
    ['no array', EINVAL, () => ({ __reserved: 0, entry_num: 1, data_uptr: 0n })],
    ['no object', ENOENT, () => ({ hwpt_id: 99 })],
    ['of another kind', EINVAL, ({ plain }) => ({ hwpt_id: plain })],
    [
      'unreadable',
      EFAULT,
      ({ viommu }) => ({
        ...{ hwpt_id: viommu, entry_num: 1 },
        ...{ entry_len: 12, data_uptr: BAD },
      }),
    ],
  ],
);

inOrder(
  'VIOMMU_ALLOC',
  uapi.IOMMU_VIOMMU_ALLOC,
  uapi.iommu_viommu_alloc,
  ({ idev, parent }) => ({
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: idev,
    hwpt_id: parent,
  }),
  [
    ['flag', EOPNOTSUPP, () => ({ flags: 1 })],
    ['no type', EOPNOTSUPP, () => ({ flags: 0, type: 0 })],
    ['no device', ENOENT, () => ({ type: 1, dev_id: 99 })],
    ['type', EOPNOTSUPP, ({ idev }) => ({ dev_id: idev, type: 1 })],
    ['no hwpt', ENOENT, () => ({ type: t.IOMMU_VIOMMU_TYPE_SELFTEST, hwpt_id: 99 })],
    ['no nest parent', EINVAL, ({ plain }) => ({ hwpt_id: plain })],
    ['data length', EINVAL, ({ parent }) => ({ hwpt_id: parent, data_len: 7 })],
    ['data unreadable', EFAULT, () => ({ data_len: 8, data_uptr: BAD })],
  ],
);

inOrder(
  'VDEVICE_ALLOC',
  uapi.IOMMU_VDEVICE_ALLOC,
  uapi.iommu_vdevice_alloc,
  ({ vacant, stranger }) => ({ viommu_id: vacant, dev_id: stranger, virt_id: 5n }),
  [
    ['no vIOMMU', ENOENT, () => ({ viommu_id: 99 })],
    ['no device', ENOENT, ({ viommu }) => ({ viommu_id: viommu, dev_id: 99 })],
    ['the device has one', EEXIST, ({ idev }) => ({ dev_id: idev })],
    [
      'the virtual id is taken',
      EEXIST,
      ({ viommu, stranger }) => ({
        viommu_id: viommu,
        dev_id: stranger,
      }),
    ],
  ],
);

inOrder(
  'VEVENTQ_ALLOC',
  uapi.IOMMU_VEVENTQ_ALLOC,
  uapi.iommu_veventq_alloc,
  ({ viommu }) => ({ viommu_id: viommu, type: 2, veventq_depth: 1 << 19 }),
  [
    ['flag', EOPNOTSUPP, () => ({ flags: 1 })],
    ['reserved field', EOPNOTSUPP, () => ({ flags: 0, __reserved: 1 })],
    ['no type', EOPNOTSUPP, () => ({ __reserved: 0, type: 0 })],
    ['depth', EINVAL, () => ({ type: 1, veventq_depth: (1 << 19) + 1 })],
    ['no vIOMMU', ENOENT, () => ({ veventq_depth: 1, viommu_id: 99 })],
    ['a second queue of the type', EEXIST, ({ viommu }) => ({ viommu_id: viommu, type: 1 })],
  ],
);

inOrder(
  'HW_QUEUE_ALLOC',
  uapi.IOMMU_HW_QUEUE_ALLOC,
  uapi.iommu_hw_queue_alloc,
  ({ viommu }) => ({
    viommu_id: viommu,
    type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
    nesting_parent_iova: APERTURE,
    length: PAGE,
  }),
  [
    ['flag', EOPNOTSUPP, () => ({ flags: 1 })],
    ['no type', EOPNOTSUPP, () => ({ flags: 0, type: 0 })],
    ['length 0', EINVAL, () => ({ type: 1, length: 0n, nesting_parent_iova: U64_MAX })],
    ['wraps', EOVERFLOW, () => ({ length: 2n, nesting_parent_iova: U64_MAX })],
    ['no vIOMMU', ENOENT, () => ({ nesting_parent_iova: FREE, viommu_id: 99 })],
    ['type', EOPNOTSUPP, ({ viommu }) => ({ viommu_id: viommu, type: 1 })],
    [
      'not mapped',
      ENOENT,
      () => ({
        type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
        nesting_parent_iova: FREE,
        index: 9,
      }),
    ],
    ['index', EINVAL, () => ({ nesting_parent_iova: APERTURE, index: 9 })],
  ],
);
