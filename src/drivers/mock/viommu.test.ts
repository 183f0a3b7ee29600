/** The vIOMMU of the mock driver (iommufd.md 5.2). */
import { describe, expect, test } from 'vitest';
import { SELFTEST, VIOMMU, array, data, selftest, words } from '../../testing/drivers/mock-data.ts';
import { must } from '../../testing/base/must.ts';
import { E2BIG, EEXIST, EFAULT, EINVAL, EIO, ENOENT, EOPNOTSUPP } from '../../base/errno.ts';
import type { SharedPages } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import {
  attachDevice,
  detachDevice,
  iommuMap,
  pagingDomainAllocFlags,
  type Device,
  type HwQueueCore,
  type UserArray,
  type VdeviceCore,
  type ViommuCore,
} from '../../core/index.ts';
import { mockDeviceOf, mockReportVevent, type MockDriver } from './index.ts';

interface Virtual {
  readonly mock: MockDriver;
  readonly dev: Device;
  readonly viommu: ViommuCore;
  readonly vdevices: Map<bigint, VdeviceCore>;
  readonly events: Uint8Array[];
  readonly freed: string[];
  readonly pageBytes: Uint8Array;
}

function virtual(): Virtual {
  const { mock, dev } = selftest();
  const vdevices = new Map<bigint, VdeviceCore>();
  const events: Uint8Array[] = [];
  const freed: string[] = [];
  const pageBytes = new Uint8Array(8192);
  const pages: SharedPages = {
    length: 8192,
    read: (offset, into) => into.set(pageBytes.subarray(offset, offset + into.length)),
    write: (offset, from) => pageBytes.set(from, offset),
    free: () => freed.push('pages'),
  };
  const viommu: ViommuCore = {
    type: VIOMMU,
    iommuDev: dev.iommu!.iommuDev!,
    parent: must(pagingDomainAllocFlags(dev, 1)),
    ops: {},
    priv: undefined,
    vdevices,
    reportEvent(_type, bytes) {
      events.push(bytes);
      return undefined;
    },
    mmapAlloc: () => 0x1000n,
    mmapDestroy: () => freed.push('mmap'),
    newPages: () => pages,
  };
  return { mock, dev, viommu, vdevices, events, freed, pageBytes };
}

describe('the vIOMMU', () => {
  test('a vIOMMU is of one type only', () => {
    const { mock, dev } = virtual();
    expect(mock.ops.viommuSupports!(dev, VIOMMU)).toBe(true);
    expect(mock.ops.viommuSupports!(dev, 1)).toBe(false);
  });
  test('a vIOMMU publishes a page that holds what the user gave', () => {
    const v = virtual();
    const copied: Uint8Array[] = [];
    const user = {
      ...data(VIOMMU, 42, 0, 0, 0, 0, 0),
      copyBack(bytes: Uint8Array) {
        copied.push(bytes);
        return undefined;
      },
    };
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, user)).toBeUndefined();
    expect(copied).toEqual([words(42, 42, 0x1000, 0, 8192, 0)]);
    expect(v.pageBytes[0]).toBe(42);
    v.viommu.ops.destroy!(v.viommu);
    expect(v.freed).toEqual(['pages']);
  });
  test('a vIOMMU takes everything back when the answer cannot be copied', () => {
    const v = virtual();
    const user = { ...data(VIOMMU, 42, 0), copyBack: () => refuse(EFAULT, 'unreadable') };
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, user)).toBe(EFAULT);
    expect(v.freed).toEqual(['mmap', 'pages']);
  });
  test('a vIOMMU with data of another type, shorter or longer than its struct, is EINVAL', () => {
    const v = virtual();
    for (const user of [data(1, 1, 0), data(VIOMMU, 1), data(VIOMMU, 1, 0, 0, 0, 0, 0, 0)]) {
      expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, user)).toBe(EINVAL);
    }
  });
  test('a nested domain of a vIOMMU takes devices with a virtual id only, else ENOENT', () => {
    const v = virtual();
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, undefined)).toBeUndefined();
    const nested = must(v.viommu.ops.allocDomainNested!(v.viommu, 0, data(SELFTEST, 1)));
    nested.owner = v.mock.ops;
    expect(attachDevice(nested, v.dev)).toBe(ENOENT);
    expect(mockReportVevent(v.dev)).toBe(ENOENT);
    v.vdevices.set(9n, { dev: v.dev, virtId: 9n, priv: undefined });
    expect(attachDevice(nested, v.dev)).toBeUndefined();
    expect(mockReportVevent(v.dev)).toBeUndefined();
    expect(v.events).toEqual([words(9)]);
    detachDevice(nested, v.dev);
    expect(mockReportVevent(v.dev)).toBe(ENOENT);
  });
});

