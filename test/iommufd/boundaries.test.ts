/** Lengths, arrays and ranges at their borders, and which check comes first (iommufd.md 2.3, 2.11 to 2.20, 3.3, 6). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EADDRINUSE,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  isErrno,
} from '../../src/base/errno.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { mockPagingOf } from '../../src/drivers/mock/paging.ts';
import { HwptPaging } from '../../src/iommufd/hwpt-object.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import * as v from '../../src/uapi/vfio.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  only,
  testOp,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARG, ARRAY, BUFFER, peek, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const BAD = 0xdead_0000n;
const APERTURE = 0x100_0000n;
const PAGE = 0x1000n;
/** The last bytes of a page behind which nothing is mapped. */
const EDGE = ARRAY + 4n * PAGE;

function scene() {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
  const parent = hwptAlloc(fd, dev.idev, ioas, { flags }) as number;
  poke(fd.task, ARRAY, new Uint8Array(4 * 4096));
  return { fd, ioas, dev, parent };
}
function u32s(...words: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(words).buffer);
}

describe('vendor data is looked at last', () => {
  const nested = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 8, data_uptr: BAD };
  const { fd, ioas, dev, parent } = scene();
  test.for([
    ['its address is not mapped', ioas, {}, EFAULT],
    ['unknown flag', ioas, { flags: 16 }, EOPNOTSUPP],
    ['dirty tracking and an unknown type', ioas, { flags: 2, data_type: 1 }, EOPNOTSUPP],
    ['data type of another driver', ioas, { data_type: 1 }, EOPNOTSUPP],
    ['longer than the struct', ioas, { data_len: 9 }, EINVAL],
    ['as long as a u32 can say', ioas, { data_len: 0xffff_ffff }, EINVAL],
    ['shorter than the struct', ioas, { data_len: 3 }, EINVAL],
    ['nested: its address is not mapped', parent, {}, EFAULT],
    ['nested: unknown flag', parent, { flags: 2 }, EOPNOTSUPP],
    ['nested on an automatic hwpt', dev.hwpt, {}, EINVAL],
    ['nested: longer than the struct', parent, { data_len: 9 }, EINVAL],
    ['on no page table', dev.idev, {}, EINVAL],
  ] as const)('HWPT_ALLOC looks at vendor data last: %s', ([, pt, values, errno]) => {
    expect(hwptAlloc(fd, dev.idev, pt, { ...nested, ...values })).toBe(errno);
  });
  test('a struct may end with its page, and lack the field it does not know', () => {
    for (const data_len of [4, 8]) {
      const data_uptr = EDGE - BigInt(data_len);
      const id = hwptAlloc(fd, dev.idev, ioas, { ...nested, data_len, data_uptr });
      expect(destroy(fd, id as number)).toBeUndefined();
    }
  });
  test('VIOMMU_ALLOC looks at the length before the address, and takes 8 to 24 bytes, cut where the caller ends', () => {
    const alloc = (data_len: number, data_uptr: bigint) => {
      const values = { type: t.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: dev.idev, hwpt_id: parent };
      const all = { ...values, data_len, data_uptr };
      const out = fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, all);
      return isErrno(out) ? out : out.out_viommu_id;
    };
    expect([alloc(7, BAD), alloc(25, BAD), alloc(24, BAD)]).toEqual([EINVAL, EINVAL, EFAULT]);
    poke(fd.task, EDGE - 8n, u32s(0xcafe, 0));
    const id = alloc(8, EDGE - 8n);
    expect([...new Uint32Array(peek(fd.task, EDGE - 8n, 8).buffer)]).toEqual([0xcafe, 0xcafe]);
    expect(destroy(fd, id as number)).toBeUndefined();
  });
});

test('pages a vIOMMU has published go with it, and their offsets are given again', () => {
  const { fd, dev, parent } = scene();
  const alloc = () => {
    const values = { type: t.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: dev.idev, hwpt_id: parent };
    const data = { data_len: 24, data_uptr: ARRAY };
    const out = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, { ...values, ...data });
    const { out_mmap_offset: at } = t.iommu_viommu_selftest.view(peek(fd.task, ARRAY, 24));
    return { id: out.out_viommu_id, at };
  };
  const [first, second] = [alloc(), alloc()];
  expect([first.at, second.at]).toEqual([0x1000n, 0x3000n]);
  expect(destroy(fd, first.id)).toBeUndefined();
  const shared = { read: true, write: true, exec: false, shared: true };
  const request = { offset: first.at, length: 0x2000n, ...shared };
  expect(fd.file.ops.mmap!(fd.file, fd.task, request)).toBe(ENXIO);
  expect(alloc().at).toBe(first.at);
});

