/** VFIO type1 on an iommufd (iommufd.md chapter 6, 3.7): every request, its errnos in order, and what it writes. */
import { describe, expect, test } from 'vitest';
import {
  EADDRINUSE,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOTTY,
  EOVERFLOW,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { IOMMU_CAP_ENFORCE_CACHE_COHERENCY } from '../../src/core/contract/driver.ts';
import { createMockDriver } from '../../src/drivers/mock/index.ts';
import { deviceAttach, deviceBind } from '../../src/iommufd/device.ts';
import { ctxFromFile, openVfioCompat } from '../../src/iommufd/main.ts';
import { vfioCompatSetNoIommu } from '../../src/iommufd/compat/vfio-compat.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as v from '../../src/uapi/vfio.ts';
import { checkMap, ioasAlloc, map, mock, unmap } from '../../src/testing/iommufd/calls.ts';
import { ARG, ARG_READ_ONLY, BUFFER, peek, poke } from '../../src/testing/iommufd/process.ts';
import { Iommufd, World } from '../../src/testing/iommufd/world.ts';

const PAGE = 0x1000n;
const APERTURE = 0x100_0000n;
const READ_WRITE = 3;

function play(fd: Iommufd): number {
  const ioas_id = ioasAlloc(fd);
  fd.must(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, { op: 1, ioas_id });
  return ioas_id;
}
const extension = (fd: Iommufd, type: number) => fd.ioctl(v.VFIO_CHECK_EXTENSION, BigInt(type));
const setIommu = (fd: Iommufd, type: number) => fd.ioctl(v.VFIO_SET_IOMMU, BigInt(type));

interface Dma {
  readonly argsz?: number;
  readonly flags?: number;
  readonly vaddr?: bigint;
  readonly iova?: bigint;
  readonly size?: bigint;
}
function mapDma(fd: Iommufd, values: Dma): unknown {
  const raw = v.vfio_iommu_type1_dma_map.view(new Uint8Array(32));
  Object.assign(raw, { argsz: 32, flags: READ_WRITE, vaddr: BUFFER, size: PAGE }, values);
  poke(fd.task, ARG, raw.bytes);
  const rc = fd.ioctl(v.VFIO_IOMMU_MAP_DMA, ARG);
  expect(peek(fd.task, ARG, 32)).toEqual(raw.bytes);
  return rc;
}
/** The result and the size afterwards. */
function unmapDma(fd: Iommufd, values: Dma): readonly [unknown, bigint] {
  const raw = v.vfio_iommu_type1_dma_unmap.view(new Uint8Array(24));
  Object.assign(raw, { argsz: 24, size: PAGE }, values);
  poke(fd.task, ARG, raw.bytes);
  const rc = fd.ioctl(v.VFIO_IOMMU_UNMAP_DMA, ARG);
  return [rc, v.vfio_iommu_type1_dma_unmap.view(peek(fd.task, ARG, 24)).size];
}

describe('without an IOAS', () => {
  const fd = new World().open();
  test('without an IOAS the version and the extensions are told, the rest is ENODEV', () => {
    expect(fd.ioctl(v.VFIO_GET_API_VERSION, 0n)).toBe(0);
    const ones = [1, 3, 9, 8].map((type) => extension(fd, type));
    expect(ones).toEqual([1, 1, 1, 1]);
    expect([0, 2, 5, 6, 7, 10, 11].map((type) => extension(fd, type))).toEqual(Array(7).fill(0));
    expect([extension(fd, 4), setIommu(fd, 1), setIommu(fd, 3)]).toEqual([ENODEV, ENODEV, ENODEV]);
    expect([mapDma(fd, {}), unmapDma(fd, {})[0]]).toEqual([ENODEV, ENODEV]);
    poke(fd.task, ARG, Uint8Array.of(16, 0, 0, 0));
    expect(fd.ioctl(v.VFIO_IOMMU_GET_INFO, ARG)).toBe(ENODEV);
  });
  test('without an IOAS the struct is looked at first', () => {
    expect(mapDma(fd, { argsz: 31 })).toBe(EINVAL);
    expect(unmapDma(fd, { argsz: 23 })[0]).toBe(EINVAL);
    for (const cmd of [v.VFIO_IOMMU_MAP_DMA, v.VFIO_IOMMU_UNMAP_DMA, v.VFIO_IOMMU_GET_INFO]) {
      expect(fd.ioctl(cmd, 0n)).toBe(EFAULT);
    }
  });
  test('DIRTY_PAGES and what belongs to groups is ENOTTY on an iommufd', () => {
    for (const cmd of [0x3b75, 0x3b67, 0x3b6a, 0x3b73, 0x3b7f]) {
      expect(fd.ioctl(cmd, ARG)).toBe(ENOTTY);
    }
  });
});

test('SET_IOMMU of other types is EINVAL before there is an IOAS or not', () => {
  const fd = new World().open();
  for (const type of [0, 2, 4, 6, 7, 8]) expect(setIommu(fd, type)).toBe(EINVAL);
  play(fd);
  for (const type of [0, 2, 4, 6, 7, 8]) expect(setIommu(fd, type)).toBe(EINVAL);
  expect([setIommu(fd, 3), setIommu(fd, 3), setIommu(fd, 1)]).toEqual([0, 0, 0]);
});

test('SET_IOMMU of type 1 switches large pages off, and says when it cannot', () => {
  const fd = new World().open();
  const ioas = play(fd);
  const huge = () =>
    fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { option_id: 1, op: 1, object_id: ioas }).val64;
  expect([setIommu(fd, 3), huge()]).toEqual([0, 1n]);
  map(fd, ioas, BUFFER + 1n, 1n, 1n);
  expect([setIommu(fd, 1), huge()]).toEqual([EADDRINUSE, 1n]);
  unmap(fd, ioas, 0n, U64_MAX);
  expect([setIommu(fd, 1), huge()]).toEqual([0, 0n]);
  const busy = new World().open();
  const other = play(busy);
  mock(busy, other);
  map(busy, other, BUFFER, PAGE, APERTURE);
  expect(setIommu(busy, 1)).toBe(EINVAL);
});

