/** The mock driver as the kernel's selftest knows it (core.md 10.4, iommufd.md 5.2), and its knobs. */
import { describe, expect, test } from 'vitest';
import { SELFTEST, array, data, selftest, words } from '../../testing/drivers/mock-data.ts';
import { Rig } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { EEXIST, EINVAL, EIO, ENODEV, ENOMEM, EOPNOTSUPP } from '../../base/errno.ts';
import {
  attachDevice,
  attachDevicePasid,
  attachGroup,
  detachDevice,
  detachDevicePasid,
  deviceClaimDmaOwner,
  deviceIommuCapable,
  iommuMap,
  iommuUnmap,
  iovaToPhys,
  nestedDomainAlloc,
  pagingDomainAlloc,
  pagingDomainAllocFlags,
  type Device,
  type Domain,
} from '../../core/index.ts';
import { unanswered } from '../../core/contract/remapping-unit.ts';
import { mockNestedOf, mockPagingOf, createMockDriver, createMockUnit } from './index.ts';

describe('a mock device', () => {
  test('a mock device has a group of its own, on a static blocked domain that is also the default one', () => {
    const { mock, dev } = selftest();
    expect(dev.iommuGroup?.defaultDomain).toBe(mock.ops.blockedDomain);
    expect(dev.iommuGroup?.domain).toBe(mock.ops.blockedDomain);
    expect(mock.ops.identityDomain).toBeUndefined();
    expect(dev.iommu?.maxPasids).toBe(2 ** 20);
  });
  test("a mock device has the capabilities of the kernel's mock", () => {
    const caps = [0, 1, 2, 3, 4, 5, 6];
    const yes = (dev: Device) => caps.filter((cap) => deviceIommuCapable(dev, cap));
    expect(yes(selftest().dev)).toEqual([0, 5]);
    expect(yes(selftest(true).dev)).toEqual([0]);
  });
  test('a mock device is not probed by a driver of another instance, which is ENODEV', () => {
    const { dev } = selftest();
    expect(createMockDriver(dev.core).ops.probeDevice(dev)).toBe(ENODEV);
  });
  test('a mock device tells its hardware information, and no other kind', () => {
    const { mock, dev } = selftest();
    for (const type of [0, 0xfeedbeef]) {
      const info = must(mock.ops.hwInfo!(dev, type));
      expect(info).toEqual({ type: 0xfeedbeef, bytes: words(0, 0xdeadbeef) });
    }
    expect(mock.ops.hwInfo!(dev, 1)).toBe(EOPNOTSUPP);
  });
});

describe('paging domains', () => {
  test('a paging domain of the default type has every power of two from 2 KiB to 64 GiB, and a small aperture', () => {
    const domain = must(pagingDomainAlloc(selftest().dev));
    expect(domain.pgsizeBitmap).toBe(0x1f_ffff_f800n);
    expect(domain.geometry).toEqual({
      apertureStart: 0x100_0000n,
      apertureEnd: 0x7fff_ffffn,
      forceAperture: true,
    });
  });
  test('a paging domain of the huge type has 4 KiB and 1 MiB, and the whole input space', () => {
    const domain = must(pagingDomainAllocFlags(selftest().dev, 0, data(SELFTEST, 0, 1)));
    expect(domain.pgsizeBitmap).toBe(0x10_1000n);
    expect(domain.geometry).toMatchObject({ apertureStart: 0n, apertureEnd: 2n ** 38n - 1n });
  });
  test.for([
    { what: 'an unknown flag', flags: 16, user: undefined, errno: EOPNOTSUPP },
    { what: 'data of another type', flags: 0, user: data(1, 0), errno: EOPNOTSUPP },
    { what: 'an unknown table type', flags: 0, user: data(SELFTEST, 0, 2), errno: EOPNOTSUPP },
    { what: 'data without a word', flags: 0, user: data(SELFTEST), errno: EINVAL },
    { what: 'data that is too long', flags: 0, user: data(SELFTEST, 0, 0, 0), errno: EINVAL },
  ])('a paging domain for $what is $errno', ({ flags, user, errno }) => {
    expect(pagingDomainAllocFlags(selftest().dev, flags, user)).toBe(errno);
  });
  test('dirty tracking needs a device that can, and is EOPNOTSUPP at allocation, EINVAL at attach', () => {
    const { dev, mock } = selftest(true);
    expect(pagingDomainAllocFlags(dev, 2)).toBe(EOPNOTSUPP);
    const other = mock.addDevice({ config: { name: 'mock1', bus: 'platform' } });
    const tracked = must(pagingDomainAllocFlags(other, 2));
    expect(tracked.dirtyOps).toBeDefined();
    expect(attachDevice(tracked, other)).toBeUndefined();
    expect(attachDevice(tracked, dev)).toBe(EINVAL);
  });
  test('dirty tracking is a switch, and a dirty leaf of several items is reported whole', () => {
    const { dev } = selftest();
    const domain = must(pagingDomainAllocFlags(dev, 2));
    expect(domain.dirtyOps!.setDirtyTracking(domain, true)).toBeUndefined();
    expect(mockPagingOf(domain).dirtyTracking).toBe(true);
    expect(iommuMap(domain, 0x100_0000n, 0x20_0000n, 0x1000n, 3)).toBeUndefined();
    expect(domain.pt!.markDirty(0x100_0000 / 2048 + 1)).toBe(true);
    const seen: [number, number][] = [];
    expect(
      domain.pt!.readDirty(0x100_0000 / 2048, 2, true, undefined, (start, length) =>
        seen.push([start, length]),
      ),
    ).toBeUndefined();
    expect(seen).toEqual([[0x100_0000 / 2048, 2]]);
  });
  test('the tables of paging domains go back to RAM when they are freed', () => {
    const { dev } = selftest();
    const used = dev.core.ram.used;
    const domain = must(pagingDomainAlloc(dev));
    expect(iommuMap(domain, 0x100_0000n, 0x20_0000n, 0x1000n, 3)).toBeUndefined();
    domain.ops.free!(domain);
    expect(dev.core.ram.used).toBe(used);
  });
});

