import { userData } from '../../../testing/drivers/mock-data.ts';
import { describe, expect, it } from 'vitest';
import {
  intelRig,
  ownedDevice as owned,
  type IntelRig,
} from '../../../testing/drivers/intel-rig.ts';
import { must } from '../../../testing/base/must.ts';
import { EINVAL, ENODEV, ENOMEM, ENOSPC, EOPNOTSUPP } from '../../../base/errno.ts';
import { attachGroup, detachGroup, replaceGroupHandle } from '../../../core/attach/attach.ts';
import {
  domainFree,
  pagingDomainAlloc,
  pagingDomainAllocFlags,
} from '../../../core/map/domain-alloc.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
} from '../../../core/contract/driver.ts';
import { iommuMap, iommuUnmap } from '../../../core/map/map.ts';
import {
  attachDevicePasid,
  detachDevicePasid,
  replaceDevicePasid,
} from '../../../core/attach/pasid.ts';
import { probeDevice } from '../../../core/probe/probe.ts';
import { deviceRegister } from '../../../core/probe/register.ts';
import { releaseDevice } from '../../../core/probe/release.ts';
import { Device } from '../../../core/contract/device.ts';
import { newGather } from '../../../pt/gather.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import {
  createIntelUnit,
  createIntelDriver,
  type IntelUnitConfig,
  type IntelUnitHandle,
} from './driver.ts';
import { toIntelDevice } from './domain.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const SECOND = { firstStage: false };
const LEGACY = { scalable: false };
const PASIDS = { pasidBits: 20 };

/** One more unit of the rig's driver, registered: it takes what the first has not in its scope. */
function secondUnit(rig: IntelRig, config: IntelUnitConfig): IntelUnitHandle {
  const handle = must(createIntelUnit(rig.core, { ...config, pci: rig.pci, driver: rig.driver }));
  expect(deviceRegister(rig.core, handle.instance, handle.ops)).toBeUndefined();
  return handle;
}

/** A rig with one owned device attached to a fresh paging domain. */
function attached(config: IntelUnitConfig = {}, device = {}, flags = 0) {
  const rig = intelRig(config);
  const dev = owned(rig, 4, device);
  const domain = must(pagingDomainAllocFlags(dev, flags));
  expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
  return { rig, dev, domain };
}

describe.each([
  ['legacy', { scalable: false }, 0x02, 0x05],
  ['scalable, second stage', { firstStage: false }, 0x59, 0x79],
  ['scalable, first stage', {}, 0x59, 0x71],
] as const)('an intel unit in %s mode', (_name, config, blockedCode, unmappedCode) => {
  it('a unit blocks a device that user space owns, and says so', () => {
    const rig = intelRig(config);
    const dev = owned(rig);
    expect(rig.dma(dev, 0x1000, true)).toBe(-1);
    expect(rig.faults()).toMatchObject([
      { code: blockedCode, write: true, iova: 0x100_0000n, device: { id: '0000:00:04.0' } },
    ]);
  });

  it('a unit translates what is mapped and nothing else', () => {
    const rig = intelRig(config);
    const dev = owned(rig);
    const domain = must(pagingDomainAlloc(dev));
    expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
    expect(iommuMap(domain, 0x10_0000n, 0x70_0000n, 0x3000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 0x100)).toBe(0x700);
    expect(rig.dma(dev, 0x102, true)).toBe(0x702);
    expect(rig.dma(dev, 0x103, true)).toBe(-1);
    expect(rig.faults()).toMatchObject([{ code: unmappedCode, iova: 0x10_3000n }]);
    expect(iommuUnmap(domain, 0x10_0000n, 0x3000n)).toBe(0x3000n);
    expect(rig.dma(dev, 0x100)).toBe(-1);
    detachGroup(domain, dev.iommuGroup!);
    domainFree(domain);
  });

  it('a unit serves a stale translation until the IOTLB is told', () => {
    const rig = intelRig(config);
    const dev = owned(rig);
    const domain = must(pagingDomainAlloc(dev));
    expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
    expect(iommuMap(domain, 0x10_0000n, 0x70_0000n, 0x1000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 0x100)).toBe(0x700);
    // Straight into the table, as a driver that forgets its flush.
    expect(domain.pt!.unmap(0x100, 1, undefined)).toBe(1);
    expect(rig.dma(dev, 0x100)).toBe(0x700);
    domain.ops.flushIotlbAll!(domain);
    expect(rig.dma(dev, 0x100)).toBe(-1);
  });
});