describe('GET_HW_INFO gives what fits and zeros the rest', () => {
  const { fd, dev } = scene();
  const info = (data_len: number, data_uptr: bigint, more = {}) =>
    fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, {
      dev_id: dev.idev,
      data_len,
      data_uptr,
      ...more,
    });
  test.for([0, 1, 4, 7, 8, 9, 4096, 4097, 9000])(
    'GET_HW_INFO gives what fits into %i bytes and zeros the rest',
    (length) => {
      poke(fd.task, ARRAY, new Uint8Array(10_000).fill(0xee));
      expect(info(length, ARRAY)).toMatchObject({ data_len: 8 });
      const full = new Uint8Array(Math.max(length, 8));
      full.set(u32s(0, t.IOMMU_HW_INFO_SELFTEST_REGVAL));
      const expected = new Uint8Array(10_000).fill(0xee);
      expected.set(full.subarray(0, length));
      expect(peek(fd.task, ARRAY, 10_000)).toEqual(expected);
    },
  );
  test('GET_HW_INFO gives nothing when there is no room, and EFAULT where only the zeros do not fit', () => {
    expect(info(0, BAD)).toMatchObject({ data_len: 8, out_data_type: 0xfeedbeef });
    expect(isErrno(info(8, EDGE - 8n))).toBe(false);
    expect(info(9, EDGE - 8n)).toBe(EFAULT);
    expect(info(8, EDGE - 7n)).toBe(EFAULT);
  });
  test('GET_HW_INFO knows the type of the driver and the default one', () => {
    const type = (out_data_type: number) => info(0, 0n, { flags: 1, out_data_type });
    expect(type(0)).toMatchObject({ out_data_type: t.IOMMU_HW_INFO_TYPE_SELFTEST });
    expect(type(t.IOMMU_HW_INFO_TYPE_SELFTEST)).toMatchObject({ data_len: 8 });
    expect(type(1)).toBe(EOPNOTSUPP);
    // Without the flag the field is an output only.
    expect(info(0, 0n, { out_data_type: 1 })).toMatchObject({ out_data_type: 0xfeedbeef });
  });
  test('reserved bytes of GET_HW_INFO are refused, capabilities are told', () => {
    expect(info(0, 0n, { __reserved: Uint8Array.of(0, 0, 1) })).toBe(EOPNOTSUPP);
    expect(info(0, 0n)).toMatchObject({ out_capabilities: 9n, out_max_pasid_log2: 0 });
    const poor = mock(fd, 1, t.MOCK_FLAGS_DEVICE_NO_DIRTY | t.MOCK_FLAGS_DEVICE_PASID);
    expect(info(0, 0n, { dev_id: poor.idev })).toMatchObject({
      out_capabilities: 8n,
      out_max_pasid_log2: 20,
    });
  });
});