describe('a domain without a page table', () => {
  const setup = () => {
    const { mock, dev } = selftest();
    mock.domainKnobs.backing = 'map-pages';
    return { mock, dev };
  };
  test('a domain without a page table maps page by page and fails where it was told to, with the rest undone', () => {
    const { mock, dev } = setup();
    mock.domainKnobs.mapFailure = { afterPages: 3, errno: EIO };
    const domain = must(pagingDomainAlloc(dev));
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x4000n, 3)).toBe(EIO);
    expect(mockPagingOf(domain).pages?.size).toBe(0);
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x3000n, 3)).toBeUndefined();
    expect(iovaToPhys(domain, 0x3456n)).toBe(0x7456n);
    expect(iommuMap(domain, 0x3000n, 0x5000n, 0x1000n, 3)).toBe(EEXIST);
    expect(iommuUnmap(domain, 0x1000n, 0x3000n)).toBe(0x3000n);
    expect(mockPagingOf(domain).syncs).toBeGreaterThan(0);
  });
  test('a domain without a page table has a hole where it was told to', () => {
    const { mock, dev } = setup();
    mock.domainKnobs.unmapHole = 3;
    const domain = must(pagingDomainAlloc(dev));
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x4000n, 3)).toBeUndefined();
    expect(iommuUnmap(domain, 0x1000n, 0x4000n)).toBe(0x2000n);
  });
  test('a domain without a page table fails the sync of a map, which is undone', () => {
    const { mock, dev } = setup();
    mock.domainKnobs.syncMapFailure = ENOMEM;
    const domain = must(pagingDomainAlloc(dev));
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, 3)).toBe(ENOMEM);
    expect(iovaToPhys(domain, 0x1000n)).toBe(0n);
  });
  test('a domain without a page table tracks no dirty pages, which is EOPNOTSUPP', () => {
    expect(pagingDomainAllocFlags(setup().dev, 2)).toBe(EOPNOTSUPP);
  });
});

describe('fault-capable domains', () => {
  const faulty = (dev: Device): Domain => {
    const domain = must(pagingDomainAlloc(dev));
    domain.iopfHandler = () => undefined;
    return domain;
  };
  test('fault-capable domains put the device on the fault queue for as long as one of them is attached', () => {
    const { dev } = selftest();
    const [one, two] = [faulty(dev), faulty(dev)];
    expect(attachDevice(one, dev)).toBeUndefined();
    expect(attachDevicePasid(two, dev, 3)).toBeUndefined();
    expect(dev.iommu?.faultParam).toBeDefined();
    detachDevice(one, dev);
    expect(dev.iommu?.faultParam).toBeDefined();
    detachDevicePasid(two, dev, 3);
    expect(dev.iommu?.faultParam).toBeUndefined();
  });
  test('a fault-capable domain without a queue is ENODEV, which a test foresees', () => {
    const { mock, dev } = selftest();
    mock.setFaultQueue(false);
    const domain = faulty(dev);
    expect(attachDevice(domain, dev)).toBe(ENODEV);
    expect(attachDevicePasid(domain, dev, 3)).toBe(ENODEV);
    using _ = dev.iommuGroup!.mutex.hold();
    expect(domain.ops.testDev!(domain, dev, 0, undefined)).toBe(ENODEV);
  });
});

