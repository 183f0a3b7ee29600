/** Alignment, apertures and accesses of an IOAS (iommufd.md 3.1 to 3.9, chapter 8). */
import { describe, expect, test } from 'vitest';
import {
  EADDRINUSE,
  EFAULT,
  EINVAL,
  ENOENT,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import {
  accessAttach,
  accessCreate,
  accessDestroy,
  accessDetach,
  accessPinPages,
  accessReplace,
  accessRw,
  accessUnpinPages,
  type Access,
} from '../../src/iommufd/access.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { must } from '../../src/testing/base/must.ts';
import {
  checkMap,
  checkRefs,
  copy,
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  testOp,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARRAY, BUFFER, peek, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const PAGE = 0x1000n;
const APERTURE = 0x100_0000n;
const WRITE_ONLY = uapi.IOMMU_IOAS_MAP_WRITEABLE;
const READ_ONLY = uapi.IOMMU_IOAS_MAP_READABLE;

/** The alignment, and the ranges as pairs. */
function ranges(fd: Iommufd, ioas_id: number) {
  const values = { ioas_id, num_iovas: 8, allowed_iovas: ARRAY };
  const out = fd.must(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, values);
  const bounds = new BigUint64Array(peek(fd.task, ARRAY, 16 * out.num_iovas).buffer);
  return [out.out_iova_alignment, ...bounds];
}
/** pagetable_type of the mock: 4 KiB and 1 MiB. */
const HUGE_TABLE = 1;
const HUGE = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 8, data_uptr: ARRAY };
function hugeHwpt(fd: Iommufd, idev: number, ioas: number): number | Errno {
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([0, HUGE_TABLE]).buffer));
  return hwptAlloc(fd, idev, ioas, HUGE);
}

describe('domains', () => {
  test('the alignment and aperture of an IOAS are those of all domains, and go back with each', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    expect(ranges(fd, ioas)).toEqual([1n, 0n, U64_MAX]);
    const dev = mock(fd, ioas);
    expect(ranges(fd, ioas)).toEqual([2048n, APERTURE, 0x7fff_ffffn]);
    const huge = hugeHwpt(fd, dev.idev, ioas) as number;
    expect(ranges(fd, ioas)).toEqual([4096n, APERTURE, 0x7fff_ffffn]);
    const replace = { pt_id: huge };
    const op = t.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE;
    testOp(fd, op, dev.stdev, t.iommu_test_mock_domain_replace, replace);
    expect(ranges(fd, ioas)).toEqual([4096n, 0n, 0x3f_ffff_ffffn]);
    expect(destroy(fd, dev.stdev)).toBeUndefined();
    expect(ranges(fd, ioas)).toEqual([4096n, 0n, 0x3f_ffff_ffffn]);
    expect(destroy(fd, huge)).toBeUndefined();
    expect(ranges(fd, ioas)).toEqual([1n, 0n, U64_MAX]);
  });
  test.for([
    ['outside of the aperture', BUFFER, PAGE, 0x1000n],
    ['at its end', BUFFER, 2n * PAGE, 0x7fff_f000n],
    ['at an address that is no page of it', BUFFER, PAGE, APERTURE + 1n],
    ['of a length that is none', BUFFER, 1n, APERTURE],
    ['with an offset that is none', BUFFER + 1n, PAGE, APERTURE],
  ] as const)('a mapping %s keeps a domain out, which is EADDRINUSE', ([, va, length, iova]) => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    expect(map(fd, ioas, va, length, iova)).toBe(iova);
    const op = t.IOMMU_TEST_OP_MOCK_DOMAIN;
    expect(testOp(fd, op, ioas, t.iommu_test_mock_domain)).toBe(EADDRINUSE);
    expect(ranges(fd, ioas)).toEqual([1n, 0n, U64_MAX]);
    expect(unmap(fd, ioas, iova, length)).toBe(length);
    expect(mock(fd, ioas).stdev).toBe(2);
  });
  test('a second domain is filled from the first, and what it cannot have undoes it', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    const dev = mock(fd, ioas);
    map(fd, ioas, BUFFER, 3n * PAGE, APERTURE);
    map(fd, ioas, BUFFER + 3n * PAGE, 0x800n, APERTURE + 3n * PAGE);
    expect(hugeHwpt(fd, dev.idev, ioas)).toBe(EADDRINUSE);
    expect(ranges(fd, ioas)[0]).toBe(2048n);
    const second = hwptAlloc(fd, dev.idev, ioas) as number;
    expect(checkMap(fd, second, APERTURE, 3n * PAGE, BUFFER)).toBeUndefined();
    expect(checkRefs(fd, BUFFER, 4n * PAGE, 1)).toBeUndefined();
    expect(destroy(fd, dev.stdev)).toBeUndefined();
    expect(checkMap(fd, second, APERTURE, 3n * PAGE, BUFFER)).toBeUndefined();
    expect(checkRefs(fd, BUFFER, 4n * PAGE, 1)).toBeUndefined();
    expect(destroy(fd, second)).toBeUndefined();
    expect(checkRefs(fd, BUFFER, 4n * PAGE, 0)).toBeUndefined();
  });
  test('of three domains the one in the middle may go, and the others have everything', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    const dev = mock(fd, ioas);
    map(fd, ioas, BUFFER, PAGE, APERTURE);
    const [b, c] = [hwptAlloc(fd, dev.idev, ioas), hwptAlloc(fd, dev.idev, ioas)] as number[];
    expect(destroy(fd, b!)).toBeUndefined();
    map(fd, ioas, BUFFER + PAGE, PAGE, APERTURE + PAGE);
    for (const hwpt of [dev.hwpt, c!]) {
      expect(checkMap(fd, hwpt, APERTURE, 2n * PAGE, BUFFER)).toBeUndefined();
    }
    expect(unmap(fd, ioas, 0n, U64_MAX)).toBe(2n * PAGE);
    expect(fd.world.frames.totalPins).toBe(0);
  });
});

