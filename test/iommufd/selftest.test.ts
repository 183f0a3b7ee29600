/** What the kernel's own selftest expects (iommufd.md 7.3), as statements on mock hardware. */
import { expect, test } from 'vitest';
import {
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  ESPIPE,
  isErrno,
  type Result,
} from '../../src/base/errno.ts';
import { ForeignFile, OpenFile, plainBuffer } from '../../src/base/file.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { WaitQueue } from '../../src/base/wait-queue.ts';
import { openVfioCompat } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import {
  checkMap,
  checkRefs,
  copy,
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  only,
  testOp,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import {
  ARG,
  ARRAY,
  BUFFER,
  peek,
  poke,
  type TestTask,
} from '../../src/testing/iommufd/process.ts';
import { Iommufd, World } from '../../src/testing/iommufd/world.ts';

const APERTURE = 0x100_0000n;
const PAGE = 0x1000n;

function read(
  task: TestTask,
  fd: number,
  count: number,
  offset?: bigint,
): Result<number> & unknown {
  const file = task.fds.get(fd) as OpenFile;
  const out = file.ops.read!(file, task, plainBuffer((lastRead = new Uint8Array(count))), offset);
  if (out instanceof WaitQueue) throw new Error('these queues never block');
  return out;
}
let lastRead = new Uint8Array(0);
function write(task: TestTask, fd: number, words: readonly number[]): unknown {
  const file = task.fds.get(fd) as OpenFile;
  return file.ops.write!(
    file,
    task,
    plainBuffer(new Uint8Array(new Uint32Array(words).buffer)),
    undefined,
  );
}
const words = (bytes: Uint8Array): number[] => [
  ...new Uint32Array(bytes.buffer, 0, bytes.length >> 2),
];
const must = (value: number | object): number => {
  if (typeof value !== 'number') throw new Error(String(value));
  return value;
};
/** An hwpt to nest on, and data for nested ones at ARRAY. */
function nestParent(fd: Iommufd, idev: number, ioas: number): number {
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([t.IOMMU_TEST_IOTLB_DEFAULT, 0]).buffer));
  return must(hwptAlloc(fd, idev, ioas, { flags: uapi.IOMMU_HWPT_ALLOC_NEST_PARENT }));
}
const NESTED = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
const replace = (fd: Iommufd, stdev: number, pt_id: number) =>
  only(testOp(fd, 10, stdev, t.iommu_test_mock_domain_replace, { pt_id }));

test('the parents of nested hwpts are busy, their caches start as told, and an invalidation counts what it did', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const parent = nestParent(fd, dev.idev, ioas);
  const nested = must(hwptAlloc(fd, dev.idev, parent, NESTED));
  expect(hwptAlloc(fd, dev.idev, nested, NESTED)).toBe(EINVAL);
  expect(destroy(fd, parent)).toBe(EBUSY);
  const iotlb = (id: number, value: number) =>
    only(testOp(fd, 14, nested, t.iommu_test_check_iotlb, { id, iotlb: value }));
  for (let id = 0; id < 4; id++) expect(iotlb(id, t.IOMMU_TEST_IOTLB_DEFAULT)).toBeUndefined();
  expect(iotlb(4, t.IOMMU_TEST_IOTLB_DEFAULT)).toBe(EINVAL);

  // Two good entries, then a bad one: two are done.
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([0, 0, 0, 1, 0, 9]).buffer));
  const invalidate = {
    hwpt_id: nested,
    data_uptr: ARRAY,
    data_type: t.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST,
    entry_len: 8,
    entry_num: 3,
  };
  expect(fd.call(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, invalidate)).toBe(EINVAL);
  const after = uapi.iommu_hwpt_invalidate.view(peek(fd.task, ARG, 32));
  expect(after.entry_num).toBe(2);
  expect([iotlb(0, 0), iotlb(1, 0), iotlb(2, t.IOMMU_TEST_IOTLB_DEFAULT)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);

  expect(replace(fd, dev.stdev, nested)).toBeUndefined();
  expect(destroy(fd, nested)).toBe(EBUSY);
  expect(destroy(fd, dev.hwpt)).toBe(ENOENT);
  expect(destroy(fd, dev.stdev)).toBeUndefined();
  expect(destroy(fd, nested)).toBeUndefined();
  expect(destroy(fd, parent)).toBeUndefined();
  fd.close();
});

