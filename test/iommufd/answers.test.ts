/** What comes back to the caller, and what a command has done when its answer cannot be written (iommufd.md 1.4). */
import { describe, expect, test } from 'vitest';
import {
  EBUSY,
  EFAULT,
  EINVAL,
  EMFILE,
  ENOENT,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { deviceAttach, deviceBind } from '../../src/iommufd/device.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  only,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARG, ARRAY, BUFFER, peek, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const APERTURE = 0x100_0000n;
const PAGE = 0x1000n;
const RW = uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE;
const FIXED = RW | uapi.IOMMU_IOAS_MAP_FIXED_IOVA;

interface Scene {
  readonly fd: Iommufd;
  readonly ioas: number;
  readonly idev: number;
  readonly dirty: number;
  readonly parent: number;
  readonly viommu: number;
  readonly nested: number;
  readonly memfd: number;
}

/** One page mapped at the aperture; hwpts of every kind; a vIOMMU without vDEVICE. */
function scene(): Scene {
  const world = new World();
  const fd = world.open();
  const ioas = ioasAlloc(fd);
  const { idev } = mock(fd, ioas);
  const hwpt = (flags: number): number => hwptAlloc(fd, idev, ioas, { flags }) as number;
  const dirty = hwpt(uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
  const parent = hwpt(uapi.IOMMU_HWPT_ALLOC_NEST_PARENT);
  const viommu = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: idev,
    hwpt_id: parent,
  }).out_viommu_id;
  poke(fd.task, ARRAY, new Uint8Array(24));
  const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
  const nested = hwptAlloc(fd, idev, parent, data) as number;
  const memfd = fd.task.installFile(world.memfd(4));
  expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
  return { fd, ioas, idev, dirty, parent, viommu, nested, memfd };
}

type Call = (s: Scene) => unknown;

const mapFile: Call = ({ fd, ioas, memfd }) =>
  fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, {
    flags: FIXED,
    ioas_id: ioas,
    fd: memfd,
    length: PAGE,
    iova: APERTURE + PAGE,
  });
const copy: Call = ({ fd, ioas }) =>
  fd.call(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, {
    flags: FIXED,
    dst_ioas_id: ioas,
    src_ioas_id: ioas,
    length: PAGE,
    src_iova: APERTURE,
    dst_iova: APERTURE + PAGE,
  });

/** A command whose answer cannot be written is undone when it makes an object … */
const UNDONE: readonly [name: string, call: Call][] = [
  ['IOAS_ALLOC', ({ fd }) => fd.call(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, {})],
  ['HWPT_ALLOC, paging', ({ fd, idev, ioas }) => hwptAlloc(fd, idev, ioas)],
  [
    'HWPT_ALLOC, nested',
    ({ fd, idev, parent }) =>
      hwptAlloc(fd, idev, parent, {
        data_type: t.IOMMU_HWPT_DATA_SELFTEST,
        data_len: 4,
        data_uptr: ARRAY,
      }),
  ],
  ['FAULT', ({ fd }) => fd.call(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {})],
  [
    'VIOMMU_ALLOC, with data',
    ({ fd, idev, parent }) =>
      fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
        type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
        dev_id: idev,
        hwpt_id: parent,
        data_len: 24,
        data_uptr: ARRAY,
      }),
  ],
  [
    'VDEVICE_ALLOC',
    ({ fd, idev, viommu }) =>
      fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, {
        viommu_id: viommu,
        dev_id: idev,
        virt_id: 9n,
      }),
  ],
  [
    'VEVENTQ_ALLOC',
    ({ fd, viommu }) =>
      fd.call(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
        viommu_id: viommu,
        type: 1,
        veventq_depth: 1,
      }),
  ],
  [
    'HW_QUEUE_ALLOC',
    ({ fd, viommu }) =>
      fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
        viommu_id: viommu,
        type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
        nesting_parent_iova: APERTURE,
        length: PAGE,
      }),
  ],
];