describe('a domain that does not fit is refused with EINVAL, softly', () => {
  const wide: IntelUnitConfig = { ...SECOND, widths: [39, 48, 57], mgaw: 57 };
  it.each([
    ['more levels than the unit walks', wide, { ...SECOND, widths: [39] }, 0],
    ['a wider address', { ...SECOND, mgaw: 48 }, { ...SECOND, mgaw: 46 }, 0],
    ['2 MiB pages the unit lacks', SECOND, { ...SECOND, superpage2m: false }, 0],
    ['1 GiB pages the unit lacks', SECOND, { ...SECOND, superpage1g: false }, 0],
    ['first stage on a unit without', {}, SECOND, 0],
    ['five levels on a unit with four', { firstStage5: true }, {}, 0],
    ['1 GiB first-stage pages', {}, { firstStage1g: false }, 0],
    ['second stage on a unit without', SECOND, { secondStage: false, nested: false }, 0],
    [
      'dirty tracking the unit lacks',
      SECOND,
      { ...SECOND, ssade: false },
      IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
    ],
    ['a table for coherent walks', SECOND, { ...SECOND, coherentWalks: false }, 0],
  ] as const)(
    'a domain that does not fit is refused softly, with EINVAL: %s',
    (_name, from, to, flags) => {
      const rig = intelRig({ ...from, scope: (fn) => fn.devfn < 8 << 3 });
      const second = secondUnit(rig, to);
      expect(second.ops).toBe(rig.handle.ops);
      const domain = must(pagingDomainAllocFlags(rig.device(4), flags));
      const other = owned(rig, 9);
      expect(toIntelDevice(other).iommu).toBe(second.instance);
      const logged = rig.events.filter((event) => event.kind === 'log').length;
      expect(attachGroup(domain, other.iommuGroup!)).toBe(EINVAL);
      expect(rig.events.filter((event) => event.kind === 'log')).toHaveLength(logged);
      expect(other.iommuGroup!.domain).toBe(rig.handle.ops.blockedDomain);
    },
  );

  it('enforced coherency on a unit without snoop control is refused softly', () => {
    const rig = intelRig({ ...SECOND, scope: (fn) => fn.devfn < 8 << 3 });
    secondUnit(rig, { ...SECOND, snoopControl: false });
    const domain = must(pagingDomainAlloc(rig.device(4)));
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(true);
    expect(attachGroup(domain, owned(rig, 9).iommuGroup!)).toBe(EINVAL);
  });

  it('identity on a unit without pass-through is refused softly, and its devices want DMA by default', () => {
    const rig = intelRig({ passThrough: false });
    const dev = owned(rig);
    expect(attachGroup(rig.handle.ops.identityDomain!, dev.iommuGroup!)).toBe(EINVAL);
    expect(rig.handle.ops.defDomainType!(dev)).toBe(3);
  });
});

describe('an attach that fails for want of something leaves the device as it was', () => {
  it('an attach without a free domain id is ENOSPC, and leaves the device as it was', () => {
    const { rig, dev, domain } = attached({ domainIdBits: 4 });
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    // 16 ids without 0 and 1; the default domain gave its id back.
    for (let slot = 5; slot < 5 + 13; slot++) {
      const more = owned(rig, slot);
      const own = must(pagingDomainAlloc(more));
      expect(attachGroup(own, more.iommuGroup!)).toBeUndefined();
    }
    const extra = must(pagingDomainAlloc(dev));
    expect(replaceGroupHandle(dev.iommuGroup!, extra, { domain: undefined })).toBe(ENOSPC);
    expect(rig.dma(dev, 1)).toBe(5);
  });

  it('an attach without RAM for a context table is ENOMEM, and leaves the device as it was', () => {
    const rig = intelRig(LEGACY);
    const bus = rig.bus;
    const dev = rig.deviceOf(bus.add({ slot: 4, type: 'endpoint' }));
    expect(dev.iommuGroup).toBeDefined();
    rig.failing.when = () => true;
    const fn = bus.add({ slot: 5, type: 'endpoint' });
    const late = new Device(rig.core, { name: fn.name, bus: 'pci' });
    rig.pci.bind(late, fn);
    expect(probeDevice(late)).toBe(ENOMEM);
    expect(late.iommu).toBeUndefined();
  });

  it('an attach without RAM for a PASID table is ENODEV, and leaves the device as it was', () => {
    const { rig, dev, domain } = attached({}, PASIDS);
    rig.failing.when = () => true;
    expect(attachDevicePasid(domain, dev, 1000)).toBe(ENODEV);
    rig.failing.when = undefined;
    expect(attachDevicePasid(domain, dev, 1000)).toBeUndefined();
  });

  it('a device that is on no unit is not probed, which is ENODEV', () => {
    const rig = intelRig();
    const dev = new Device(rig.core, { name: 'serial0', bus: 'platform' });
    expect(probeDevice(dev)).toBe(ENODEV);
  });
});