describe('HWPT_INVALIDATE', () => {
  const { fd, dev, parent } = scene();
  const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
  const nested = hwptAlloc(fd, dev.idev, parent, data) as number;
  const viommu = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: dev.idev,
    hwpt_id: parent,
  }).out_viommu_id;
  fd.must(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
    viommu_id: viommu,
    dev_id: dev.idev,
    virt_id: 7n,
  });
  /** The errno and the entries done. */
  const invalidate = (hwpt_id: number, values: Record<string, number | bigint>) => {
    const out = fd.call(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, {
      hwpt_id,
      data_uptr: ARRAY,
      data_type: t.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
      entry_len: hwpt_id === nested ? 8 : 12,
      entry_num: 1,
      ...values,
    });
    const after = uapi.iommu_hwpt_invalidate.view(peek(fd.task, ARG, 32));
    return [isErrno(out) ? out.name : 0, after.entry_num];
  };
  test.for([
    ['no entry, right type', nested, { entry_num: 0, data_uptr: 0n, entry_len: 0 }, [0, 0]],
    ['no entry, wrong type', nested, { entry_num: 0, data_type: 5 }, ['EINVAL', 0]],
    ['no entry, vIOMMU', viommu, { entry_num: 0, data_uptr: 0n, entry_len: 0 }, [0, 0]],
    ['no entry, vIOMMU, wrong type', viommu, { entry_num: 0, data_type: 5 }, ['EINVAL', 0]],
    ['an entry one byte short', nested, { entry_len: 7 }, ['EINVAL', 0]],
    ['an entry one byte long', nested, { entry_len: 9 }, ['EINVAL', 0]],
    ['an entry of a page', nested, { entry_len: 4096 }, ['EINVAL', 0]],
    ['the array ends with its page', nested, { data_uptr: EDGE - 16n, entry_num: 2 }, [0, 2]],
    ['the third is not mapped', nested, { data_uptr: EDGE - 16n, entry_num: 3 }, ['EFAULT', 2]],
    ['all that there may be', nested, { data_uptr: BAD, entry_num: 1 << 19 }, ['EFAULT', 0]],
    ['vIOMMU: unknown device', viommu, {}, ['EINVAL', 0]],
    ['vIOMMU: shorter entries', viommu, { entry_len: 1 }, ['EINVAL', 0]],
    [
      'vIOMMU: the second is not mapped',
      viommu,
      { data_uptr: EDGE - 12n, entry_num: 2 },
      ['EFAULT', 0],
    ],
  ] as const)('HWPT_INVALIDATE tells how far it came: %s', ([, target, values, expected]) => {
    expect(invalidate(target, values)).toEqual(expected);
  });
  test('entries longer than known are taken by a vIOMMU when their tail is 0', () => {
    poke(fd.task, ARRAY, u32s(0, 7, 1, 0));
    expect(invalidate(viommu, { entry_len: 16 })).toEqual([0, 1]);
    poke(fd.task, ARRAY, u32s(0, 7, 1, 1));
    expect(invalidate(viommu, { entry_len: 16 })).toEqual([E2BIG.name, 0]);
    poke(fd.task, ARRAY, new Uint8Array(16));
  });
});