test('page faults are read, answered once, and answered INVALID when their device leaves', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const parent = nestParent(fd, dev.idev, ioas);
  const fault = fd.must(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {});
  const flags = uapi.IOMMU_HWPT_FAULT_ID_VALID;
  const nested = must(
    hwptAlloc(fd, dev.idev, parent, { ...NESTED, flags, fault_id: fault.out_fault_id }),
  );
  expect(replace(fd, dev.stdev, nested)).toBeUndefined();
  const trigger = (pasid: number) =>
    only(
      testOp(fd, 15, 0, t.iommu_test_trigger_iopf, {
        dev_id: dev.idev,
        pasid,
        grpid: 2,
        perm: 3,
        addr: 0xdeadbeafn,
      }),
    );
  const queue = fault.out_fault_fd;
  expect(read(fd.task, queue, 40)).toBe(0);
  expect(trigger(1)).toBeUndefined();
  expect(read(fd.task, queue, 0)).toBe(EINVAL);
  expect(read(fd.task, queue, 39)).toBe(ESPIPE);
  expect(read(fd.task, queue, 40, 8n)).toBe(ESPIPE);
  expect(read(fd.task, queue, 40)).toBe(40);
  expect(words(lastRead)).toEqual([3, dev.idev, 1, 2, 3, 0, 0xdeadbeaf, 0, 0, 1]);
  expect(write(fd.task, queue, [1, 7])).toBe(EINVAL);
  expect(write(fd.task, queue, [1])).toBe(ESPIPE);
  expect(write(fd.task, queue, [1, 0])).toBe(8);
  expect(write(fd.task, queue, [1, 0])).toBe(EINVAL);
  expect(trigger(0)).toBeUndefined();
  expect(trigger(0)).toBeUndefined();
  expect(read(fd.task, queue, 40)).toBe(40);
  expect(replace(fd, dev.stdev, ioas)).toBeUndefined();
  expect(read(fd.task, queue, 40)).toBe(0);
  expect(write(fd.task, queue, [1, 0])).toBe(EINVAL);
  expect(destroy(fd, nested)).toBeUndefined();
  expect(destroy(fd, fault.out_fault_id)).toBe(EBUSY);
  fd.task.close(queue);
  expect(destroy(fd, fault.out_fault_id)).toBeUndefined();
  fd.close();
});

function viommu(fd: Iommufd, dev_id: number, hwpt_id: number, data_len = 0): number {
  const values = {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id,
    hwpt_id,
    data_len,
    data_uptr: ARRAY,
  };
  return fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, values).out_viommu_id;
}

test('a vIOMMU that gets no id is ENOMEM and holds nothing', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const parent = must(hwptAlloc(fd, dev.idev, ioas, { flags: uapi.IOMMU_HWPT_ALLOC_NEST_PARENT }));
  const values = { type: t.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: dev.idev, hwpt_id: parent };
  fd.task.failing = (point) => point === 'object';
  expect(fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, values)).toBe(ENOMEM);
  fd.task.failing = undefined;
  expect(destroy(fd, parent)).toBeUndefined();
  fd.close();
});

const vdevice = (fd: Iommufd, viommu_id: number, dev_id: number, virt_id: bigint) => {
  const out = fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
    viommu_id,
    dev_id,
    virt_id,
  });
  return isErrno(out) ? out : out.out_vdevice_id;
};

