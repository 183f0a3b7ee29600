/** A driver that misbehaves is named, whatever it does. */
import { describe, expect, test } from 'vitest';
import { Rig, newCore } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { Bug } from '../../base/bug.ts';
import { EBUSY, ENOMEM } from '../../base/errno.ts';
import { Lock } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import { attachGroup } from '../attach/attach.ts';
import type { Domain, DomainOps } from './domain.ts';
import { domainFree, pagingDomainAlloc } from '../map/domain-alloc.ts';
import { setDirtyTracking } from '../map/dirty.ts';
import { setupDefaultDomain } from '../group/default-domain.ts';
import { callOps } from './driver-call.ts';
import { groupAlloc, groupRefGet } from '../group/group-ops.ts';
import { flushIotlbAll } from '../map/iotlb.ts';
import { iommuMap, iommuUnmap, iovaToPhys } from '../map/map.ts';
import { deviceIommuCapable } from '../probe/probe.ts';
import { getResvRegions } from './resv-region-list.ts';
import { attachDevicePasid } from '../attach/pasid.ts';

function broken(attachDev: () => unknown): { rig: Rig; u: Domain } {
  const rig = new Rig();
  const u = rig.domain('U');
  u.ops = { ...u.ops, attachDev: attachDev as () => undefined };
  return { rig, u };
}

describe('a callback', () => {
  test('a callback that throws is a Bug with the names of driver and op', () => {
    const { rig, u } = broken(() => BigInt('x'));
    expect(() => attachGroup(u, rig.group)).toThrow(/^driver mock, attach_dev: Cannot convert x/);
    expect(() => attachGroup(u, rig.group)).toThrow(Bug);
  });
  test.for([0, -22, null, 'EINVAL', {}])('a callback that answers %s is a Bug', (answer) => {
    const { rig, u } = broken(() => answer);
    expect(() => attachGroup(u, rig.group)).toThrow(/mock, attach_dev: answered with a/);
  });
  test('a callback that enters the core again is a Bug that names the lock', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.ops = { ...u.ops, setDevPasid: (_domain, dev) => attachGroup(u, dev.iommuGroup!) };
    expect(() => attachDevicePasid(u, rig.a, 5)).toThrow(
      /mock, set_dev_pasid: iommu_group.mutex: taken twice/,
    );
  });
  test('a callback that fails with a Bug leaves no lock behind', () => {
    const { rig, u } = broken(() => 1);
    expect(() => attachGroup(u, rig.group)).toThrow(Bug);
    expect(rig.group.mutex.isHeld).toBe(false);
    expect(attachGroup(rig.domain('U2'), rig.group)).toBeUndefined();
  });
  test('a probe_device that answers with nothing is a Bug', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    Object.assign(mock.ops, { probeDevice: () => undefined });
    must(mock.registerInstance());
    expect(() => mock.addDevice({ config: { name: 'A', bus: 'pci' } })).toThrow(
      /mock, probe_device: answered neither/,
    );
  });
});

/** A device comes to a driver with one odd callback. */
function addTo(odd: (core: ReturnType<typeof newCore>) => object): () => unknown {
  const core = newCore();
  const mock = createMockDriver(core);
  Object.assign(mock.ops, odd(core));
  must(mock.registerInstance());
  return () => mock.addDevice({ config: { name: 'A', bus: 'pci' } });
}

describe('nonsense as an answer is named', () => {
  test.for([
    [
      'probe_device',
      () => ({ probeDevice: () => ({}) }),
      /probe_device: answered with no instance/,
    ],
    ['device_group', () => ({ deviceGroup: () => ({}) }), /device_group: answered with no group/],
    [
      'is_attach_deferred',
      () => ({ isAttachDeferred: () => 1 }),
      /is_attach_deferred: answered with a number, not a boolean/,
    ],
  ] as const)('%s: nonsense as an answer is named', ([, odd, message]) => {
    expect(addTo(odd)).toThrow(message);
  });
  test.for([[null], [{}], [[{}]], [[{ start: 0n, length: 0n, prot: 3, type: 0 }]]])(
    'get_resv_regions, case %#: nonsense as an answer is named',
    ([regions]) => {
      const rig = new Rig();
      Object.assign(rig.mock.ops, { getResvRegions: () => regions });
      expect(() => getResvRegions(rig.a)).toThrow(/mock, get_resv_regions: answered with what is/);
    },
  );
  test('capable and def_domain_type: nonsense as an answer is named', () => {
    const rig = new Rig();
    Object.assign(rig.mock.ops, { capable: () => 0, defDomainType: () => 'identity' });
    expect(() => deviceIommuCapable(rig.a, 0)).toThrow(/mock, capable: .*not a boolean/);
    expect(() => {
      using _ = rig.group.mutex.hold();
      return setupDefaultDomain(rig.group, 0);
    }).toThrow(/mock, def_domain_type: .*not a number/);
  });
  test('an allocation that answers another object, or a domain that somebody has, is named', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    Object.assign(rig.mock.ops, { domainAllocPagingFlags: () => ({}) });
    expect(() => pagingDomainAlloc(rig.a)).toThrow(/paging_flags: answered with no domain/);
    Object.assign(rig.mock.ops, { domainAllocPagingFlags: () => u });
    expect(() => pagingDomainAlloc(rig.a)).toThrow(/paging_flags: .* is in use already/);
  });
});