describe('PASIDs', () => {
  it('PASIDs are address spaces of their own beside the RID', () => {
    const { rig, dev, domain } = attached({}, PASIDS);
    const other = must(pagingDomainAlloc(dev));
    expect(attachDevicePasid(other, dev, 7)).toBeUndefined();
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuMap(other, 0x1000n, 0x6000n, 0x1000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 1)).toBe(5);
    expect(rig.dma(dev, 1, false, 7)).toBe(6);
    expect(rig.dma(dev, 1, false, 8)).toBe(-1);
    expect(rig.faults()).toMatchObject([{ code: 0x59, pasid: 8 }]);
  });

  it('PASIDs can be replaced, and are blocked when detached', () => {
    const { rig, dev } = attached({}, PASIDS);
    const [one, two] = [must(pagingDomainAlloc(dev)), must(pagingDomainAlloc(dev))];
    expect(iommuMap(one, 0x1000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(iommuMap(two, 0x1000n, 0x6000n, 0x1000n, RW)).toBeUndefined();
    expect(attachDevicePasid(one, dev, 100, { domain: undefined })).toBeUndefined();
    expect(rig.dma(dev, 1, true, 100)).toBe(5);
    expect(replaceDevicePasid(two, dev, 100, { domain: undefined })).toBeUndefined();
    expect(rig.dma(dev, 1, true, 100)).toBe(6);
    detachDevicePasid(two, dev, 100);
    expect(rig.dma(dev, 1, true, 100)).toBe(-1);
    domainFree(one);
    domainFree(two);
  });

  it.each([
    ['EOPNOTSUPP on a device without them', {}, {}, 0, EOPNOTSUPP],
    ['EOPNOTSUPP in legacy mode', LEGACY, PASIDS, 0, EOPNOTSUPP],
    ['EINVAL for a domain with dirty tracking', SECOND, PASIDS, 2, EINVAL],
  ] as const)('a PASID is refused for %s', (_name, config, device, flags, expected) => {
    const { dev, domain } = attached(config, device, flags);
    expect(domain.ops.testDev!(domain, dev, 5, undefined)).toBe(expected);
    expect(domain.ops.setDevPasid!(domain, dev, 5, undefined)).toBe(expected);
  });
});

describe('allocation of paging domains', () => {
  it.each([
    ['an unknown flag', {}, 4],
    ['a nest parent on a unit that cannot nest', { nested: false }, IOMMU_HWPT_ALLOC_NEST_PARENT],
    ['dirty tracking on a unit without', { ssade: false }, IOMMU_HWPT_ALLOC_DIRTY_TRACKING],
    [
      'a nest parent on a unit without second stage',
      { secondStage: false, nested: false },
      IOMMU_HWPT_ALLOC_NEST_PARENT,
    ],
    ['dirty tracking in legacy mode', LEGACY, IOMMU_HWPT_ALLOC_DIRTY_TRACKING],
  ] as const)(
    'allocation of a paging domain refuses %s with EOPNOTSUPP',
    (_name, config, flags) => {
      const rig = intelRig(config);
      expect(pagingDomainAllocFlags(rig.device(4), flags)).toBe(EOPNOTSUPP);
    },
  );

  it('allocation of a paging domain refuses vendor data with EOPNOTSUPP', () => {
    const rig = intelRig();
    const data = userData(1, new Uint8Array(8));
    expect(pagingDomainAllocFlags(rig.device(4), 0, data)).toBe(EOPNOTSUPP);
  });

  it.each([
    ['first stage: half of the sign-extended space', {}, 0, (1n << 47n) - 1n, 0x40201000n],
    ['PASID keeps the first stage', {}, IOMMU_HWPT_ALLOC_PASID, (1n << 47n) - 1n, 0x40201000n],
    ['nest parent: second stage', {}, IOMMU_HWPT_ALLOC_NEST_PARENT, (1n << 48n) - 1n, 0x40201000n],
    ['39 bits', { ...SECOND, widths: [39] }, 0, (1n << 39n) - 1n, 0x40201000n],
    ['MGAW below the table', { ...SECOND, mgaw: 46 }, 0, (1n << 46n) - 1n, 0x40201000n],
    ['no 1 GiB pages', { ...SECOND, superpage1g: false }, 0, (1n << 48n) - 1n, 0x201000n],
    [
      'no super pages',
      { ...LEGACY, superpage1g: false, superpage2m: false },
      0,
      (1n << 48n) - 1n,
      0x1000n,
    ],
  ] as const)('a paging domain is allocated: %s', (_name, config, flags, last, sizes) => {
    const domain = must(pagingDomainAllocFlags(intelRig(config).device(4), flags));
    expect(domain.geometry.apertureEnd).toBe(last);
    expect(domain.pgsizeBitmap).toBe(sizes);
  });
});

describe('dirty tracking', () => {
  it('dirty tracking sees what the device wrote, page by page, and cleaning makes it see the next write', () => {
    const { rig, dev, domain } = attached(SECOND, {}, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    expect(iommuMap(domain, 0x10_0000n, 0x70_0000n, 0x4000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 0x100, true)).toBe(0x700);
    expect(domain.dirtyOps!.setDirtyTracking(domain, true)).toBeUndefined();
    expect(rig.dma(dev, 0x101, true)).toBe(0x701);
    expect(rig.dma(dev, 0x102)).toBe(0x702);
    const dirty = () => {
      const found: number[] = [];
      const gather = newGather();
      expect(
        domain.dirtyOps!.readAndClearDirty(domain, 0x100, 4, false, gather, (startG) =>
          found.push(startG),
        ),
      ).toBeUndefined();
      domain.ops.iotlbSync!(domain, gather);
      return found;
    };
    expect(dirty()).toEqual([0x101]);
    expect(dirty()).toEqual([]);
    expect(rig.dma(dev, 0x101, true)).toBe(0x701);
    expect(rig.dma(dev, 0x102, true)).toBe(0x702);
    expect(dirty()).toEqual([0x101, 0x102]);
  });
});

describe('enforced coherency', () => {
  it('enforced coherency puts SNP into every new leaf of the second stage, also when attached already', () => {
    const { rig, dev, domain } = attached(SECOND);
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(true);
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 1)).toBe(5);
    const steps = rig.handle.unit.explain(4 << 3, -1, 0x1000n, false);
    expect(steps.walk[steps.walk.length - 1]!.entry & (1n << 11n)).toBe(1n << 11n);
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(true);
  });
  it('enforced coherency is refused once mappings exist that were made without', () => {
    const { domain } = attached(SECOND);
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x1000n, RW)).toBeUndefined();
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(false);
  });
  it('enforced coherency is refused by a unit without snoop control', () => {
    const { domain } = attached({ snoopControl: false });
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(false);
  });
  it('enforced coherency sets PGSNP for the first stage', () => {
    const { dev, domain } = attached();
    expect(domain.ops.enforceCacheCoherency!(domain)).toBe(true);
    expect(toIntelDevice(dev).pasidTable!.get(0, 'pgsnp')).toBe(1);
  });
});