describe('GET_DIRTY_BITMAP', () => {
  /** Large pages, so that one leaf covers many bits. */
  function tracked() {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    const dev = mock(fd, ioas);
    const hwpt = hwptAlloc(fd, dev.idev, ioas, {
      flags: uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
    }) as number;
    fd.must(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, {
      hwpt_id: hwpt,
      flags: 1,
    });
    return { fd, ioas, hwpt };
  }
  const get = (fd: Iommufd, values: Record<string, number | bigint>) =>
    only(
      fd.call(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, {
        page_size: 2048n,
        data: ARRAY,
        ...values,
      }),
    );
  const mark = (fd: Iommufd, hwpt: number, iova: bigint) => {
    poke(fd.task, ARRAY, Uint8Array.of(1));
    const range = { iova, length: 2048n, page_size: 2048n, uptr: ARRAY };
    testOp(fd, t.IOMMU_TEST_OP_DIRTY, hwpt, t.iommu_test_dirty, range);
    poke(fd.task, ARRAY, new Uint8Array(64));
  };
  test('a leaf that sticks out of the range has bits for what is inside', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, 0x8000n, APERTURE)).toBe(APERTURE);
    mark(fd, hwpt, APERTURE + 0x4000n);
    // One leaf of 32 KiB: 16 bits. Asked for 4 KiB in its middle, behind which the bitmap ends.
    expect(get(fd, { hwpt_id: hwpt, iova: APERTURE + 0x3000n, length: PAGE })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 4)]).toEqual([0b11, 0, 0, 0]);
    poke(fd.task, ARRAY, new Uint8Array(4));
    expect(get(fd, { hwpt_id: hwpt, iova: APERTURE, length: 0x8000n })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 4)]).toEqual([0, 0, 0, 0]);
  });
  test('a hole ends the walk without an error; what came before it is told', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    const behind = APERTURE + 2n * PAGE;
    expect(map(fd, ioas, BUFFER + PAGE, PAGE, behind)).toBe(behind);
    mark(fd, hwpt, APERTURE);
    mark(fd, hwpt, behind);
    expect(get(fd, { hwpt_id: hwpt, iova: APERTURE, length: 3n * PAGE })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 1)]).toEqual([0b0000_0011]);
    expect(get(fd, { hwpt_id: hwpt, iova: behind, length: PAGE })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 1)]).toEqual([0b0000_0011]);
  });
  test('what is cleared is forgotten by the IOMMU, what is only read is not', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    const paging = ctxFromFile(fd.file)!.objects.get(hwpt, HwptPaging);
    if (isErrno(paging)) throw new Error(paging.name);
    const syncs = () => mockPagingOf(paging.domain).syncs;
    mark(fd, hwpt, APERTURE);
    const [range, before] = [{ hwpt_id: hwpt, iova: APERTURE, length: PAGE }, syncs()];
    expect(get(fd, { ...range, flags: 1 })).toBeUndefined();
    expect(syncs()).toBe(before);
    expect(get(fd, range)).toBeUndefined();
    expect(syncs()).toBe(before + 1);
  });
  test('a bitmap that is not mapped is no error', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    mark(fd, hwpt, APERTURE);
    const range = { hwpt_id: hwpt, iova: APERTURE, length: PAGE };
    expect(get(fd, { ...range, data: BAD })).toBeUndefined();
  });
  test('bits of GET_DIRTY_BITMAP are those of the lowest bit of page_size, and are only set', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, 0x4000n, APERTURE)).toBe(APERTURE);
    mark(fd, hwpt, APERTURE);
    poke(fd.task, ARRAY, Uint8Array.of(0x80));
    const range = { hwpt_id: hwpt, iova: 0x300_0000n, length: 0x600_0000n };
    // 0x1800 is tested as a mask of its own minus one, and counts 2 KiB a bit.
    expect(get(fd, { ...range, page_size: 0x1800n })).toBeUndefined();
    const all = { hwpt_id: hwpt, iova: APERTURE, length: 0x4000n };
    expect(get(fd, { ...all, page_size: PAGE })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 1)]).toEqual([0x8f]);
  });
  test('a length of 0 is EINVAL in GET_DIRTY_BITMAP, at every IOVA', () => {
    const { fd, hwpt } = tracked();
    for (const iova of [0n, PAGE, U64_MAX]) {
      expect(get(fd, { hwpt_id: hwpt, iova, length: 0n })).toBe(EINVAL);
    }
  });
  test('enabling starts from clean pages', () => {
    const { fd, ioas, hwpt } = tracked();
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    mark(fd, hwpt, APERTURE);
    fd.must(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, {
      hwpt_id: hwpt,
      flags: 1,
    });
    expect(get(fd, { hwpt_id: hwpt, iova: APERTURE, length: PAGE })).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 1)]).toEqual([0]);
  });
});

describe('ALLOW_IOVAS', () => {
  function allow(fd: Iommufd, ioas_id: number, ...bounds: bigint[]) {
    poke(fd.task, ARRAY, new Uint8Array(new BigUint64Array(bounds).buffer));
    return only(
      fd.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
        ioas_id,
        num_iovas: bounds.length / 2,
        allowed_iovas: ARRAY,
      }),
    );
  }
  test('placement keeps to the list of ALLOW_IOVAS, fixed mappings do not; nothing in the list clears it', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    expect(map(fd, ioas, BUFFER, PAGE, 0x10_0000n)).toBe(0x10_0000n);
    expect(allow(fd, ioas, 0xc8000n, 0xc9fffn, 0xca000n, 0xcbfffn)).toBeUndefined();
    // Neighbours are one span: four pages fit only across the border.
    expect(map(fd, ioas, BUFFER, 0x4000n)).toBe(0xc8000n);
    expect(map(fd, ioas, BUFFER, PAGE)).toBe(ENOSPC);
    expect(map(fd, ioas, BUFFER, PAGE, 0x20_0000n)).toBe(0x20_0000n);
    expect(allow(fd, ioas)).toBeUndefined();
    expect(map(fd, ioas, BUFFER, PAGE)).toBe(0x1000n);
  });
  test('ranges in any order are taken where no two of them meet', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    const page = fc.integer({ min: 0, max: 40 });
    const ranges = fc.array(fc.tuple(page, fc.integer({ min: 1, max: 8 })), { maxLength: 12 });
    fc.assert(
      fc.property(ranges, (spans) => {
        const meet = spans.some(([start, length], n) =>
          spans.slice(0, n).some(([s, l]) => start < s + l && s < start + length),
        );
        const bounds = spans.flatMap(([start, length]) => [
          BigInt(start) * PAGE,
          BigInt(start + length) * PAGE - 1n,
        ]);
        expect(allow(fd, ioas, ...bounds)).toBe(meet ? EINVAL : undefined);
      }),
    );
  });
  test('a device with an aperture cannot join an IOAS that allows what it lacks', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    expect(allow(fd, ioas, 0n, 0xfffn)).toBeUndefined();
    const op = t.IOMMU_TEST_OP_MOCK_DOMAIN;
    expect(testOp(fd, op, ioas, t.iommu_test_mock_domain)).toBe(EADDRINUSE);
    expect(allow(fd, ioas, APERTURE, APERTURE + 0xfffn)).toBeUndefined();
    expect(mock(fd, ioas).stdev).toBe(2);
    // A list that meets what is reserved now is refused, and the old one stays.
    expect(allow(fd, ioas, 0n, 0xfffn)).toBe(EADDRINUSE);
    expect(map(fd, ioas, BUFFER, PAGE)).toBe(APERTURE);
    expect(map(fd, ioas, BUFFER, PAGE)).toBe(ENOSPC);
  });
  test('a range of one address is refused by ALLOW_IOVAS', () => {
    const fd = new World().open();
    expect(allow(fd, ioasAlloc(fd), 0x1000n, 0x1000n)).toBe(EINVAL);
  });
});