describe('PASID 1024', () => {
  test('PASID 1024 fails every second set with ENOMEM, and a removal starts anew', () => {
    const { dev } = selftest();
    const set = (domain: Domain) => attachDevicePasid(domain, dev, 1024);
    const domain = must(pagingDomainAlloc(dev));
    expect(set(domain)).toBeUndefined();
    detachDevicePasid(domain, dev, 1024);
    expect(set(domain)).toBeUndefined();
    dev.iommuGroup!.pasidArray.delete(1024);
    expect(set(domain)).toBe(ENOMEM);
    expect(set(domain)).toBeUndefined();
  });
});

describe('a nested domain', () => {
  test('a nested domain on a parent that is no paging domain is EINVAL', () => {
    const { mock, dev } = selftest();
    const parent = mock.ops.blockedDomain!;
    expect(mock.ops.domainAllocNested!(dev, parent, 0, data(SELFTEST, 0))).toBe(EINVAL);
  });
});

describe('nested domains', () => {
  const nest = (dev: Device, flags = 0, user = data(SELFTEST, 7, 0)) =>
    nestedDomainAlloc(dev, must(pagingDomainAllocFlags(dev, 1)), flags, user);

  test('nested domains start with the word the user gave', () => {
    const { dev } = selftest();
    expect(mockNestedOf(must(nest(dev)))?.iotlb).toEqual([7, 7, 7, 7]);
    expect(mockNestedOf(must(nest(dev, 8)))?.iotlb).toEqual([7, 7, 7, 7]);
  });
  test.for([
    { what: 'a flag', flags: 2, user: data(SELFTEST, 0), errno: EOPNOTSUPP },
    { what: 'data of another type', flags: 0, user: data(1, 0), errno: EOPNOTSUPP },
    { what: 'data without a word', flags: 0, user: data(SELFTEST), errno: EINVAL },
  ])('a nested domain for $what is $errno', ({ flags, user, errno }) => {
    expect(nest(selftest().dev, flags, user)).toBe(errno);
  });
  test.for([
    { what: 'one word', entries: [[0, 2]], done: 1, errno: undefined, left: [7, 7, 0, 7] },
    { what: 'all words', entries: [[1, 0]], done: 1, errno: undefined, left: [0, 0, 0, 0] },
    {
      what: 'no such word',
      entries: [
        [0, 0],
        [0, 4],
      ],
      done: 1,
      errno: EINVAL,
      left: [0, 7, 7, 7],
    },
    { what: 'all, by a bad word', entries: [[1, 4]], done: 0, errno: EINVAL, left: [7, 7, 7, 7] },
    { what: 'an unknown flag', entries: [[2, 0]], done: 0, errno: EOPNOTSUPP, left: [7, 7, 7, 7] },
    { what: 'an entry too short', entries: [[0]], done: 0, errno: EINVAL, left: [7, 7, 7, 7] },
    { what: 'an entry too long', entries: [[0, 0, 0]], done: 0, errno: EINVAL, left: [7, 7, 7, 7] },
  ])('an invalidation with $what has $done done', ({ entries, done, errno, left }) => {
    const domain = must(nest(selftest().dev));
    const result = domain.ops.cacheInvalidateUser!(domain, array(0xdeadbeef, ...entries));
    expect(result).toEqual({ done, status: errno });
    expect(mockNestedOf(domain)?.iotlb).toEqual(left);
  });
  test('an invalidation with entries of another type is EINVAL', () => {
    const domain = must(nest(selftest().dev));
    const result = domain.ops.cacheInvalidateUser!(domain, array(0xdadbeef));
    expect(result).toEqual({ done: 0, status: EINVAL });
  });
});

const ID = 0x20;
/** The first granule that is mapped, for reading. */
const G = 0x100_0000 / 2048;

function behindTheUnit() {
  const rig = new Rig({ members: [{ name: 'A' }], driver: { identity: true } });
  rig.mock.unit.requesters.connect(ID, rig.a);
  const u = rig.domain('U');
  expect(iommuMap(u, 0x100_0000n, 0x20_0000n, 0x1000n, 1)).toBeUndefined();
  return { rig, u, unit: rig.mock.unit };
}