describe('a device with a TLB of its own', () => {
  it.each([
    ['legacy', LEGACY],
    ['scalable', {}],
  ] as const)(
    'a device with a TLB of its own keeps a translation until it is told, %s mode',
    (_name, config) => {
      const { rig, dev, domain } = attached(config, { ats: true });
      expect(iommuMap(domain, 0x1000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
      expect(rig.dma(dev, 1, true)).toBe(5);
      expect(domain.pt!.unmap(1, 1, undefined)).toBe(1);
      // The unit's own cache forgets; the device's does not.
      rig.handle.instance.queue.iotlbGlobal();
      expect(rig.dma(dev, 1, true)).toBe(5);
      rig.handle.instance.queue.devTlb(4 << 3, -1, { startG: 1, order: 0 });
      expect(rig.dma(dev, 1, true)).toBe(-1);
    },
  );

  it('a device with a TLB of its own forgets at an ordinary unmap', () => {
    const { rig, dev, domain } = attached({}, { ats: true });
    expect(iommuMap(domain, 0x1000n, 0x5000n, 0x2000n, RW)).toBeUndefined();
    expect(rig.dma(dev, 1, true)).toBe(5);
    expect(iommuUnmap(domain, 0x1000n, 0x1000n)).toBe(0x1000n);
    expect(rig.dma(dev, 1, true)).toBe(-1);
    expect(rig.dma(dev, 2, true)).toBe(6);
  });
});

describe('release', () => {
  it('a release gives every frame back', () => {
    const rig = intelRig();
    rig.device(3);
    const before = rig.ram.used;
    const dev = rig.device(4, PASIDS);
    const domain = must(pagingDomainAlloc(dev));
    expect(attachDevicePasid(domain, dev, 700)).toBeUndefined();
    detachDevicePasid(domain, dev, 700);
    domainFree(domain);
    releaseDevice(dev);
    expect(rig.ram.used).toBe(before);
  });
});

describe('several units', () => {
  it('several units share the ops; a device belongs to the unit that names it, else to the one without scope', () => {
    const rig = intelRig({ scope: (fn) => fn.devfn === 5 << 3 });
    const other = secondUnit(rig, {});
    expect(other.instance.name).toBe('dmar1');
    expect(toIntelDevice(rig.device(5)).iommu).toBe(rig.handle.instance);
    expect(toIntelDevice(rig.device(6)).iommu).toBe(other.instance);
  });
  it('two drivers do not know each other', () => {
    const rig = intelRig();
    expect(createIntelDriver(rig.core, rig.pci).ops).not.toBe(rig.handle.ops);
  });
});