test('IOVA_RANGES tells everything, nothing, and what lies between', () => {
  const fd = new World().open();
  const ioas_id = ioasAlloc(fd);
  const ranges = (room: number) => {
    const values = { ioas_id, num_iovas: room, allowed_iovas: ARRAY };
    const out = fd.call(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, values);
    const count = uapi.iommu_ioas_iova_ranges.view(peek(fd.task, ARG, 32)).num_iovas;
    const written = new BigUint64Array(peek(fd.task, ARRAY, 16 * Math.min(count, room)).buffer);
    return [isErrno(out) ? out.name : 0, count, ...written];
  };
  const reserve = (start: bigint, length: bigint) => {
    const op = t.IOMMU_TEST_OP_ADD_RESERVED;
    expect(only(testOp(fd, op, ioas_id, t.iommu_test_add_reserved, { start, length }))).toBe(
      undefined,
    );
  };
  expect(ranges(1)).toEqual([0, 1, 0n, U64_MAX]);
  reserve(0x2000n, 0x1000n);
  reserve(0x3000n, 0x1000n);
  reserve(0x2800n, 0x100n);
  reserve(U64_MAX, 1n);
  expect(ranges(2)).toEqual([0, 2, 0n, 0x1fffn, 0x4000n, U64_MAX - 1n]);
  expect(ranges(1)).toEqual(['EMSGSIZE', 2, 0n, 0x1fffn]);
  reserve(0n, 0x8000_0000_0000_0000n);
  reserve(0x4000n, U64_MAX - 0x4000n);
  expect(ranges(1)).toEqual([0, 0]);
});

describe('CHANGE_PROCESS', () => {
  const change = (fd: Iommufd) =>
    only(fd.call(uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommu_ioas_change_process, {}));
  const mapFile = (fd: Iommufd, ioas_id: number, file: number) =>
    fd.must(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
      flags: 6,
      ioas_id,
      fd: file,
      length: PAGE,
    });
  test('CHANGE_PROCESS is of every IOAS or of none, and of none at all', () => {
    const world = new World();
    const fd = world.open();
    expect(change(fd)).toBeUndefined();
    const [one, two] = [ioasAlloc(fd), ioasAlloc(fd)];
    mapFile(fd, one, fd.task.installFile(world.memfd(1)));
    expect(change(fd)).toBeUndefined();
    map(fd, two, BUFFER, PAGE);
    expect(change(fd)).toBe(EINVAL);
    expect(unmap(fd, two, 0n, U64_MAX)).toBe(PAGE);
    expect(change(fd)).toBeUndefined();
  });
});