test('events of a vIOMMU are numbered, and the queue loses what does not fit and says so', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const parent = nestParent(fd, dev.idev, ioas);
  const v = viommu(fd, dev.idev, parent);
  expect(destroy(fd, parent)).toBe(EBUSY);
  const nested = must(hwptAlloc(fd, dev.idev, v, NESTED));
  expect(replace(fd, dev.stdev, nested)).toBe(ENOENT);
  const queueOf = (veventq_depth: number) =>
    fd.call(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
      viommu_id: v,
      type: t.IOMMU_VEVENTQ_TYPE_SELFTEST,
      veventq_depth,
    });
  expect(queueOf((1 << 19) + 1)).toBe(EINVAL);
  const made = queueOf(2);
  if (isErrno(made)) throw new Error(made.name);
  expect(queueOf(2)).toBe(EEXIST);
  const first = must(vdevice(fd, v, dev.idev, 0x99n));
  expect(vdevice(fd, v, dev.idev, 0x98n)).toBe(EEXIST);
  expect(replace(fd, dev.stdev, nested)).toBeUndefined();
  const trigger = () => only(testOp(fd, 17, 0, t.iommu_test_trigger_vevent, { dev_id: dev.idev }));
  const fdno = made.out_veventq_fd;
  expect(trigger()).toBeUndefined();
  for (const count of [0, 7, 8]) expect(read(fd.task, fdno, count)).toBe(EINVAL);
  expect(read(fd.task, fdno, 12)).toBe(12);
  expect(words(lastRead)).toEqual([0, 0, 0x99]);

  expect(replace(fd, dev.stdev, parent)).toBeUndefined();
  expect(destroy(fd, first)).toBeUndefined();
  must(vdevice(fd, v, dev.idev, 0x88n));
  expect(replace(fd, dev.stdev, nested)).toBeUndefined();
  for (let n = 0; n < 3; n++) expect(trigger()).toBeUndefined();
  expect(read(fd.task, fdno, 36)).toBe(32);
  expect(words(lastRead).slice(0, 8)).toEqual([0, 1, 0x88, 0, 2, 0x88, 1, 3]);
  expect(trigger()).toBeUndefined();
  expect(read(fd.task, fdno, 12)).toBe(12);
  expect(words(lastRead)).toEqual([0, 4, 0x88]);
  expect(destroy(fd, v)).toBe(EBUSY);
  expect(destroy(fd, made.out_veventq_id)).toBe(EBUSY);
  fd.task.close(fdno);
  fd.close();
});

test('a marker of lost events that is still unread is put back with its new number', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const v = viommu(fd, dev.idev, nestParent(fd, dev.idev, ioas));
  const nested = must(hwptAlloc(fd, dev.idev, v, NESTED));
  must(vdevice(fd, v, dev.idev, 0x88n));
  expect(replace(fd, dev.stdev, nested)).toBeUndefined();
  expect(only(testOp(fd, 17, 0, t.iommu_test_trigger_vevent, { dev_id: dev.idev }))).toBe(
    EOPNOTSUPP,
  );
  const queue = fd.must(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
    viommu_id: v,
    type: t.IOMMU_VEVENTQ_TYPE_SELFTEST,
    veventq_depth: 1,
  });
  for (let n = 0; n < 3; n++) testOp(fd, 17, 0, t.iommu_test_trigger_vevent, { dev_id: dev.idev });
  expect(read(fd.task, queue.out_veventq_fd, 100)).toBe(20);
  expect(words(lastRead).slice(0, 5)).toEqual([0, 0, 0x88, 1, 2]);
  fd.task.close(queue.out_veventq_fd);
  fd.close();
});

test('a vDEVICE goes with its device, and its id stays taken until close', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const v = viommu(fd, dev.idev, nestParent(fd, dev.idev, ioas));
  const id = must(vdevice(fd, v, dev.idev, 0x99n));
  expect(destroy(fd, dev.stdev)).toBeUndefined();
  expect(destroy(fd, id)).toBe(ENOENT);
  for (let n = 0; n < 6; n++) expect(ioasAlloc(fd)).not.toBe(id);
  fd.close();
});

test('pages of a vIOMMU are mapped as a whole, shared, and keep it alive', () => {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const parent = nestParent(fd, dev.idev, ioas);
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([0xbeef, 0, 0, 0, 0, 0]).buffer));
  const v = viommu(fd, dev.idev, parent, 24);
  const data = t.iommu_viommu_selftest.view(peek(fd.task, ARRAY, 24));
  expect([data.out_data, data.out_mmap_offset, data.out_mmap_length]).toEqual([
    0xbeef,
    0x1000n,
    0x2000n,
  ]);
  const request = {
    offset: 0x1000n,
    length: 0x2000n,
    read: true,
    write: true,
    exec: false,
    shared: true,
  };
  const mmap = (change: object) => fd.file.ops.mmap!(fd.file, fd.task, { ...request, ...change });
  expect(mmap({ length: 0x1000n })).toBe(ENXIO);
  expect(mmap({ offset: 0n })).toBe(ENXIO);
  expect(mmap({ length: 1n })).toBe(EINVAL);
  expect(mmap({ shared: false })).toBe(EINVAL);
  expect(mmap({ exec: true })).toBe(EPERM);
  const mapping = mmap({});
  if (isErrno(mapping) || mapping.kind !== 'pages') throw new Error('no mapping');
  const word = new Uint8Array(4);
  mapping.pages.read(0, word);
  expect(words(word)).toEqual([0xbeef]);
  expect(destroy(fd, v)).toBe(EBUSY);
  mapping.open();
  mapping.close();
  expect(destroy(fd, v)).toBe(EBUSY);
  mapping.close();
  expect(destroy(fd, v)).toBeUndefined();
  expect(world.sharedPagesFreed).toBe(1);
  fd.close();
});

