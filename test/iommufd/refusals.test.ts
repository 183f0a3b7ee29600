/** Refusals that want a longer way than one call: what errnos.test.ts cannot reach, on mock hardware (iommufd.md). */
import { expect, test } from 'vitest';
import {
  EACCES,
  E2BIG,
  EADDRINUSE,
  EBADE,
  EBUSY,
  EDEADLK,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  ERANGE,
  isErrno,
  type Result,
} from '../../src/base/errno.ts';
import {
  accessAttach,
  accessCreate,
  accessDestroy,
  accessPinPages,
  accessReplace,
  accessRw,
  accessUnpinPages,
} from '../../src/iommufd/access.ts';
import { ForeignFile } from '../../src/base/file.ts';
import type { IommufdContext } from '../../src/iommufd/context.ts';
import { Dmabuf, dmabufFile } from '../../src/iommufd/io-pagetable/dmabuf.ts';
import { Ioas } from '../../src/iommufd/ioas.ts';
import { cutIova } from '../../src/iommufd/io-pagetable/iopt-cut.ts';
import { ctxFromFile, iommufdFileOps } from '../../src/iommufd/main.ts';
import { IommufdSubsystem } from '../../src/iommufd/subsystem.ts';
import { UserEntries } from '../../src/iommufd/user-data.ts';
import {
  vfioCompatIoasCreate,
  vfioCompatSetNoIommu,
} from '../../src/iommufd/compat/vfio-compat.ts';
import { Viommu } from '../../src/iommufd/viommu-object.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import * as v from '../../src/uapi/vfio.ts';
import { must } from '../../src/testing/base/must.ts';
import {
  checkRefs,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  mockDomain,
  testOp,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARG, ARRAY, BUFFER, BUFFER_PAGES, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const READ_AND_WRITE = uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE;

const BAD = 0xdead_0000n;
const IOVA = 0x100_0000n;
const PAGE = 0x1000n;
const NESTED = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };

function contextOf(fd: Iommufd): IommufdContext {
  return ctxFromFile(fd.file)!;
}
function ioasOf(fd: Iommufd, id: number): Ioas {
  return must(contextOf(fd).objects.get(id, Ioas));
}
/** A test dma-buf of one page, mapped at IOVA; the result is its fd. */
function mapDmabuf(fd: Iommufd, ioas_id: number): number {
  const u = t.iommu_test_dmabuf_get.view(new Uint8Array(48));
  u.length = 4096;
  const cmd = t.iommu_test_cmd.view(new Uint8Array(t.iommu_test_cmd.size));
  Object.assign(cmd, {
    size: t.iommu_test_cmd.size,
    op: t.IOMMU_TEST_OP_DMABUF_GET,
    u: u.bytes,
  });
  poke(fd.task, ARG, cmd.bytes);
  const dmabuf = must(fd.ioctl(t.IOMMU_TEST_CMD, ARG));
  fd.must(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: 7,
    ioas_id,
    fd: dmabuf,
    length: PAGE,
    iova: IOVA,
  });
  return dmabuf;
}
function mapFile(fd: Iommufd, ioas_id: number, file: number): unknown {
  return fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: 7,
    ioas_id,
    fd: file,
    length: PAGE,
    iova: IOVA,
  });
}
/** VFIO_IOMMU_UNMAP_DMA of a part, on an IOAS that plays a container of type 1. */
function unmapPart(fd: Iommufd, iova: bigint, size: bigint): unknown {
  const raw = v.vfio_iommu_type1_dma_unmap.view(new Uint8Array(24));
  Object.assign(raw, { argsz: 24, flags: 0, iova, size });
  poke(fd.task, ARG, raw.bytes);
  return fd.ioctl(v.VFIO_IOMMU_UNMAP_DMA, ARG);
}
function playContainer(fd: Iommufd, ioas_id: number): void {
  fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: uapi.IOMMU_VFIO_IOAS_SET, ioas_id });
  expect(fd.ioctl(v.VFIO_SET_IOMMU, BigInt(v.VFIO_TYPE1_IOMMU))).toBe(0);
}

test('an access is attached once, and does nothing while it is not', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const access = must(accessCreate(contextOf(fd), { needsPinPages: true, unmap: () => undefined }));
  expect(accessPinPages(access, IOVA, PAGE, false)).toBe(ENOENT);
  expect(accessReplace(access, ioas)).toBe(ENOENT);
  expect(accessAttach(access, ioas)).toBeUndefined();
  expect(accessAttach(access, ioas)).toBe(EINVAL);
  expect(ioasOf(fd, ioas).users).toBe(2);
  accessDestroy(access);
  fd.close();
});