test('in no-iommu mode nothing is there but type 8', () => {
  const fd = new World().open();
  expect(vfioCompatSetNoIommu(ctxFromFile(fd.file)!)).toBeUndefined();
  expect([1, 3, 9].map((type) => extension(fd, type))).toEqual([0, 0, 0]);
  expect(extension(fd, 8)).toBe(1);
  expect([setIommu(fd, 1), setIommu(fd, 3), setIommu(fd, 8)]).toEqual([EINVAL, EINVAL, 0]);
  expect(mapDma(fd, {})).toBe(ENODEV);
});

test('DMA_CC is told when every hwpt enforces coherency, or there is none', () => {
  const world = new World();
  const fd = world.open();
  const ioas = play(fd);
  expect(extension(fd, v.VFIO_DMA_CC_IOMMU)).toBe(1);
  const driver = createMockDriver(world.core, { name: 'snooping' });
  const fwnode = {};
  driver.registerInstance({ name: 'snooping0', fwnode });
  driver.domainKnobs.enforceCoherency = true;
  const capabilities = [IOMMU_CAP_ENFORCE_CACHE_COHERENCY];
  const dev = driver.addDevice({
    config: { name: 'dev', bus: 'pci' },
    fwnode,
    knobs: { capabilities },
  });
  const idev = deviceBind(ctxFromFile(fd.file)!, dev);
  if (isErrno(idev)) throw new Error(idev.name);
  expect(isErrno(deviceAttach(idev, 0, ioas))).toBe(false);
  expect(extension(fd, v.VFIO_DMA_CC_IOMMU)).toBe(1);
  mock(fd, ioas);
  expect(extension(fd, v.VFIO_DMA_CC_IOMMU)).toBe(0);
});

test('/dev/vfio/vfio charges the address space from the start, /dev/iommu the user', () => {
  const world = new World();
  const task = world.task();
  const mode = (fd: Iommufd) =>
    fd.must(uapi.IOMMU_OPTION, uapi.iommu_option, { op: uapi.IOMMU_OPTION_OP_GET }).val64;
  expect(mode(new Iommufd(world, task, openVfioCompat(world.subsystem)))).toBe(1n);
  expect(mode(world.open(task))).toBe(0n);
});

describe('MAP_DMA', () => {
  test.for<[string, Dma, Errno | 0]>([
    ['argsz one short', { argsz: 31 }, EINVAL],
    ['a longer argsz', { argsz: 4096 }, 0],
    ['flag 4', { flags: 4 }, EINVAL],
    ['user_va wraps', { vaddr: U64_MAX - 0xffen }, EOVERFLOW],
    ['size 0', { size: 0n }, EINVAL],
    ['size 2^64-1', { vaddr: 0n, size: U64_MAX }, EINVAL],
    ['size misaligned', { size: 1n }, EINVAL],
    ['iova misaligned', { iova: APERTURE + 1n }, EINVAL],
    ['iova 2^64-1, which MAP would call EOVERFLOW', { iova: U64_MAX }, EINVAL],
    ['iova wraps', { iova: U64_MAX - 0x7ffn }, EOVERFLOW],
    ['reserved there', { iova: 0n }, EINVAL],
    ['nothing at vaddr', { vaddr: 0xdead_0000n }, EFAULT],
    ['neither read nor write', { flags: 0 }, EINVAL],
    ['as it should be', {}, 0],
  ])('MAP_DMA on an iommufd: %s', ([, values, result]) => {
    const fd = new World().open();
    const ioas = play(fd);
    mock(fd, ioas);
    expect(mapDma(fd, { iova: APERTURE, ...values })).toBe(result);
    expect(fd.world.frames.totalPins).toBe(result === 0 ? 1 : 0);
  });
  test('MAP_DMA on an iommufd maps memory where it was told', () => {
    const fd = new World().open();
    play(fd);
    expect([mapDma(fd, { iova: PAGE }), mapDma(fd, { iova: PAGE })]).toEqual([0, EEXIST]);
  });
});