test('hardware queues lock their memory and depend on each other', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const v = viommu(fd, dev.idev, nestParent(fd, dev.idev, ioas));
  const queue = (index: number, nesting_parent_iova = APERTURE, length = PAGE) => {
    const values = {
      viommu_id: v,
      type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
      index,
      nesting_parent_iova,
      length,
    };
    const out = fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, values);
    return isErrno(out) ? out : out.out_hw_queue_id;
  };
  expect(queue(0)).toBe(ENOENT);
  expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
  expect(map(fd, ioas, BUFFER + PAGE, PAGE, APERTURE + PAGE)).toBe(APERTURE + PAGE);
  expect(queue(1)).toBe(EIO);
  expect(queue(2)).toBe(EINVAL);
  const first = must(queue(0));
  expect(queue(0)).toBe(EEXIST);
  const second = must(queue(1, APERTURE + 0x800n, 0x800n));
  expect(unmap(fd, ioas, APERTURE, PAGE)).toBe(EBUSY);
  expect(unmap(fd, ioas, APERTURE + PAGE, PAGE)).toBe(PAGE);
  expect(destroy(fd, first)).toBe(EBUSY);
  expect(destroy(fd, second)).toBeUndefined();
  expect(destroy(fd, first)).toBeUndefined();
  expect(unmap(fd, ioas, APERTURE, PAGE)).toBe(PAGE);
  fd.close();
});

test('a PASID wants hwpts made for PASIDs, on the RID too', () => {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas, t.MOCK_FLAGS_DEVICE_PASID);
  const flags = uapi.IOMMU_HWPT_ALLOC_PASID;
  const a = must(hwptAlloc(fd, dev.idev, ioas, { flags }));
  const b = must(hwptAlloc(fd, dev.idev, ioas, { flags }));
  const plain = must(hwptAlloc(fd, dev.idev, ioas));
  const pasid = (op: number, number: number, pt_id = 0) =>
    only(testOp(fd, op, dev.stdev, t.iommu_test_pasid_attach, { pasid: number, pt_id }));
  const at = (number: number, hwpt_id: number) =>
    only(testOp(fd, 21, dev.stdev, t.iommu_test_pasid_check, { pasid: number, hwpt_id }));
  expect(pasid(20, 5)).toBeUndefined();
  expect(pasid(18, 5, a)).toBe(EINVAL);
  expect(replace(fd, dev.stdev, a)).toBeUndefined();
  expect(pasid(18, 5, plain)).toBe(EINVAL);
  expect(pasid(18, 5, ioas)).toBe(EINVAL);
  expect(pasid(19, 5, a)).toBe(EINVAL);
  expect(pasid(18, 5, a)).toBeUndefined();
  expect(pasid(18, 5, a)).toBe(EBUSY);
  expect(at(5, a)).toBeUndefined();
  expect(at(5, 0)).toBe(EINVAL);
  expect(at(5, b)).toBe(EINVAL);
  expect(replace(fd, dev.stdev, plain)).toBe(EINVAL);
  expect(pasid(19, 5, ioas)).toBe(EINVAL);
  expect(pasid(19, 5, b)).toBeUndefined();
  expect(at(5, b)).toBeUndefined();
  expect(destroy(fd, b)).toBe(EBUSY);
  // PASID 1024 of the mock: the second set fails, and what was there stays.
  expect(pasid(18, 1024, a)).toBeUndefined();
  expect(pasid(19, 1024, b)).toBe(ENOMEM);
  expect(at(1024, a)).toBeUndefined();
  expect(pasid(20, 5)).toBeUndefined();
  expect(at(5, 0)).toBeUndefined();
  fd.close();
  expect(world.frames.totalPins).toBe(0);
});