test('a leaf of 1 MiB is dirty as a whole', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([0, HUGE_TABLE]).buffer));
  const flags = uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
  const hwpt_id = hwptAlloc(fd, dev.idev, ioas, { ...HUGE, flags }) as number;
  const va = 0x6000_0000n;
  fd.task.mm.map(va, 512, { alignPages: 512 });
  const length = 0x20_0000n;
  expect(map(fd, ioas, va, length, APERTURE)).toBe(APERTURE);
  const set = { hwpt_id, flags: 1 };
  fd.must(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, set);
  poke(fd.task, ARRAY, Uint8Array.of(1));
  const range = { iova: APERTURE, length: 2048n, page_size: 2048n };
  const op = t.IOMMU_TEST_OP_DIRTY;
  testOp(fd, op, hwpt_id, t.iommu_test_dirty, { ...range, uptr: ARRAY });
  poke(fd.task, ARRAY, new Uint8Array(128));
  const get = { hwpt_id, iova: APERTURE, length, page_size: 2048n, data: ARRAY };
  fd.must(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, get);
  const bits = peek(fd.task, ARRAY, 128);
  expect([...bits.subarray(0, 64)]).toEqual(Array(64).fill(0xff));
  expect([...bits.subarray(64)]).toEqual(Array(64).fill(0));
});

test('without large pages every page is a leaf of its own', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { option_id: 1, object_id: ioas, val64: 0n });
  const dev = mock(fd, ioas);
  const flags = uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
  const hwpt_id = hwptAlloc(fd, dev.idev, ioas, { flags }) as number;
  map(fd, ioas, BUFFER, 4n * PAGE, APERTURE);
  const set = { hwpt_id, flags: 1 };
  fd.must(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, set);
  poke(fd.task, ARRAY, Uint8Array.of(0b0100));
  const range = { iova: APERTURE, length: 4n * PAGE, page_size: PAGE };
  const op = t.IOMMU_TEST_OP_DIRTY;
  testOp(fd, op, hwpt_id, t.iommu_test_dirty, { ...range, uptr: ARRAY });
  poke(fd.task, ARRAY, Uint8Array.of(0));
  const get = { hwpt_id, ...range, data: ARRAY };
  fd.must(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, get);
  expect([...peek(fd.task, ARRAY, 1)]).toEqual([0b0100]);
});