test.for(UNDONE)('%s without an answer is EFAULT, and undone', ([, call]) => {
  const s = scene();
  const { fd } = s;
  const next = ioasAlloc(fd);
  expect(destroy(fd, next)).toBeUndefined();
  const fds = fd.task.fds.size;
  const used = fd.world.ram.used;
  fd.flaws = { place: 'read-only' };
  expect(call(s)).toBe(EFAULT);
  fd.flaws = {};
  expect([fd.task.fds.size, fd.world.ram.used]).toEqual([fds, used]);
  expect(fd.world.sharedPagesFreed).toBe(fd.world.sharedPagesMade);
  // Whatever it held is free again: the same call works, with the id it had.
  expect(isErrno(call(s))).toBe(false);
});

/** … and stays done when it changes one. */
const DONE: readonly [name: string, call: Call, check: (s: Scene) => void][] = [
  [
    'MAP',
    ({ fd, ioas }) => map(fd, ioas, BUFFER, PAGE, APERTURE + PAGE),
    ({ fd, ioas }) => expect(unmap(fd, ioas, APERTURE + PAGE, PAGE)).toBe(PAGE),
  ],
  [
    'MAP_FILE',
    mapFile,
    ({ fd, ioas }) => expect(unmap(fd, ioas, APERTURE + PAGE, PAGE)).toBe(PAGE),
  ],
  ['COPY', copy, ({ fd, ioas }) => expect(unmap(fd, ioas, APERTURE + PAGE, PAGE)).toBe(PAGE)],
  [
    'UNMAP',
    ({ fd, ioas }) => unmap(fd, ioas, APERTURE, PAGE),
    ({ fd, ioas }) => expect(unmap(fd, ioas, APERTURE, PAGE)).toBe(ENOENT),
  ],
  [
    'OPTION SET',
    ({ fd, ioas }) => {
      const empty = { option_id: uapi.IOMMU_OPTION_HUGE_PAGES, object_id: ioas, val64: 1n };
      return fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, empty);
    },
    () => undefined,
  ],
];

test.for(DONE)('%s without an answer is EFAULT, and done', ([, call, check]) => {
  const s = scene();
  s.fd.flaws = { place: 'read-only' };
  expect(call(s)).toBe(EFAULT);
  s.fd.flaws = {};
  check(s);
  s.fd.close();
  expect(s.fd.world.frames.totalPins).toBe(0);
});

const ASKING: readonly [name: string, call: Call][] = [
  [
    'IOVA_RANGES',
    ({ fd, ioas }) =>
      fd.call(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, { ioas_id: ioas }),
  ],
  [
    'GET_HW_INFO',
    ({ fd, idev }) => fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, { dev_id: idev }),
  ],
  [
    'OPTION GET',
    ({ fd, ioas }) =>
      fd.call(uapi.IOMMU_OPTION, uapi.iommu_option, { option_id: 1, op: 1, object_id: ioas }),
  ],
  [
    'VFIO_IOAS GET',
    ({ fd, ioas }) => {
      const { flaws } = fd;
      fd.flaws = {};
      fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1, ioas_id: ioas });
      fd.flaws = flaws;
      return fd.call(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, {});
    },
  ],
  [
    'HWPT_INVALIDATE, even when it fails',
    ({ fd, nested }) =>
      fd.call(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, {
        hwpt_id: nested,
        data_type: 77,
      }),
  ],
];

test.for(ASKING)('%s without an answer is EFAULT', ([, call]) => {
  const s = scene();
  s.fd.flaws = { place: 'read-only' };
  expect(call(s)).toBe(EFAULT);
});