test('dirty bits are read where they were set, once, or with NO_CLEAR again', () => {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { option_id: 1, object_id: ioas, val64: 0n });
  const dev = mock(fd, ioas);
  const hwpt = must(hwptAlloc(fd, dev.idev, ioas, { flags: uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING }));
  expect(map(fd, ioas, BUFFER, 0x2000n, APERTURE)).toBe(APERTURE);
  fd.must(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, {
    hwpt_id: hwpt,
    flags: 1,
  });
  const range = { iova: APERTURE, length: 0x2000n, page_size: 2048n };
  const mark = (bits: number) => {
    poke(fd.task, ARRAY, new Uint8Array([bits]));
    const out = testOp(fd, 13, hwpt, t.iommu_test_dirty, { ...range, uptr: ARRAY });
    return isErrno(out) ? out : out.out_nr_dirty;
  };
  const get = (flags = 0) => {
    poke(fd.task, ARRAY + 0xff1n, new Uint8Array([0]));
    fd.must(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, {
      ...range,
      hwpt_id: hwpt,
      flags,
      data: ARRAY + 0xff1n,
    });
    return peek(fd.task, ARRAY + 0xff1n, 1)[0];
  };
  expect(mark(0x05)).toBe(2n);
  // Without large pages each leaf is a CPU page: two bits of 2 KiB.
  expect([get(), get()]).toEqual([0x0f, 0]);
  expect(mark(0x01)).toBe(1n);
  expect([get(1), get(1)]).toEqual([0x03, 0x03]);
  expect(get()).toBe(0x03);
  expect(mark(0x02)).toBe(1n);
  expect(get()).toBe(0x03);
  expect(destroy(fd, hwpt)).toBeUndefined();
  fd.close();
});

