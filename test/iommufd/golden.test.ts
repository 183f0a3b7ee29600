/** The golden sequences of iommufd.md chapter 8, call by call. */
import { expect, test } from 'vitest';
import { EBUSY, EINVAL, ENOENT, EPERM } from '../../src/base/errno.ts';
import { deviceAttach, deviceBind, deviceDetach, deviceUnbind } from '../../src/iommufd/device.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import {
  checkMap,
  checkRefs,
  destroy,
  ioasAlloc,
  map,
  mock,
  mockDomain,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARRAY, BUFFER, peek } from '../../src/testing/iommufd/process.ts';
import { World } from '../../src/testing/iommufd/world.ts';

test('ids are the lowest free ones, and an automatic hwpt lives as long as its last device', () => {
  const fd = new World().open();
  expect(ioasAlloc(fd)).toBe(1);
  expect(mockDomain(fd, 1)).toEqual({ stdev: 2, idev: 3, hwpt: 4 });
  expect(mockDomain(fd, 1)).toEqual({ stdev: 5, idev: 6, hwpt: 4 });
  expect(destroy(fd, 4)).toBe(EBUSY);
  expect(destroy(fd, 3)).toBe(EBUSY);
  expect(destroy(fd, 1)).toBe(EBUSY);
  expect(destroy(fd, 2)).toBeUndefined();
  expect(destroy(fd, 2)).toBe(ENOENT);
  expect(destroy(fd, 3)).toBe(ENOENT);
  expect(destroy(fd, 4)).toBe(EBUSY);
  expect(destroy(fd, 5)).toBeUndefined();
  expect(destroy(fd, 4)).toBe(ENOENT);
  expect(destroy(fd, 1)).toBeUndefined();
  fd.close();
});

test('a failed MOCK_DOMAIN leaves no id behind', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  expect(mockDomain(fd, 77)).toBe(ENOENT);
  expect(mock(fd, ioas)).toEqual({ stdev: 2, idev: 3, hwpt: 4 });
  fd.close();
});

const PLACEMENTS: readonly [name: string, va: bigint, length: bigint, iovas: readonly bigint[]][] =
  [
    ['pages follow each other', BUFFER, 0x1000n, [0x1000n, 0x2000n, 0x3000n]],
    ['three pages are aligned to four', BUFFER, 0x3000n, [0x4000n, 0x8000n]],
    ['2 MiB are aligned to 2 MiB', BUFFER, 0x20_0000n, [0x20_0000n]],
    ['half a page keeps its offset', BUFFER + 0x800n, 0x800n, [0x1800n]],
    ['single bytes follow each other', BUFFER, 1n, [0x1000n, 0x1001n]],
  ];
test.for(PLACEMENTS)(
  'an automatic placement is that of the kernel: %s',
  ([, va, length, iovas]) => {
    const fd = new World().open();
    const ioas = ioasAlloc(fd);
    for (const iova of iovas) expect(map(fd, ioas, va, length)).toBe(iova);
    fd.close();
  },
);

test('with a mock domain the first automatic placement is the start of its aperture', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  mock(fd, ioas);
  expect(map(fd, ioas, BUFFER, 0x1000n)).toBe(0x100_0000n);
  fd.close();
});

test('IOVA_RANGES tells the aperture and the alignment of a mock domain', () => {
  const fd = new World().open();
  const ioas_id = ioasAlloc(fd);
  mock(fd, ioas_id);
  const out = fd.must(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, {
    ioas_id,
    num_iovas: 4,
    allowed_iovas: ARRAY,
  });
  expect(out.num_iovas).toBe(1);
  expect(out.out_iova_alignment).toBe(2048n);
  const range = uapi.iommu_iova_range.view(peek(fd.task, ARRAY, 16));
  expect([range.start, range.last]).toEqual([0x100_0000n, 0x7fff_ffffn]);
  fd.close();
});

test('mapped pages are pinned once and are the pages of the caller; nothing stays pinned', () => {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const a = mock(fd, ioas);
  const iova = map(fd, ioas, BUFFER, 0x4000n);
  expect(checkMap(fd, a.hwpt, iova as bigint, 0x4000n, BUFFER)).toBeUndefined();
  expect(checkMap(fd, a.hwpt, iova as bigint, 0x4000n, BUFFER + 0x1000n)).toBe(EINVAL);
  expect(checkRefs(fd, BUFFER, 0x4000n, 1)).toBeUndefined();
  expect(fd.task.mm.pinnedVm).toBe(4);
  expect(unmap(fd, ioas, iova as bigint, 0x4000n)).toBe(0x4000n);
  expect(checkRefs(fd, BUFFER, 0x4000n, 0)).toBeUndefined();
  expect(fd.task.mm.pinnedVm).toBe(0);
  fd.close();
  expect(world.frames.totalPins).toBe(0);
});

test('GET_PA tells addresses and contiguous bytes of a noiommu device, to CAP_SYS_RAWIO only', () => {
  const world = new World();
  const fd = world.open();
  const { mm } = fd.task;
  const va = 0x5000_0000n;
  mm.map(va, 2);
  world.frames.skip();
  mm.map(va + 0x2000n, 1);
  const ioas_id = ioasAlloc(fd);
  const idev = deviceBind(ctxFromFile(fd.file)!, world.noiommuDevice());
  if (!('dev' in idev)) throw new Error(idev.name);
  deviceAttach(idev, 0, ioas_id);
  expect(map(fd, ioas_id, va, 0x3000n, 0x20_0000n)).toBe(0x20_0000n);

  const getPa = (iova: bigint, length: bigint, id = ioas_id) =>
    fd.call(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, {
      ioas_id: id,
      iova,
      length,
    });
  const pa = BigInt(mm.pfnAt(va)) << 12n;
  const other = BigInt(mm.pfnAt(va + 0x2000n)) << 12n;
  expect(getPa(0x20_0080n, 0x1_0000n)).toMatchObject({ out_phys: pa + 0x80n, length: 0x1f80n });
  expect(getPa(0x20_0080n, 0x100n)).toMatchObject({ out_phys: pa + 0x80n, length: 0x100n });
  expect(getPa(0x20_2000n, 1n)).toMatchObject({ out_phys: other, length: 1n });
  expect(getPa(0x20_3000n, 1n)).toBe(ENOENT);
  expect(getPa(0x20_0000n, 0n)).toBe(EINVAL);
  fd.task.caps.delete(17);
  expect(getPa(0x20_0000n, 1n, 999)).toBe(EPERM);
  deviceDetach(idev, 0);
  deviceUnbind(idev);
  fd.close();
  expect(world.frames.totalPins).toBe(0);
});