/** Commands that write nothing back do not care where their struct is. */
const SILENT: readonly [name: string, call: Call][] = [
  ['DESTROY', ({ fd, nested }) => destroy(fd, nested)],
  [
    'ALLOW_IOVAS',
    ({ fd, ioas }) =>
      only(fd.call(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, { ioas_id: ioas })),
  ],
  [
    'CHANGE_PROCESS',
    ({ fd, ioas }) => {
      const { flaws } = fd;
      fd.flaws = {};
      unmap(fd, ioas, APERTURE, PAGE);
      fd.flaws = flaws;
      return only(fd.call(uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommu_ioas_change_process, {}));
    },
  ],
  [
    'SET_DIRTY_TRACKING',
    ({ fd, dirty }) =>
      only(
        fd.call(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, {
          hwpt_id: dirty,
          flags: 1,
        }),
      ),
  ],
  [
    'GET_DIRTY_BITMAP',
    ({ fd, dirty }) =>
      only(
        fd.call(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, {
          hwpt_id: dirty,
          iova: APERTURE,
          length: PAGE,
          page_size: 2048n,
          data: ARRAY,
        }),
      ),
  ],
  [
    'VFIO_IOAS SET',
    ({ fd, ioas }) =>
      only(fd.call(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1, ioas_id: ioas })),
  ],
  [
    'VFIO_IOAS CLEAR',
    ({ fd }) => only(fd.call(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 2 })),
  ],
];

test.for(SILENT)('%s writes nothing back', ([, call]) => {
  const s = scene();
  s.fd.flaws = { place: 'read-only' };
  expect(call(s)).toBeUndefined();
});

test('GET_PA without an answer is EFAULT', () => {
  const world = new World();
  const fd = world.open();
  const ioas_id = ioasAlloc(fd);
  const idev = deviceBind(ctxFromFile(fd.file)!, world.noiommuDevice());
  if (isErrno(idev)) throw new Error(idev.name);
  deviceAttach(idev, 0, ioas_id);
  map(fd, ioas_id, BUFFER, PAGE, PAGE);
  const ask = { ioas_id, iova: PAGE, length: 1n };
  const getPa = () => fd.call(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, ask);
  expect(isErrno(getPa())).toBe(false);
  fd.flaws = { place: 'read-only' };
  expect(getPa()).toBe(EFAULT);
});

test.for(['FAULT', 'VEVENTQ_ALLOC'])(
  '%s without a free descriptor is EMFILE, tells nothing and is undone',
  (name) => {
    const s = scene();
    const { fd } = s;
    const [, call] = UNDONE.find(([other]) => other === name)!;
    const struct = () => peek(fd.task, ARG, 32);
    const installFile = fd.task.installFile.bind(fd.task);
    fd.task.installFile = () => EMFILE as never;
    expect(call(s)).toBe(EMFILE);
    const told = new Uint32Array(struct().buffer).slice(2, name === 'FAULT' ? 4 : 8);
    expect([...told]).toEqual(name === 'FAULT' ? [0, 0] : [s.viommu, 1, 1, 0, 0, 0]);
    fd.task.installFile = installFile;
    const next = s.nested + 1;
    expect(isErrno(call(s))).toBe(false);
    expect(destroy(fd, next)).toBe(EBUSY);
  },
);