describe('UNMAP_DMA', () => {
  /** Three pages from 1 on, one more at 8. */
  function mapped(type: 1 | 3) {
    const fd = new World().open();
    play(fd);
    expect(setIommu(fd, type)).toBe(0);
    expect(mapDma(fd, { iova: PAGE, size: 3n * PAGE })).toBe(0);
    expect(mapDma(fd, { iova: 8n * PAGE, vaddr: BUFFER + 8n * PAGE })).toBe(0);
    return fd;
  }
  test.for<[string, 1 | 3, Dma, unknown, bigint]>([
    ['argsz one short', 3, { argsz: 23, iova: PAGE }, EINVAL, PAGE],
    ['flag 1, which is of the real type1', 3, { flags: 1, iova: PAGE }, EINVAL, PAGE],
    ['all, with an iova', 3, { flags: 2, iova: PAGE, size: 0n }, EINVAL, 0n],
    ['all, with a size', 3, { flags: 2 }, EINVAL, PAGE],
    ['all', 3, { flags: 2, size: 0n }, 0, 4n * PAGE],
    ['size 0', 3, { iova: PAGE, size: 0n }, EINVAL, 0n],
    ['wraps', 3, { iova: U64_MAX, size: 2n }, EOVERFLOW, 0n],
    ['nothing there', 3, { iova: 0x10_0000n }, 0, 0n],
    ['one mapping', 3, { iova: PAGE, size: 3n * PAGE }, 0, 3n * PAGE],
    ['both, with holes', 3, { iova: 0n, size: 16n * PAGE }, 0, 4n * PAGE],
    ['to the end of the address space', 3, { iova: PAGE, size: U64_MAX - PAGE + 1n }, 0, 4n * PAGE],
    ['a part, type1v2', 3, { iova: PAGE }, ENOENT, 0n],
    ['one and a part, type1v2', 3, { iova: PAGE, size: 4n * PAGE - 1n }, 0, 3n * PAGE],
    ['the first part, type1', 1, { iova: PAGE }, 0, PAGE],
    ['the middle, type1', 1, { iova: 2n * PAGE }, 0, PAGE],
    ['the last part, type1', 1, { iova: 3n * PAGE }, 0, PAGE],
    [
      'from inside one over the other, type1',
      1,
      { iova: 2n * PAGE, size: 7n * PAGE },
      0,
      3n * PAGE,
    ],
    ['a cut inside a page, type1', 1, { iova: PAGE, size: 0x800n }, EINVAL, 0x800n],
    [
      'a cut inside a page at the start, type1',
      1,
      { iova: 0x1800n, size: 0x2800n },
      EINVAL,
      0x2800n,
    ],
  ])('UNMAP_DMA on an iommufd: %s', ([, type, values, result, size]) => {
    const fd = mapped(type);
    expect(unmapDma(fd, values)).toEqual([result, size]);
  });
  test('a size of UNMAP_DMA that cannot be written back is EFAULT, and all is unmapped', () => {
    const fd = mapped(3);
    const raw = v.vfio_iommu_type1_dma_unmap.view(new Uint8Array(24));
    Object.assign(raw, { argsz: 24, iova: PAGE, size: 3n * PAGE });
    poke(fd.task, ARG, raw.bytes);
    expect(fd.ioctl(v.VFIO_IOMMU_UNMAP_DMA, ARG_READ_ONLY)).toBe(EFAULT);
    expect(unmapDma(fd, { iova: PAGE, size: 3n * PAGE })).toEqual([0, 0n]);
  });
  test('the pieces of a cut show the memory they showed, and can be cut again', () => {
    const fd = new World().open();
    const ioas = play(fd);
    expect(setIommu(fd, 1)).toBe(0);
    const { hwpt } = mock(fd, ioas);
    expect(mapDma(fd, { iova: APERTURE, size: 8n * PAGE })).toBe(0);
    for (const n of [3n, 5n, 4n]) {
      expect(unmapDma(fd, { iova: APERTURE + n * PAGE })).toEqual([0, PAGE]);
    }
    expect(fd.world.frames.totalPins).toBe(5);
    expect(checkMap(fd, hwpt, APERTURE, 3n * PAGE, BUFFER)).toBeUndefined();
    const rest = 6n * PAGE;
    expect(checkMap(fd, hwpt, APERTURE + rest, 2n * PAGE, BUFFER + rest)).toBeUndefined();
    expect(unmapDma(fd, { flags: 2, size: 0n })).toEqual([0, 5n * PAGE]);
    expect(fd.world.frames.totalPins).toBe(0);
  });
});