describe('the vIOMMU at work', () => {
  test.for([
    { what: 'one word', entry: [0, 9, 1], done: 1, status: undefined },
    { what: 'all words', entry: [1, 9, 0], done: 1, status: undefined },
    { what: 'an unknown flag', entry: [2, 9, 0], done: 0, status: EOPNOTSUPP },
    { what: 'no such word', entry: [0, 9, 4], done: 0, status: EINVAL },
    { what: 'no such device', entry: [0, 8, 0], done: 0, status: EINVAL },
  ])('an invalidation with $what of a device has $done done', ({ entry, done, status }) => {
    const v = virtual();
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, undefined)).toBeUndefined();
    v.vdevices.set(9n, { dev: v.dev, virtId: 9n, priv: undefined });
    expect(v.viommu.ops.cacheInvalidate!(v.viommu, array(VIOMMU, entry))).toEqual({ done, status });
    const zeros = mockDeviceOf(v.dev).cache.filter((word) => word === 0).length;
    expect(zeros).toBe(done === 0 ? 0 : entry[0] === 1 ? 4 : 1);
  });
  test('an invalidation of another type is EINVAL, of no entries is fine, and an entry too long ends it all', () => {
    const v = virtual();
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, undefined)).toBeUndefined();
    const run = (entries: UserArray) => v.viommu.ops.cacheInvalidate!(v.viommu, entries);
    expect(run(array(0xdadbeef))).toEqual({ done: 0, status: EINVAL });
    expect(run(array(VIOMMU))).toEqual({ done: 0, status: undefined });
    v.vdevices.set(9n, { dev: v.dev, virtId: 9n, priv: undefined });
    expect(run(array(VIOMMU, [0, 9, 0], [0, 9, 0, 1]))).toEqual({ done: 0, status: E2BIG });
  });
  test('a hardware queue is refused by its order, its place and its address', () => {
    const v = virtual();
    expect(v.mock.ops.viommuInit!(v.viommu, v.viommu.parent, undefined)).toBeUndefined();
    expect(iommuMap(v.viommu.parent, 0x100_0000n, 0x20_0000n, 0x1000n, 3)).toBeUndefined();
    const queueAt = (index: number): HwQueueCore => ({
      type: VIOMMU,
      index,
      baseAddr: 0x100_0000n,
      length: 4096n,
      priv: undefined,
    });
    const init = (queue: HwQueueCore, pa = 0x20_0000n) =>
      v.viommu.ops.hwQueueInitPhys!(v.viommu, queue, queue.index, pa);
    const [first, second] = [queueAt(0), queueAt(1)];
    expect(v.viommu.ops.hwQueueSupports!(v.viommu, VIOMMU)).toBe(true);
    expect(init(queueAt(2))).toBe(EINVAL);
    expect(init(second)).toBe(EIO);
    expect(init(first, 0x30_0000n)).toBe(EFAULT);
    expect(init(first)).toBeUndefined();
    expect(init(queueAt(0))).toBe(EEXIST);
    expect(init(second)).toEqual({ dependsOn: first });
    first.destroy?.();
    expect(init(first)).toBeUndefined();
  });
});