describe('an access', () => {
  const rw = (write: boolean, slowPath = true) => ({ write, slowPath, task: undefined });
  /** Read-only at APERTURE, write-only behind it, both behind that; then a hole. */
  function rig(needsPinPages = true) {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    map(fd, ioas, BUFFER, PAGE, APERTURE, READ_ONLY);
    map(fd, ioas, BUFFER + PAGE, PAGE, APERTURE + PAGE, WRITE_ONLY);
    map(fd, ioas, BUFFER + 2n * PAGE, PAGE, APERTURE + 2n * PAGE);
    const unmapped: (readonly [bigint, bigint])[] = [];
    const access = must(
      accessCreate(ctxFromFile(fd.file)!, {
        needsPinPages,
        unmap: (iova, length) => void unmapped.push([iova, length]),
      }),
    );
    expect(accessAttach(access, ioas)).toBeUndefined();
    return { fd, ioas, access, unmapped };
  }
  const name = (value: unknown) => (isErrno(value) ? value.name : 'ok');

  test.for<[string, bigint, bigint, boolean, Errno | 'ok']>([
    ['nothing', APERTURE, 0n, false, EINVAL],
    ['more than there is', U64_MAX, 2n, false, EOVERFLOW],
    ['what may be read', APERTURE, PAGE, false, 'ok'],
    ['what may only be written', APERTURE + PAGE, PAGE, false, EPERM],
    ['for writing what may only be read', APERTURE, PAGE, true, EPERM],
    ['for writing what may be written', APERTURE + PAGE, 2n * PAGE, true, 'ok'],
    ['from inside a page', APERTURE + 1n, 8n, false, EINVAL],
    ['less than a page', APERTURE, 8n, false, 'ok'],
    ['over what may not be read', APERTURE, 3n * PAGE, false, EPERM],
    ['into a hole', APERTURE + 2n * PAGE, 2n * PAGE, false, ENOENT],
    ['in a hole', 0n, PAGE, false, ENOENT],
  ])('an access pins %s', ([, iova, length, write, result]) => {
    const { fd, access } = rig();
    expect(name(accessPinPages(access, iova, length, write))).toBe(
      result === 'ok' ? 'ok' : result.name,
    );
    if (result === 'ok') accessUnpinPages(access, iova, length);
    expect(fd.world.frames.totalPins).toBe(0);
    accessDestroy(access);
    fd.close();
  });
  test.for<[string, bigint, number, boolean, Errno | 'ok']>([
    ['reads nothing', APERTURE, 0, false, EINVAL],
    ['reads more than there is', U64_MAX, 2, false, EOVERFLOW],
    ['reads from inside a page', APERTURE + 1n, 8, false, 'ok'],
    ['reads what may only be written', APERTURE + PAGE, 8, false, EPERM],
    ['writes what may only be read', APERTURE, 8, true, EPERM],
    ['writes over a border', APERTURE + 2n * PAGE - 4n, 8, true, 'ok'],
    ['reads in a hole', 0n, 8, false, ENOENT],
  ])('an access reads and writes: %s', ([, iova, length, write, result]) => {
    const { fd, access } = rig(false);
    expect(name(accessRw(access, iova, new Uint8Array(length), rw(write)))).toBe(
      result === 'ok' ? 'ok' : result.name,
    );
    accessDestroy(access);
    fd.close();
  });
  test('what an access copied before a hole stays copied', () => {
    const { fd, access } = rig(false);
    const into = new Uint8Array(8);
    poke(fd.task, BUFFER + 3n * PAGE - 4n, Uint8Array.of(1, 2, 3, 4));
    expect(accessRw(access, APERTURE + 3n * PAGE - 4n, into, rw(false))).toBe(ENOENT);
    expect([...into]).toEqual([1, 2, 3, 4, 0, 0, 0, 0]);
    accessDestroy(access);
    fd.close();
  });
  test('an access that pins wants pages, one that does not takes what is there', () => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    map(fd, ioas, BUFFER + 1n, 8n, 0x1001n);
    const make = (needsPinPages: boolean): Access =>
      must(accessCreate(ctxFromFile(fd.file)!, { needsPinPages, unmap: () => undefined }));
    const [pins, copies] = [make(true), make(false)];
    expect(accessAttach(pins, ioas)).toBe(EADDRINUSE);
    expect(accessAttach(copies, ioas)).toBeUndefined();
    expect(ranges(fd, ioas)[0]).toBe(1n);
    unmap(fd, ioas, 0n, U64_MAX);
    expect(accessAttach(pins, ioas)).toBeUndefined();
    expect(ranges(fd, ioas)[0]).toBe(PAGE);
    accessDetach(pins);
    expect(ranges(fd, ioas)[0]).toBe(1n);
    accessDestroy(pins);
    accessDestroy(copies);
  });
  test('an access that is replaced joins the new IOAS, lets go of all of the old one, and leaves it', () => {
    const { fd, ioas, access, unmapped } = rig();
    const misaligned = ioasAlloc(fd);
    map(fd, misaligned, BUFFER + 1n, 8n, 0x1001n);
    const next = ioasAlloc(fd);
    expect(accessReplace(access, 99)).toBe(ENOENT);
    expect(accessReplace(access, misaligned)).toBe(EADDRINUSE);
    expect(accessReplace(access, ioas)).toBeUndefined();
    expect(unmapped).toEqual([]);
    expect(destroy(fd, misaligned)).toBeUndefined();
    expect(accessReplace(access, next)).toBeUndefined();
    expect(unmapped).toEqual([[0n, U64_MAX]]);
    expect(destroy(fd, ioas)).toBeUndefined();
    accessDestroy(access);
    expect(destroy(fd, next)).toBeUndefined();
  });
  test('an access takes an id and keeps the context', () => {
    const { fd, access } = rig();
    expect(destroy(fd, access.id)).not.toBeUndefined();
    fd.close();
    expect(fd.file.released).toBe(false);
    accessDestroy(access);
    expect(fd.file.released).toBe(true);
  });
  test('pins of an access count: the same range twice is pinned once, and let go with the last', () => {
    const { fd, access } = rig();
    const range = [access, APERTURE, PAGE] as const;
    must(accessPinPages(...range, false));
    must(accessPinPages(...range, false));
    expect(fd.world.frames.totalPins).toBe(1);
    accessUnpinPages(...range);
    expect(fd.world.frames.totalPins).toBe(1);
    accessUnpinPages(...range);
    expect(fd.world.frames.totalPins).toBe(0);
    accessDestroy(access);
    fd.close();
  });
  test('an access reads the pages of a mapper that is gone as long as somebody pins them', () => {
    const { fd, access } = rig();
    poke(fd.task, BUFFER, Uint8Array.of(7));
    must(accessPinPages(access, APERTURE, PAGE, false));
    fd.task.mm.alive = false;
    const byte = new Uint8Array(1);
    expect(accessRw(access, APERTURE, byte, rw(false))).toBeUndefined();
    expect(byte[0]).toBe(7);
    accessUnpinPages(access, APERTURE, PAGE);
    expect(accessRw(access, APERTURE, byte, rw(false))).toBe(EFAULT);
    fd.task.mm.alive = true;
    accessDestroy(access);
    fd.close();
  });
});

test('a copy over several mappings makes one for each, and shares their pages', () => {
  const fd = new World().open();
  const [src, dst] = [ioasAlloc(fd), ioasAlloc(fd)];
  const dev = mock(fd, dst);
  map(fd, src, BUFFER + 0x800n, 0x1800n, 0x800n);
  map(fd, src, BUFFER + 4n * PAGE, 2n * PAGE, 0x2000n);
  // From inside the first to inside the second.
  expect(copy(fd, { src, dst }, 0x1000n, 2n * PAGE, APERTURE)).toBe(APERTURE);
  expect(checkMap(fd, dev.hwpt, APERTURE, PAGE, BUFFER + PAGE)).toBeUndefined();
  expect(checkMap(fd, dev.hwpt, APERTURE + PAGE, PAGE, BUFFER + 4n * PAGE)).toBeUndefined();
  expect(fd.world.frames.totalPins).toBe(2);
  expect(testOp(fd, t.IOMMU_TEST_OP_MOCK_DOMAIN, src, t.iommu_test_mock_domain)).toBe(EADDRINUSE);
  expect(unmap(fd, dst, APERTURE, PAGE)).toBe(PAGE);
  expect(unmap(fd, dst, APERTURE, 2n * PAGE)).toBe(PAGE);
});