test('accesses pin, and let go when the IOAS unmaps; reading and writing needs no domain', () => {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const access = (flags: number) => {
    const out = testOp(fd, 5, ioas, t.iommu_test_create_access, { flags });
    return isErrno(out) ? out : out.out_access_fd;
  };
  expect(map(fd, ioas, BUFFER, 0x4000n, APERTURE)).toBe(APERTURE);
  const pinner = must(access(1));
  const pin = (iova: bigint, length: bigint, uptr = 0n) => {
    const out = testOp(fd, 7, pinner, t.iommu_test_access_pages, { flags: 1, iova, length, uptr });
    return isErrno(out) ? out : out.out_access_pages_id;
  };
  const item = must(pin(APERTURE + PAGE, 0x2000n, BUFFER + PAGE));
  expect(must(pin(APERTURE + PAGE, 0x2000n, BUFFER + PAGE))).toBe(item + 1);
  expect(checkRefs(fd, BUFFER + PAGE, 0x2000n, 1)).toBeUndefined();
  expect(pin(APERTURE + 0x800n, PAGE)).toBe(EINVAL);
  expect(pin(APERTURE + 0x3000n, 0x2000n)).toBe(ENOENT);
  expect(unmap(fd, ioas, APERTURE, 0x4000n)).toBe(0x4000n);
  expect(
    only(testOp(fd, 6, pinner, t.iommu_test_destroy_access_pages, { access_pages_id: item })),
  ).toBe(ENOENT);
  expect(checkRefs(fd, BUFFER, 0x4000n, 0)).toBeUndefined();
  fd.task.close(pinner);

  expect(map(fd, ioas, BUFFER, 0x2000n, APERTURE, 4)).toBe(APERTURE);
  const user = must(access(0));
  poke(fd.task, BUFFER + 0xffcn, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
  const rw = (flags: number) =>
    only(
      testOp(fd, 8, user, t.iommu_test_access_rw, {
        iova: APERTURE + 0xffcn,
        length: 8n,
        uptr: ARRAY,
        flags,
      }),
    );
  for (const slow of [0, 4]) {
    poke(fd.task, ARRAY, new Uint8Array(8));
    expect(rw(slow)).toBeUndefined();
    expect([...peek(fd.task, ARRAY, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  }
  expect(rw(1)).toBe(EPERM);
  fd.task.close(user);
  fd.close();
  expect(world.frames.totalPins).toBe(0);
});

test('an access that moves to another IOAS lets the old one go', () => {
  const fd = new World().open();
  const [from, to] = [ioasAlloc(fd), ioasAlloc(fd)];
  map(fd, from, BUFFER, PAGE, APERTURE);
  const out = testOp(fd, 5, from, t.iommu_test_create_access, { flags: 1 });
  if (isErrno(out)) throw new Error(out.name);
  testOp(fd, 7, out.out_access_fd, t.iommu_test_access_pages, { iova: APERTURE, length: PAGE });
  expect(copy(fd, { src: from, dst: to }, APERTURE, PAGE, APERTURE)).toBe(APERTURE);
  expect(destroy(fd, from)).toBe(EBUSY);
  const move = testOp(fd, 11, out.out_access_fd, t.iommu_test_access_replace_ioas, { ioas_id: to });
  expect(only(move)).toBeUndefined();
  expect(destroy(fd, from)).toBeUndefined();
  expect(checkRefs(fd, BUFFER, PAGE, 0)).toBeUndefined();
  fd.task.close(out.out_access_fd);
  fd.close();
});

test('copies share the pages: pinned once, and readable after the mapper is gone', () => {
  const world = new World();
  const fd = world.open();
  const [src, dst] = [ioasAlloc(fd), ioasAlloc(fd)];
  const a = mock(fd, src);
  expect(map(fd, src, BUFFER, 0x2000n, APERTURE)).toBe(APERTURE);
  expect(copy(fd, { src, dst }, APERTURE, 0x1800n, APERTURE)).toBe(APERTURE);
  const mapper = fd.task;
  fd.task = world.task();
  mapper.mm.alive = false;
  const b = mock(fd, dst);
  expect(isErrno(b)).toBe(false);
  expect(world.frames.pins(mapper.mm.pfnAt(BUFFER))).toBe(1);
  expect(destroy(fd, a.stdev)).toBeUndefined();
  expect(world.frames.pins(mapper.mm.pfnAt(BUFFER))).toBe(1);
  // Nothing pins the source now but the copy's two pages, so nobody can attach to the source but through them.
  expect(map(fd, src, 0x9000_0000n, PAGE, APERTURE + 0x10_0000n)).toBe(APERTURE + 0x10_0000n);
  expect(testOp(fd, 2, src, t.iommu_test_mock_domain)).toBe(EFAULT);
  fd.close();
  expect(world.frames.totalPins).toBe(0);
});

test('mappings of files can change their process, with their accounting; others cannot', () => {
  const world = new World();
  const fd = world.open();
  fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { val64: 1n });
  const parent = fd.task;
  parent.caps.delete(14);
  const ioas = ioasAlloc(fd);
  mock(fd, ioas);
  const first = world.frames.fresh(4);
  const file = new ForeignFile('memfd:1', () => 0x4000n, {
    pin: (index, count, _write, pfns, at) => {
      if (index + count > 4) return EINVAL;
      for (let n = 0; n < count; n++) pfns[at + n] = first + index + n;
      world.frames.addPin(first + index, count);
      return undefined;
    },
  });
  const values = { flags: 6, ioas_id: ioas, fd: parent.installFile(file), length: PAGE };
  fd.must(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, values);
  expect(
    fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, { ...values, start: 0x4000n }),
  ).toBe(EINVAL);
  expect([parent.mm.pinnedVm, parent.mm.lockedVm]).toEqual([1, 1]);
  const child = (fd.task = world.task());
  const change = () =>
    only(fd.call(uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommu_ioas_change_process, {}));
  child.rlimitMemlock = 0n;
  expect(change()).toBe(ENOMEM);
  expect([parent.mm.lockedVm, child.mm.lockedVm]).toEqual([1, 0]);
  child.rlimitMemlock = U64_MAX;
  expect(change()).toBeUndefined();
  expect([parent.mm.pinnedVm, child.mm.pinnedVm]).toEqual([0, 1]);
  expect([parent.mm.lockedVm, child.mm.lockedVm]).toEqual([0, 1]);
  map(fd, ioas, BUFFER, PAGE);
  expect(change()).toBe(EINVAL);
  fd.close();
  expect([world.frames.totalPins, child.mm.pinnedVm, child.mm.lockedVm]).toEqual([0, 0, 0]);
});

test('a dma-buf is mapped, revoked, and dead for that mapping for ever', () => {
  const world = new World();
  const fd = world.open();
  const ioas_id = ioasAlloc(fd);
  const dev = mock(fd, ioas_id);
  const used = world.ram.used;
  const cmd = t.iommu_test_cmd.view(new Uint8Array(72));
  Object.assign(cmd, { size: 72, op: 22 });
  t.iommu_test_dmabuf_get.view(cmd.u).length = 0x2000;
  poke(fd.task, ARG, cmd.bytes);
  const dmabuf = must(fd.ioctl(t.IOMMU_TEST_CMD, ARG) as number);
  const mapFile = (length: bigint) => {
    const out = fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
      flags: 6,
      ioas_id,
      fd: dmabuf,
      length,
    });
    return isErrno(out) ? out : out.iova;
  };
  const revoke = (revoked: number) =>
    only(testOp(fd, 23, 0, t.iommu_test_dmabuf_revoke, { dmabuf_fd: dmabuf, revoked }));
  expect(mapFile(0x3000n)).toBe(EINVAL);
  const iova = mapFile(0x2000n) as bigint;
  expect(revoke(1)).toBeUndefined();
  expect(isErrno(hwptAlloc(fd, dev.idev, ioas_id))).toBe(false);
  expect(mapFile(0x2000n)).toBe(ENODEV);
  expect(revoke(0)).toBeUndefined();
  expect(isErrno(mapFile(0x2000n))).toBe(false);
  expect(unmap(fd, ioas_id, iova, 0x2000n)).toBe(0x2000n);
  fd.task.close(dmabuf);
  fd.close();
  expect(world.ram.used).toBeLessThan(used);
});