test('the kernel cannot touch the memory of a dma-buf, nor copy what was made to fail', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  mapDmabuf(fd, ioas);
  map(fd, ioas, BUFFER, PAGE, 2n * IOVA);
  const access = must(accessCreate(contextOf(fd), { needsPinPages: true, unmap: () => undefined }));
  expect(accessAttach(access, ioas)).toBeUndefined();
  expect(accessPinPages(access, IOVA, PAGE, false)).toBe(EINVAL);
  const made = testOp(fd, t.IOMMU_TEST_OP_CREATE_ACCESS, ioas, t.iommu_test_create_access, {});
  const file = must(made as never as Result<{ out_access_fd: number }>).out_access_fd;
  fd.task.failing = (point) => point === 'page-rw';
  const rw = { iova: 2n * IOVA, length: 8n, uptr: BUFFER, flags: t.MOCK_ACCESS_RW_SLOW_PATH };
  const copyOut = () => testOp(fd, t.IOMMU_TEST_OP_ACCESS_RW, file, t.iommu_test_access_rw, rw);
  expect(copyOut()).toBe(EINVAL);
  fd.task.failing = undefined;
  expect(isErrno(copyOut())).toBe(false);
  fd.task.close(file);
  accessDestroy(access);
  fd.close();
});

test('while a mapping is unmapped nothing new is begun on it, and who keeps it makes a deadlock', () => {
  const fd = new World().open();
  const id = ioasAlloc(fd);
  map(fd, id, BUFFER, 2n * PAGE, IOVA);
  const ioas = ioasOf(fd, id);
  let keep = true;
  const met: unknown[] = [];
  const access = must(
    accessCreate(contextOf(fd), {
      needsPinPages: true,
      unmap(iova, length) {
        const how = { write: false, slowPath: true, task: undefined };
        met.push(accessRw(access, iova, new Uint8Array(8), how), cutIova(ioas.iopt, iova + 0xfffn));
        if (!keep) accessUnpinPages(access, iova, length);
      },
    }),
  );
  expect(accessAttach(access, id)).toBeUndefined();
  must(accessPinPages(access, IOVA, 2n * PAGE, false));
  expect(unmap(fd, id, IOVA, 2n * PAGE)).toBe(EDEADLK);
  expect(met.slice(0, 2)).toEqual([EINVAL, EBUSY]);
  expect(fd.world.frames.totalPins).toBe(2);
  keep = false;
  expect(unmap(fd, id, IOVA, 2n * PAGE)).toBe(2n * PAGE);
  expect(fd.world.frames.totalPins).toBe(0);
  accessDestroy(access);
  fd.close();
});

test('an unmap of type 1 cuts no dma-buf and nothing the kernel has pinned', () => {
  const fd = new World().open();
  const id = ioasAlloc(fd);
  mapDmabuf(fd, id);
  map(fd, id, BUFFER, 2n * PAGE, 2n * IOVA);
  playContainer(fd, id);
  const access = must(accessCreate(contextOf(fd), { needsPinPages: true, unmap: () => undefined }));
  expect(accessAttach(access, id)).toBeUndefined();
  must(accessPinPages(access, 2n * IOVA, PAGE, false));
  expect(unmapPart(fd, IOVA, 0x800n)).toBe(EOPNOTSUPP);
  expect(unmapPart(fd, 2n * IOVA, PAGE)).toBe(EINVAL);
  accessUnpinPages(access, 2n * IOVA, PAGE);
  expect(unmapPart(fd, 2n * IOVA, PAGE)).toBe(0);
  accessDestroy(access);
  fd.close();
});

test('a file of another exporter, or without pages, is not mapped', () => {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  mock(fd, ioas);
  const foreign = fd.task.installFile(dmabufFile(new Dmabuf(PAGE, undefined)));
  const other = fd.task.installFile(world.open().file);
  expect(mapFile(fd, ioas, foreign)).toBe(EOPNOTSUPP);
  expect(mapFile(fd, ioas, other)).toBe(EINVAL);
  const revoke = (dmabuf_fd: number) =>
    testOp(fd, t.IOMMU_TEST_OP_DMABUF_REVOKE, 0, t.iommu_test_dmabuf_revoke, {
      dmabuf_fd,
      revoked: 1,
    });
  expect(revoke(foreign)).toBe(EOPNOTSUPP);
  expect(revoke(other)).toBe(EINVAL);
  fd.close();
});