describe('a callback about a domain is named too', () => {
  const oops = (): never => {
    throw new Bug('oops');
  };
  test.for<[string, object, (u: Domain) => unknown]>([
    ['iotlb_sync', { iotlbSync: oops }, (u) => iommuUnmap(u, 0x2000000n, 0x1000n)],
    ['iotlb_sync_map', { iotlbSyncMap: oops }, (u) => iommuMap(u, 0x3000000n, 0n, 0x1000n, 3)],
    ['flush_iotlb_all', { flushIotlbAll: oops }, (u) => flushIotlbAll(u)],
    ['free', { free: oops }, (u) => domainFree(u)],
  ])('%s: a callback about a domain is named', ([op, ops, call]) => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(iommuMap(u, 0x2000000n, 0x1000n, 0x1000n, 3)).toBeUndefined();
    u.ops = { ...u.ops, ...ops };
    expect(() => call(u)).toThrow(`driver mock, ${op}: oops`);
  });
  test('set_dirty_tracking: a callback about a domain is named', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.dirtyOps = { setDirtyTracking: oops, readAndClearDirty: oops };
    expect(() => setDirtyTracking(u, true)).toThrow('driver mock, set_dirty_tracking: oops');
  });
});

describe('a domain without a page table', () => {
  function pages(ops: object): Domain {
    const rig = new Rig();
    rig.mock.domainKnobs.backing = 'map-pages';
    const u = rig.domain('U');
    u.ops = { ...u.ops, ...ops };
    return u;
  }
  const map = (u: Domain) => iommuMap(u, 0x2000000n, 0x1000n, 0x1000n, 3);

  test.for([-1, 0.5, 1e9])('a map_pages that says it mapped %d granules is named', (mapped) => {
    const mapPages: DomainOps['mapPages'] = (_domain, _wanted, progress) => {
      progress.mapped = mapped;
      return refuse(ENOMEM, 'full');
    };
    expect(() => map(pages({ mapPages }))).toThrow(/map_pages says it mapped/);
  });
  test.for([-1, NaN, undefined])('an unmap_pages that answers %s is named', (removed) => {
    const u = pages({ unmapPages: () => removed });
    expect(map(u)).toBeUndefined();
    expect(() => iommuUnmap(u, 0x2000000n, 0x1000n)).toThrow(/unmap_pages answered with/);
  });
  test('an iova_to_phys that throws is named', () => {
    const u = pages({ iovaToPhys: () => BigInt('x') });
    expect(() => iovaToPhys(u, 0n)).toThrow(/^driver mock, iova_to_phys: /);
  });
});

describe('a leak is named', () => {
  test('a lock that a callback keeps is named, and the next call is served', () => {
    const lock = new Lock('driver');
    const { rig, u } = broken(() => void lock.hold());
    expect(() => attachGroup(u, rig.group)).toThrow(
      /mock, attach_dev: came back with driver still/,
    );
    expect([lock.isHeld, rig.group.mutex.isHeld]).toEqual([false, false]);
    expect(attachGroup(rig.domain('U2'), rig.group)).toBeUndefined();
  });
  test('a lock of the caller that a callback lets go is named', () => {
    const { rig, u } = broken(() => rig.group.mutex[Symbol.dispose]());
    expect(() => attachGroup(u, rig.group)).toThrow();
    expect(rig.group.mutex.isHeld).toBe(false);
  });
  test('pages that an allocation leaks when it fails are named', () => {
    const rig = new Rig();
    const domainAllocPagingFlags = () => {
      must(rig.core.ram.alloc());
      return refuse(EBUSY, 'no');
    };
    Object.assign(rig.mock.ops, { domainAllocPagingFlags });
    expect(() => pagingDomainAlloc(rig.a)).toThrow(/paging_flags: failed, and leaked 1 pages/);
  });
  test('pages that a freed domain leaks are named', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(iommuMap(u, 0x2000000n, 0x1000n, 0x1000n, 3)).toBeUndefined();
    u.ops = { ...u.ops, free: () => undefined };
    expect(() => domainFree(u)).toThrow(/mock, free: leaked 3 pages of the table of paging/);
  });
  test('a reference to a group that device_group takes too much, or forgets to take, is named', () => {
    const tooMany = addTo((core) => ({ deviceGroup: () => groupRefGet(must(groupAlloc(core))) }));
    expect(tooMany).toThrow(/mock, device_group: took 2 references to groups where one is wanted/);
    const shared = addTo((core) => {
      const group = must(groupAlloc(core));
      return { deviceGroup: () => group };
    });
    expect(shared).toThrow(/mock, device_group: took 0 references to groups where one is wanted/);
    const dropped = addTo((core) => ({
      deviceGroup: () => (must(groupAlloc(core)), refuse(EBUSY, 'no')),
    }));
    expect(dropped).toThrow(
      /mock, device_group: took 1 references to groups where none are wanted/,
    );
  });
});

test('a callback about no device is named too', () => {
  const { mock } = new Rig();
  const hwInfo = () => callOps(mock.ops, 'hw_info', () => BigInt('x'));
  expect(hwInfo).toThrow(/^driver mock, hw_info: /);
});