describe('VFIO_IOAS', () => {
  const vfioIoas = (fd: Iommufd, op: number, ioas_id = 0) => {
    const out = fd.call(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op, ioas_id });
    return isErrno(out) ? out : out.ioas_id;
  };
  test('a VFIO_IOAS that is set holds no reference, and the pointer goes with its IOAS, or when it is cleared', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_SET, ioas)).toBe(ioas);
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_GET)).toBe(ioas);
    expect(destroy(fd, ioas)).toBeUndefined();
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_GET)).toBe(ENODEV);
    const other = ioasAlloc(fd);
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_SET, other)).toBe(other);
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_CLEAR)).toBe(0);
    expect(vfioIoas(fd, uapi.IOMMU_VFIO_IOAS_GET)).toBe(ENODEV);
  });
});

describe('HW_QUEUE_ALLOC pins what the hardware reads', () => {
  function queueOn(s: ReturnType<typeof scene>, iova: bigint, length: bigint) {
    const viommu_id = s.fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
      type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
      dev_id: s.dev.idev,
      hwpt_id: s.parent,
    }).out_viommu_id;
    return only(
      s.fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
        viommu_id,
        type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
        nesting_parent_iova: iova,
        length,
      }),
    );
  }
  test('HW_QUEUE_ALLOC is EPERM where its memory may only be written, ENOENT where nothing is', () => {
    const s = scene();
    const write = uapi.IOMMU_IOAS_MAP_WRITEABLE;
    expect(map(s.fd, s.ioas, BUFFER, PAGE, APERTURE, write)).toBe(APERTURE);
    expect(queueOn(s, APERTURE, PAGE)).toBe(EPERM);
    expect(queueOn(s, APERTURE + PAGE, PAGE)).toBe(ENOENT);
    expect(unmap(s.fd, s.ioas, APERTURE, PAGE)).toBe(PAGE);
  });
  test('HW_QUEUE_ALLOC is EADDRINUSE when mappings of the IOAS are not made of pages, EINVAL when the page is not one', () => {
    const s = scene();
    expect(map(s.fd, s.ioas, BUFFER, 0x800n, APERTURE)).toBe(APERTURE);
    expect(queueOn(s, APERTURE, 0x800n)).toBe(EADDRINUSE);
    expect(unmap(s.fd, s.ioas, APERTURE, 0x800n)).toBe(0x800n);
    expect(map(s.fd, s.ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    expect(queueOn(s, APERTURE + 0x10n, 0x20n)).toBeUndefined();
  });
});

describe('GET_INFO of VFIO: ranges and page sizes', () => {
  test('GET_INFO of VFIO tells the holes of what is reserved, page sizes of all domains, alignment when that is larger', () => {
    const { fd, ioas } = scene();
    fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1, ioas_id: ioas });
    const reserve = { start: APERTURE + PAGE, length: PAGE };
    testOp(fd, t.IOMMU_TEST_OP_ADD_RESERVED, ioas, t.iommu_test_add_reserved, reserve);
    poke(fd.task, ARG, u32s(4096));
    expect(fd.ioctl(v.VFIO_IOMMU_GET_INFO, ARG)).toBe(0);
    const view = new DataView(peek(fd.task, ARG, 96).buffer);
    const u64 = (at: number) => view.getBigUint64(at, true);
    expect([view.getUint32(0, true), view.getUint32(16, true)]).toEqual([88, 24]);
    // DMA_AVAIL, then IOVA_RANGE with two ranges.
    expect([view.getUint32(24, true), view.getUint32(28, true)]).toEqual([0x1_0003, 40]);
    expect(view.getUint32(32, true)).toBe(0xffff_ffff);
    expect([view.getUint32(40, true), view.getUint32(44, true)]).toEqual([0x1_0001, 0]);
    expect([view.getUint32(48, true), u64(56), u64(64)]).toEqual([
      2,
      APERTURE,
      APERTURE + PAGE - 1n,
    ]);
    expect([u64(72), u64(80)]).toEqual([APERTURE + 2n * PAGE, 0x7fff_ffffn]);
  });
  test('GET_INFO of VFIO without domains tells every page size', () => {
    const fd = new World().open();
    fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1, ioas_id: ioasAlloc(fd) });
    poke(fd.task, ARG, u32s(16));
    expect(fd.ioctl(v.VFIO_IOMMU_GET_INFO, ARG)).toBe(0);
    const view = new DataView(peek(fd.task, ARG, 16).buffer);
    expect(view.getBigUint64(8, true)).toBe(0xffff_ffff_ffff_f000n);
  });
});