test('memory of an address space that is gone cannot be pinned any more', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  map(fd, ioas, BUFFER, PAGE, IOVA);
  fd.task.mm.alive = false;
  expect(mockDomain(fd, ioas)).toBe(EFAULT);
  fd.task.mm.alive = true;
  expect(mock(fd, ioas).stdev).toBe(2);
  fd.close();
});

test('allowed ranges do not overlap, and what is allowed cannot be reserved', () => {
  const fd = new World().open();
  const ioas_id = ioasAlloc(fd);
  const allow = (...words: bigint[]) => {
    poke(fd.task, ARRAY, new Uint8Array(new BigUint64Array(words).buffer));
    return fd.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, {
      ioas_id,
      num_iovas: words.length / 2,
      allowed_iovas: ARRAY,
    });
  };
  expect(allow(0n, 0x1fffn, 0x1000n, 0x2fffn)).toBe(EINVAL);
  const reserve = () =>
    testOp(fd, 1, ioas_id, t.iommu_test_add_reserved, { start: 0x1000n, length: 1n });
  expect(isErrno(allow(0n, 0x1fffn))).toBe(false);
  expect(reserve()).toBe(EADDRINUSE);
  expect(isErrno(allow(0x8000n, 0x8fffn))).toBe(false);
  expect(isErrno(reserve())).toBe(false);
  fd.close();
});

test('GET_PA wants its kernel, a noiommu device, and memory that is there', () => {
  const world = new World();
  const fd = world.open();
  const ioas_id = ioasAlloc(fd);
  const getPa = (iova: bigint) =>
    fd.call(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, {
      ioas_id,
      iova,
      length: 1n,
    });
  const dmabuf_fd = mapDmabuf(fd, ioas_id);
  map(fd, ioas_id, BUFFER, PAGE, 2n * IOVA);
  mock(fd, ioas_id);
  expect(getPa(2n * IOVA)).toBe(EOPNOTSUPP);
  const revoke = { dmabuf_fd, revoked: 1 };
  must(testOp(fd, t.IOMMU_TEST_OP_DMABUF_REVOKE, 0, t.iommu_test_dmabuf_revoke, revoke));
  expect(getPa(IOVA)).toBe(EINVAL);
  world.env.setTrait('iommufd-noiommu', false);
  expect(getPa(IOVA)).toBe(EOPNOTSUPP);
  fd.close();
});

test('the accounting mode is 0 or 1', () => {
  const fd = new World().open();
  expect(fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 2n })).toBe(EINVAL);
  fd.close();
});

test('the selftest says what it finds wrong', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  map(fd, ioas, BUFFER, PAGE, IOVA);
  expect(checkRefs(fd, BUFFER, PAGE, 2)).toBe(EIO);
  const create = { flags: t.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES };
  const made = testOp(fd, t.IOMMU_TEST_OP_CREATE_ACCESS, ioas, t.iommu_test_create_access, create);
  const file = must(made as never as Result<{ out_access_fd: number }>).out_access_fd;
  const pages = { iova: IOVA, length: PAGE, uptr: BUFFER + PAGE };
  const op = t.IOMMU_TEST_OP_ACCESS_PAGES;
  expect(testOp(fd, op, file, t.iommu_test_access_pages, pages)).toBe(EBADE);
  expect(checkRefs(fd, BUFFER, PAGE, 1)).toBeUndefined();
  const check = { pasid: 0, hwpt_id: 99 };
  const pasidOp = t.IOMMU_TEST_OP_PASID_CHECK_HWPT;
  expect(testOp(fd, pasidOp, dev.stdev, t.iommu_test_pasid_check, check)).toBe(ENOENT);
  const dirty = { iova: 0n, length: (1n << 27n) + 1n, page_size: 1n, uptr: ARRAY };
  const dirtyOp = t.IOMMU_TEST_OP_DIRTY;
  expect(testOp(fd, dirtyOp, dev.hwpt, t.iommu_test_dirty, dirty)).toBe(EOVERFLOW);
  fd.task.close(file);
  fd.close();
});

