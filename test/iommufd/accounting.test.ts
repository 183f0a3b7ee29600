/** Who pays for pinned pages, when the one who mapped them is not any more who it was (iommufd.md 3.8). */
import { expect, test } from 'vitest';
import { EINVAL, ENODEV } from '../../src/base/errno.ts';
import { deviceBind } from '../../src/iommufd/device.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { ioasAlloc, map, mock, testOp, unmap } from '../../src/testing/iommufd/calls.ts';
import { BUFFER } from '../../src/testing/iommufd/process.ts';
import { World } from '../../src/testing/iommufd/world.ts';

const APERTURE = 0x100_0000n;
const CAP_IPC_LOCK = 14;

test('pages are charged to the user that mapped them, though the program has another one now', () => {
  const world = new World();
  const fd = world.open();
  fd.task.caps.delete(CAP_IPC_LOCK);
  fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 0n });
  const ioas = ioasAlloc(fd);
  map(fd, ioas, BUFFER, 0x2000n, APERTURE);
  fd.task.uid = 1001;
  mock(fd, ioas);
  const locked = () => [1000, 1001].map((uid) => world.accounts.lockedPages(uid));
  expect(locked()).toEqual([2, 0]);
  map(fd, ioas, BUFFER, 0x1000n, APERTURE + 0x4000n);
  fd.task.uid = 1000;
  expect(locked()).toEqual([2, 1]);
  unmap(fd, ioas, APERTURE, 0x2000n);
  expect(locked()).toEqual([0, 1]);
  fd.close();
  expect(locked()).toEqual([0, 0]);
});

test('pages are shown with the memory they are of, though the program runs another one now', () => {
  const world = new World();
  const fd = world.open();
  fd.task.caps.delete(CAP_IPC_LOCK);
  fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 1n });
  const ioas = ioasAlloc(fd);
  mock(fd, ioas);
  map(fd, ioas, BUFFER, 0x2000n, APERTURE);
  const old = fd.task.mm;
  fd.task.exec(world.mm());
  expect([old.pinnedVm, old.lockedVm]).toEqual([2, 2]);
  unmap(fd, ioas, APERTURE, 0x2000n);
  expect([old, fd.task.mm].map((mm) => mm.pinnedVm + mm.lockedVm)).toEqual([0, 0]);
  fd.close();
});

test('test operations on caches and events are for mock devices', () => {
  const world = new World();
  const fd = world.open();
  const idev = deviceBind(ctxFromFile(fd.file)!, world.noiommuDevice());
  if (!('id' in idev)) throw new Error(idev.name);
  const dev_id = idev.id;
  const event = testOp(fd, t.IOMMU_TEST_OP_TRIGGER_VEVENT, 0, t.iommu_test_trigger_vevent, {
    dev_id,
  });
  expect(event).toBe(ENODEV);
  const cache = { id: 0, cache: t.IOMMU_TEST_DEV_CACHE_DEFAULT };
  const op = t.IOMMU_TEST_OP_DEV_CHECK_CACHE;
  expect(testOp(fd, op, dev_id, t.iommu_test_check_dev_cache, cache)).toBe(EINVAL);
});