describe('how much is written', () => {
  /** Call with a struct of `size` bytes in front of a canary; what stands behind it afterwards. */
  function call(fd: Iommufd, cmd: number, size: number, fields: readonly number[]) {
    const bytes = new Uint8Array(128).fill(0xee);
    bytes.set(new Uint8Array(new Uint32Array([size, ...fields]).buffer).subarray(0, size));
    poke(fd.task, ARG, bytes);
    const rc = fd.ioctl(cmd, ARG);
    const after = peek(fd.task, ARG, 128);
    expect(after.subarray(size).every((byte) => byte === 0xee)).toBe(true);
    return { rc, view: new DataView(after.buffer) };
  }
  test('a shorter struct gets as many bytes as it has, and fields it lacks are 0', () => {
    const { fd, idev, ioas, parent, nested } = scene();
    const info = call(fd, uapi.IOMMU_GET_HW_INFO, 32, [0, idev, 0, 0, 0, 0, 0]);
    expect([info.rc, info.view.getUint32(24, true)]).toEqual([0, t.IOMMU_HW_INFO_TYPE_SELFTEST]);
    const hwpt = call(fd, uapi.IOMMU_HWPT_ALLOC, 24, [0, idev, ioas, 0, 0]);
    expect([hwpt.rc, hwpt.view.getUint32(16, true)]).toEqual([0, nested + 1]);
    const type = t.IOMMU_VIOMMU_TYPE_SELFTEST;
    const viommu = call(fd, uapi.IOMMU_VIOMMU_ALLOC, 24, [0, type, idev, parent, 0]);
    expect([viommu.rc, viommu.view.getUint32(20, true)]).toEqual([0, nested + 2]);
    const queue = call(fd, uapi.IOMMU_VEVENTQ_ALLOC, 28, [0, nested + 2, 1, 1, 0, 0]);
    expect([queue.rc, queue.view.getUint32(20, true)]).toEqual([0, nested + 3]);
  });
  test('a longer struct keeps its tail', () => {
    const fd = new World().open();
    const bytes = new Uint8Array(32);
    bytes[0] = 24;
    poke(fd.task, ARG, bytes);
    expect(fd.ioctl(uapi.IOMMU_IOAS_ALLOC, ARG)).toBe(0);
    const after = new Uint32Array(peek(fd.task, ARG, 32).buffer);
    expect([...after]).toEqual([24, 0, 1, 0, 0, 0, 0, 0]);
  });
  test('OPTION writes its value and nothing else', () => {
    const { fd, ioas } = scene();
    fd.flaws = { tail: 0 };
    const bytes = uapi.iommu_option.view(new Uint8Array(24));
    Object.assign(bytes, { size: 24, option_id: 1, op: 1, object_id: ioas, val64: 99n });
    poke(fd.task, ARG, bytes.bytes);
    // Everything but the value stands in a page that cannot be written.
    const split = ARG + 4096n - 16n;
    fd.task.mm.map(ARG + 4096n, 1);
    poke(fd.task, split, bytes.bytes);
    fd.task.mm.pages.get(Number(ARG >> 12n))!.writable = false;
    expect(fd.ioctl(uapi.IOMMU_OPTION, split)).toBe(0);
    expect([...peek(fd.task, ARG + 4096n, 8)]).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
  });
  test('IOVA_RANGES tells the number also when the array is too short', () => {
    const { fd, ioas } = scene();
    const { rc, view } = call(fd, uapi.IOMMU_IOAS_IOVA_RANGES, 32, [ioas, 0, 0, 0, 0, 0, 0]);
    expect(isErrno(rc as Errno) && (rc as Errno).name).toBe('EMSGSIZE');
    expect([view.getUint32(8, true), view.getUint32(24, true)]).toEqual([1, 2048]);
  });
  test('an error writes nothing, but for the count of HWPT_INVALIDATE', () => {
    const { fd, ioas, nested } = scene();
    const failed = call(fd, uapi.IOMMU_IOAS_UNMAP, 24, [ioas, 0x9000, 0, 0x1000, 0]);
    expect([failed.rc, failed.view.getUint32(16, true)]).toEqual([ENOENT, 0x1000]);
    const type = t.IOMMU_HWPT_INVALIDATE_DATA_SELFTEST;
    const array = Number(ARRAY);
    const done = call(fd, uapi.IOMMU_HWPT_INVALIDATE, 32, [nested, array, 0, type, 4, 7, 0]);
    expect([done.rc, done.view.getUint32(24, true)]).toEqual([EINVAL, 0]);
  });
});

test('reserved fields that Linux does not look at may hold anything', () => {
  const { fd, idev, ioas, dirty, parent } = scene();
  expect(
    isErrno(
      fd.call(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, {
        dev_id: idev,
        pt_id: ioas,
        __reserved2: 1,
      }),
    ),
  ).toBe(false);
  const set = { hwpt_id: dirty, flags: 1, __reserved: 1 };
  const dirtyType = uapi.iommu_hwpt_set_dirty_tracking;
  expect(isErrno(fd.call(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, dirtyType, set))).toBe(false);
  const viommu = {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: idev,
    hwpt_id: parent,
    __reserved: 1,
  };
  expect(isErrno(fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, viommu))).toBe(false);
  const test = { op: t.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, __reserved: 1, last: 1 };
  const u = new Uint8Array(48);
  new DataView(u.buffer).setUint32(0, 65536, true);
  expect(isErrno(fd.call(t.IOMMU_TEST_CMD, t.iommu_test_cmd, { ...test, u }))).toBe(false);
});