test.for([
  ['no bitmap', { uptr: 0n }],
  ['pages of no size', { page_size: 0n }],
  ['no length', { length: 0n }],
  ['a start inside a page', { iova: 1n }],
  ['an end inside a page', { length: PAGE + 1n }],
] as const)('the selftest marks nothing dirty for %s', ([, wrong]) => {
  const fd = new World().open();
  const dev = mock(fd, ioasAlloc(fd));
  const dirty = { iova: 0n, length: PAGE, page_size: PAGE, uptr: ARRAY, ...wrong };
  const op = t.IOMMU_TEST_OP_DIRTY;
  expect(testOp(fd, op, dev.hwpt, t.iommu_test_dirty, dirty)).toBe(EINVAL);
  fd.close();
});

test.for([
  ['pin', EFAULT],
  ['pin-batch', ENOMEM],
  ['charge', ENOMEM],
] as const)('%s made to fail refuses the map, which is undone', ([point, errno]) => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  mock(fd, ioas);
  fd.task.failing = (at) => at === point;
  expect(map(fd, ioas, BUFFER, PAGE, IOVA)).toBe(errno);
  fd.task.failing = undefined;
  expect(fd.world.frames.totalPins).toBe(0);
  expect(map(fd, ioas, BUFFER, PAGE, IOVA)).toBe(IOVA);
  fd.close();
});

test('an attach or a lookup that was made to fail leaves nothing', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  fd.task.failing = (at) => at === 'reserved-regions';
  expect(mockDomain(fd, ioas)).toBe(EINVAL);
  fd.task.failing = (at) => at === 'object-lookup';
  expect(mockDomain(fd, ioas)).toBe(ENOENT);
  expect(map(fd, ioas, BUFFER, PAGE, IOVA)).toBe(ENOENT);
  fd.task.failing = undefined;
  expect(mock(fd, ioas)).toEqual({ stdev: 2, idev: 3, hwpt: 4 });
  fd.close();
});

test('an access that was not made to pin pages pins none', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  map(fd, ioas, BUFFER, PAGE, IOVA);
  const made = testOp(fd, t.IOMMU_TEST_OP_CREATE_ACCESS, ioas, t.iommu_test_create_access, {});
  const file = must(made as never as Result<{ out_access_fd: number }>).out_access_fd;
  const pages = { iova: IOVA, length: PAGE, uptr: BUFFER };
  const op = t.IOMMU_TEST_OP_ACCESS_PAGES;
  expect(testOp(fd, op, file, t.iommu_test_access_pages, pages)).toBe(EOPNOTSUPP);
  expect(fd.world.frames.totalPins).toBe(0);
  fd.task.close(file);
  fd.close();
});

test('a machine without mock hardware has no mock devices', () => {
  const world = new World();
  const { core, frames: memory, accounts } = world;
  const newSharedPages = () => {
    throw new Error('nothing is shared here');
  };
  const bare = new IommufdSubsystem({
    ...{ core, memory, accounts, newSharedPages },
    fileOps: iommufdFileOps,
  });
  Object.assign(world, { subsystem: bare });
  const fd = world.open();
  expect(mockDomain(fd, ioasAlloc(fd))).toBe(ENODEV);
  fd.close();
});

test('a mock device its IOMMU does not take is ENODEV, and leaves nothing', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const { groups } = fd.world.core;
  const reserve = groups.reserve.bind(groups);
  groups.reserve = () => ENOSPC;
  expect(mockDomain(fd, ioas)).toBe(ENODEV);
  groups.reserve = reserve;
  expect(mock(fd, ioas)).toEqual({ stdev: 2, idev: 3, hwpt: 4 });
  fd.close();
});

/** A vIOMMU on a nest parent with one device. */
function viommuRig() {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const hwpt_id = must(hwptAlloc(fd, dev.idev, ioas, { flags: uapi.IOMMU_HWPT_ALLOC_NEST_PARENT }));
  const id = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: dev.idev,
    hwpt_id,
  }).out_viommu_id;
  return { fd, ioas, dev, id };
}
function invalidate(fd: Iommufd, hwpt_id: number, values: Record<string, number | bigint> = {}) {
  return fd.call(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, {
    hwpt_id,
    data_uptr: ARRAY,
    data_type: t.IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
    entry_len: 16,
    entry_num: 1,
    ...values,
  });
}

test('an entry of an array that is unreadable, longer than known, or too short is refused', () => {
  const { fd, dev, id } = viommuRig();
  const vdevice = { viommu_id: id, dev_id: dev.idev, virt_id: 7n };
  fd.must(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, vdevice);
  expect(invalidate(fd, id, { data_uptr: BAD })).toBe(EFAULT);
  const known = t.iommu_viommu_invalidate_selftest.size;
  const entry = new Uint8Array(known + 8);
  entry[known + 7] = 1;
  poke(fd.task, ARRAY, entry);
  expect(invalidate(fd, id, { entry_len: known + 8 })).toBe(E2BIG);
  expect(new UserEntries(fd.task, ARRAY, 1, 4, 1).entry(0, 16, 8)).toBe(EINVAL);
  fd.close();
});