describe('DMA through the mock unit', () => {
  test('DMA through the mock unit goes where the attached domain says, with its permissions', () => {
    const { rig, u, unit } = behindTheUnit();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    const faults: number[] = [];
    using _ = rig.core.env.trace.listen(({ event }) => {
      if (event.kind === 'fault') faults.push(event.code);
    });
    expect(unit.translate(ID, -1, G + 1, false)).toBe(0x20_0000 / 2048 + 1);
    expect(unit.translate(ID, -1, G, true)).toBe(-1);
    expect(unit.translate(ID, -1, G + 2, false)).toBe(-1);
    expect(unit.translate(ID, 5, G, false)).toBe(-1);
    expect(unit.translate(ID + 1, -1, G, false)).toBe(-1);
    expect(faults).toEqual([3, 2, 1, 1]);
  });
  test('DMA through the mock unit on a PASID goes through the domain of the PASID', () => {
    const { rig, u, unit } = behindTheUnit();
    expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
    expect(unit.translate(ID, 5, G, false)).toBe(0x20_0000 / 2048);
    detachDevicePasid(u, rig.a, 5);
    expect(unit.translate(ID, 5, G, false)).toBe(-1);
  });
  test('DMA through the mock unit is not translated by identity, and stopped by the blocked domain', () => {
    const { rig, unit } = behindTheUnit();
    expect(attachGroup(rig.mock.ops.identityDomain!, rig.group)).toBeUndefined();
    expect(unit.translate(ID, -1, 77, true)).toBe(77);
    const blocked = new Rig({ members: [{ name: 'A' }] });
    blocked.mock.unit.requesters.connect(ID, blocked.a);
    expect(deviceClaimDmaOwner(blocked.a, {})).toBeUndefined();
    expect(blocked.mock.unit.translate(ID, -1, 77, false)).toBe(-1);
  });
  test('DMA through the mock unit can be explained', () => {
    const { rig, u, unit } = behindTheUnit();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    const allowed = unit.explain(ID, -1, 0x100_0123n, false);
    expect(allowed.pa).toBe(0x20_0123n);
    expect(allowed.walk.at(-1)).toMatchObject({ kind: 'leaf' });
    expect(unit.explain(ID, -1, 0x100_0123n, true).refused).toMatch(/does not allow/);
    expect(unit.explain(ID, 9, 0x100_0123n, false).refused).toMatch(/no domain/);
  });
  test('DMA through the mock unit works for a domain without a page table too', () => {
    const { rig, unit } = behindTheUnit();
    rig.mock.domainKnobs.backing = 'map-pages';
    const list = rig.domain('L');
    expect(iommuMap(list, 0x1000n, 0x5000n, 0x1000n, 3)).toBeUndefined();
    expect(attachGroup(list, rig.group)).toBeUndefined();
    expect(unit.translate(ID, -1, 3, true)).toBe(11);
    expect(unit.translate(ID, -1, 4, true)).toBe(-1);
  });
});

describe('requests to the mock unit that are no plain access', () => {
  test('a translation is told with the rights it has, and nothing is reported', () => {
    const { rig, u, unit } = behindTheUnit();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    const faults: number[] = [];
    using _ = rig.core.env.trace.listen(({ event }) => {
      if (event.kind === 'fault') faults.push(event.code);
    });
    const ask = (iovaG: number) =>
      unit.request({ requesterId: ID, pasid: -1, iovaG, access: 'ats' });
    const outG = 0x20_0000 / 2048 + 1;
    expect(ask(G + 1)).toEqual({ outcome: 'translated', outG, prot: 1, sizeLg2: 0 });
    expect(ask(G + 2)).toEqual(unanswered('empty'));
    expect(unit.requestPage()).toBe(false);
    expect(faults).toEqual([]);
  });
  test('a message passes beside the tables, or goes through them', () => {
    const { rig, u } = behindTheUnit();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    const doorbell = { addressLo: 0xfee0_0004, addressHi: 0, data: 9 };
    expect(rig.mock.unit.message(ID, doorbell)).toEqual(doorbell);
    const unit = createMockUnit(rig.core.env, 'arm', 'translated');
    unit.requesters.connect(ID, rig.a);
    expect(unit.messages).toBeUndefined();
    expect(unit.message(ID, doorbell)).toBeUndefined();
    expect(iommuMap(u, 0x800_0000n, 0xfee0_0000n, 0x1000n, 2)).toBeUndefined();
    expect(unit.message(ID, { ...doorbell, addressLo: 0x800_0804 })).toEqual({
      ...doorbell,
      addressLo: 0xfee0_0804,
    });
  });
});