test('VFIO on an iommufd tells its extensions, and makes its maps and cuts', () => {
  const world = new World();
  const task = world.task();
  const fd = new Iommufd(world, task, openVfioCompat(world.subsystem));
  const vfio = (nr: number, arg: bigint) => fd.ioctl(0x3b64 + nr, arg);
  expect(vfio(0, 0n)).toBe(0);
  expect([1n, 3n, 9n, 6n].map((type) => vfio(1, type))).toEqual([1, 1, 1, 0]);
  expect([vfio(1, 4n), vfio(2, 1n), vfio(2, 3n)]).toEqual([ENODEV, ENODEV, ENODEV]);
  const ioas = ioasAlloc(fd);
  fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { ioas_id: ioas, op: 1 });
  expect(vfio(1, 4n)).toBe(1);
  expect(vfio(2, 7n)).toBe(EINVAL);
  expect(vfio(2, 1n)).toBe(0);
  const dev = mock(fd, ioas);
  const struct = (...u64s: bigint[]) =>
    poke(task, ARG, new Uint8Array(new BigUint64Array(u64s).buffer));
  const mapDma = (flags: bigint, iova: bigint, size: bigint) => {
    struct(32n | (flags << 32n), BUFFER, iova, size);
    return vfio(13, ARG);
  };
  const unmapDma = (iova: bigint, size: bigint, flags = 0n) => {
    struct(24n | (flags << 32n), iova, size);
    const rc = vfio(14, ARG);
    return [rc, new DataView(peek(task, ARG + 16n, 8).buffer).getBigUint64(0, true)];
  };
  expect(mapDma(8n, APERTURE, PAGE)).toBe(EINVAL);
  expect(mapDma(3n, APERTURE, 0x8000n)).toBe(0);
  expect(checkMap(fd, dev.hwpt, APERTURE, 0x8000n, BUFFER)).toBeUndefined();
  expect(unmapDma(APERTURE + 0x2000n, 0x2000n)).toEqual([0, 0x2000n]);
  expect(checkMap(fd, dev.hwpt, APERTURE + 0x4000n, 0x4000n, BUFFER + 0x4000n)).toBeUndefined();
  expect(unmapDma(APERTURE + 0x2000n, 0x2000n)).toEqual([0, 0n]);
  expect(unmapDma(APERTURE, 0x800n)).toEqual([EINVAL, 0x800n]);
  expect(unmapDma(0n, 0n)).toEqual([EINVAL, 0n]);
  expect(unmapDma(1n, 0n, 2n)[0]).toBe(EINVAL);
  expect(unmapDma(0n, 0n, 2n)).toEqual([0, 0x6000n]);
  expect(world.frames.totalPins).toBe(0);

  for (const argsz of [16, 24, 40, 71, 72]) {
    poke(task, ARG, new Uint8Array(96).fill(0xee));
    poke(task, ARG, new Uint8Array(new Uint32Array([argsz]).buffer));
    expect(vfio(12, ARG)).toBe(0);
    const info = new DataView(peek(task, ARG, 96).buffer);
    expect([info.getUint32(0, true), info.getUint32(4, true)]).toEqual([72, 3]);
    expect(info.getBigUint64(8, true)).toBe(0x1fffff_f000n);
    if (argsz >= 20) expect(info.getUint32(16, true)).toBe(argsz >= 72 ? 24 : 0);
    expect(info.getUint8(argsz)).toBe(0xee);
  }
  fd.close();
});