test('a virtual id is given once', () => {
  const { fd, ioas, dev, id } = viommuRig();
  const other = mock(fd, ioas);
  const give = (dev_id: number) =>
    fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
      viommu_id: id,
      dev_id,
      virt_id: 7n,
    });
  expect(isErrno(give(dev.idev))).toBe(false);
  expect(give(other.idev)).toBe(EEXIST);
  fd.close();
});

test('a nested hwpt of a vIOMMU wants data, and a vIOMMU that can do nothing says so', () => {
  const { fd, dev, id } = viommuRig();
  expect(hwptAlloc(fd, dev.idev, id)).toBe(EOPNOTSUPP);
  const viommu = must(contextOf(fd).objects.get(id, Viommu));
  viommu.ops = {};
  expect(hwptAlloc(fd, dev.idev, id, NESTED)).toBe(EOPNOTSUPP);
  expect(invalidate(fd, id)).toBe(EOPNOTSUPP);
  fd.close();
});

test('a hardware queue is refused for its type, its length, or pages that are not in one row', () => {
  const { fd, ioas, id } = viommuRig();
  const queue = (values: Record<string, number | bigint>) =>
    fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
      viommu_id: id,
      type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
      nesting_parent_iova: IOVA,
      length: 2n * PAGE,
      ...values,
    });
  expect(queue({ type: 99 })).toBe(EOPNOTSUPP);
  expect(queue({ nesting_parent_iova: 0n, length: (1n << 64n) - 16n })).toBe(ERANGE);
  const va = BUFFER + BigInt(BUFFER_PAGES) * PAGE;
  fd.task.mm.map(va, 1);
  fd.world.frames.skip();
  fd.task.mm.map(va + PAGE, 1);
  map(fd, ioas, va, 2n * PAGE, IOVA);
  const before = fd.world.frames.totalPins;
  expect(queue({})).toBe(EFAULT);
  expect(fd.world.frames.totalPins).toBe(before);
  expect(unmap(fd, ioas, IOVA, 2n * PAGE)).toBe(2n * PAGE);
  fd.close();
});

test('an iommufd is the container of real groups, or of groups without an IOMMU', () => {
  const world = new World();
  const real = world.open();
  expect(vfioCompatIoasCreate(contextOf(real))).toBeUndefined();
  expect(vfioCompatSetNoIommu(contextOf(real))).toBe(EINVAL);
  const without = world.open();
  expect(vfioCompatSetNoIommu(contextOf(without))).toBeUndefined();
  expect(vfioCompatIoasCreate(contextOf(without))).toBe(EINVAL);
  expect(without.ioctl(v.VFIO_SET_IOMMU, BigInt(v.VFIO_NOIOMMU_IOMMU))).toBe(0);
  without.task.caps.delete(17);
  expect(without.ioctl(v.VFIO_SET_IOMMU, BigInt(v.VFIO_NOIOMMU_IOMMU))).toBe(EPERM);
  poke(real.task, ARG, new Uint8Array(new Uint32Array([15, 0, 0, 0]).buffer));
  expect(real.ioctl(v.VFIO_IOMMU_GET_INFO, ARG)).toBe(EINVAL);
  real.close();
  without.close();
});

test.for([
  ['to write, for writing', true, uapi.IOMMU_IOAS_MAP_WRITEABLE, undefined],
  ['to read, for reading', false, uapi.IOMMU_IOAS_MAP_READABLE, undefined],
  ['to write, for reading', false, uapi.IOMMU_IOAS_MAP_WRITEABLE, EACCES],
  ['to read and write, for reading', false, READ_AND_WRITE, EACCES],
] as const)(
  'a device gets of a file what its descriptor was opened for: %s',
  ([, writable, flags, errno]) => {
    const world = new World();
    const fd = world.open();
    const { inode, pages, size } = world.memfd(4);
    const file = fd.task.installFile(new ForeignFile(inode, size, pages, writable));
    const values = { ioas_id: ioasAlloc(fd), fd: file, length: 0x1000n, flags };
    const out = fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, values);
    expect(isErrno(out) ? out : undefined).toBe(errno);
  },
);
