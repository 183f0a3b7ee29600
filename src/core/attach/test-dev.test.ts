/** test_dev before every attach: the table of core.md 12.1, row by row. */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import {
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOMEM,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  type Errno,
  type Status,
} from '../../base/errno.ts';
import {
  attachDevice,
  attachGroup,
  attachGroupHandle,
  deferredAttach,
  detachGroup,
  replaceGroupHandle,
} from './attach.ts';
import type { Domain } from '../contract/domain.ts';
import { groupClaimDmaOwner, groupReleaseDmaOwner } from '../group/ownership.ts';
import { attachDevicePasid, replaceDevicePasid } from './pasid.ts';
import { releaseDevice } from '../probe/release.ts';
import { IOMMU_RESV_DIRECT } from '../contract/resv-region.ts';
import { testAttach } from './test-attach.ts';

const traits = ['test-dev'] as const;
const OWNER = {};
const newHandle = () => ({ domain: undefined });

describe('the domain op is optional', () => {
  test('a domain without test_dev attaches as before', () => {
    const rig = new Rig({ traits, driver: { testDev: false } });
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(rig.log.take()).toEqual(['attach(U,A,D)', 'attach(U,B,D)']);
  });
  test('without the trait the op is never called', () => {
    const rig = new Rig();
    rig.mock.knobsOf(rig.b).failTest = EINVAL;
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(rig.log.take()).toEqual(['attach(U,A,D)', 'attach(U,B,D)']);
  });
});

interface Site {
  readonly site: string;
  readonly single?: boolean;
  readonly act: (rig: Rig, u: Domain) => Status;
  readonly calls: readonly string[];
}

const SITES: readonly Site[] = [
  {
    site: 'attach_device',
    single: true,
    act: (rig, u) => attachDevice(u, rig.a),
    calls: ['test(U,A,0,D)', 'attach(U,A,D)'],
  },
  {
    site: 'attach_group',
    act: (rig, u) => attachGroup(u, rig.group),
    calls: ['test(U,A,0,D)', 'test(U,B,0,D)', 'attach(U,A,D)', 'attach(U,B,D)'],
  },
  {
    site: 'attach_group_handle',
    act: (rig, u) => attachGroupHandle(u, rig.group, newHandle()),
    calls: ['test(U,A,0,D)', 'test(U,B,0,D)', 'attach(U,A,D)', 'attach(U,B,D)'],
  },
  {
    site: 'replace_group_handle',
    act: (rig, u) => replaceGroupHandle(rig.group, u, newHandle()),
    calls: ['test(U,A,0,D)', 'test(U,B,0,D)', 'attach(U,A,D)', 'attach(U,B,D)'],
  },
  {
    site: 'attach_device_pasid',
    act: (rig, u) => attachDevicePasid(u, rig.a, 5),
    calls: ['test(U,A,5,–)', 'test(U,B,5,–)', 'set(U,A,5,–)', 'set(U,B,5,–)'],
  },
  {
    site: 'deferred_attach',
    act(rig, u) {
      rig.a.iommu!.attachDeferred = true;
      return deferredAttach(rig.a, u);
    },
    calls: ['test(U,A,0,–)', 'attach(U,A)'],
  },
];

describe('every attach is tested first', () => {
  test.for(SITES)('$site tests before it attaches', ({ single, act, calls }) => {
    const rig = new Rig({ traits, ...(single && { members: [{ name: 'A' }] }) });
    const u = rig.domain('U');
    expect(act(rig, u)).toBeUndefined();
    expect(rig.log.take()).toEqual(calls);
  });

  const CODES: readonly Errno[] = [EINVAL, EBUSY, ENODEV, EPERM];
  test.for(SITES.flatMap((site) => CODES.map((errno) => ({ ...site, errno, name: errno.name }))))(
    '$site passes on a test that says $name, and attaches nothing',
    ({ single, act, errno }) => {
      const rig = new Rig({ traits, ...(single && { members: [{ name: 'A' }] }) });
      const u = rig.domain('U');
      rig.mock.knobsOf(rig.a).failTest = errno;
      expect(act(rig, u)).toBe(errno);
      expect(rig.log.take().filter((line) => !line.startsWith('test'))).toEqual([]);
      expect(rig.on).toBe('D');
      expect(rig.group.pasidArray.size).toBe(0);
    },
  );

  test('a probe into a group with a domain is tested; a refusal keeps the device out', () => {
    const rig = new Rig({ traits });
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    rig.log.take();
    const config = { name: 'C', bus: 'pci' } as const;
    const refused = rig.mock.addDevice({ config, knobs: { failTest: EINVAL } });
    expect(refused.iommuGroup).toBeUndefined();
    expect(refused.iommu).toBeUndefined();
    expect(rig.log.take()).toEqual(['test(U,C,0,–)=EINVAL']);
    const taken = rig.mock.addDevice({ config: { ...config, name: 'E' } });
    expect(taken.iommuGroup).toBe(rig.group);
    expect(rig.log.take()).toEqual(['test(U,E,0,–)', 'attach(U,E)']);
  });
  test('a replace on a PASID tests with the current domain, and not at all for the same one', () => {
    const rig = new Rig({ traits });
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    rig.log.take();
    expect(replaceDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    expect(rig.log.take()).toEqual([]);
    expect(replaceDevicePasid(u2, rig.a, 5, newHandle())).toBeUndefined();
    expect(rig.log.take().slice(0, 2)).toEqual(['test(U2,A,5,U)', 'test(U2,B,5,U)']);
  });
  test('a failing test of a PASID replace keeps the old domain', () => {
    const rig = new Rig({ traits });
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    rig.mock.knobsOf(rig.b).failTest = EINVAL;
    expect(replaceDevicePasid(u2, rig.a, 5, newHandle())).toBe(EINVAL);
    expect(rig.group.pasidArray.get(5)?.domain).toBe(u);
  });
  test('every member that has PASIDs is tested for a PASID, others not', () => {
    const members = [{ name: 'A' }, { name: 'B', pasidBits: 0 }, { name: 'C' }];
    const rig = new Rig({ traits, members });
    rig.mock.knobsOf(rig.devices[2]!).failTest = EINVAL;
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBe(EINVAL);
    expect(rig.log.take()).toEqual(['test(U,A,5,–)', 'test(U,C,5,–)=EINVAL']);
  });
});

describe('the checks of the core are the same on every path', () => {
  const foreign = (rig: Rig): Domain => {
    const u = rig.domain('U');
    u.owner = createMockDriver(rig.core, { name: 'other' }).ops;
    return u;
  };
  test.for(SITES.map(({ site, single, act }) => ({ site, single, act })))(
    '$site refuses a domain of another driver with EINVAL before any callback',
    ({ single, act }) => {
      const rig = new Rig({ traits, ...(single && { members: [{ name: 'A' }] }) });
      const u = foreign(rig);
      expect(act(rig, u)).toBe(EINVAL);
      expect(rig.log.take()).toEqual([]);
    },
  );
  test('PASIDs that are not supported are EOPNOTSUPP on attach and replace', () => {
    const rig = new Rig({ traits });
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    expect(attachDevicePasid(u, rig.a, 5, newHandle())).toBeUndefined();
    u2.ops = { ...u2.ops };
    delete u2.ops.setDevPasid;
    expect(attachDevicePasid(u2, rig.a, 6)).toBe(EOPNOTSUPP);
    expect(replaceDevicePasid(u2, rig.a, 5, newHandle())).toBe(EOPNOTSUPP);
  });
  test('a PASID out of range is EINVAL', () => {
    const rig = new Rig({ traits });
    expect(attachDevicePasid(rig.domain('U'), rig.a, 1024)).toBe(EINVAL);
  });
  test("a driver's static default domain passes though it has no owner", () => {
    const rig = new Rig({ traits, driver: { default: 'own' } });
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    const platform = rig.group.defaultDomain!;
    expect(platform.owner).toBeUndefined();
    expect(replaceGroupHandle(rig.group, platform, newHandle())).toBeUndefined();
  });
});

describe('after a passed test', () => {
  test.for([ENOMEM, ENOSPC].map((errno) => ({ name: errno.name, errno })))(
    '$name of the attach is passed on after a passed test, and rolled back',
    ({ errno }) => {
      const rig = new Rig({ traits });
      rig.mock.knobsOf(rig.b).failAttach.push({ errno });
      expect(attachGroup(rig.domain('U'), rig.group)).toBe(errno);
      expect(rig.log.take().slice(2)).toEqual([
        'attach(U,A,D)',
        `attach(U,B,D)=${errno.name}`,
        'attach(D,A,U)',
      ]);
      expect(rig.on).toBe('D');
    },
  );
  test('nothing else can happen between a test and the attach: the group mutex is held', () => {
    const rig = new Rig({ traits });
    const u = rig.domain('U');
    u.ops = { ...u.ops, testDev: (_domain, dev) => attachGroup(u, dev.iommuGroup!) };
    expect(() => attachGroup(u, rig.group)).toThrow(/mock, test_dev: .*taken twice/);
  });
});

describe('what must succeed is not tested', () => {
  test('a driver that refuses every test cannot keep a detach or a release from its end', () => {
    const rig = new Rig({ traits });
    const u = rig.domain('U');
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    for (const dev of rig.devices) rig.mock.knobsOf(dev).failTest = EINVAL;
    rig.log.take();
    detachGroup(u, rig.group);
    expect(rig.on).toBe('K');
    groupReleaseDmaOwner(rig.group);
    expect(rig.on).toBe('D');
    expect(rig.log.take().filter((line) => line.startsWith('test'))).toEqual([]);
    expect(rig.warnings).toEqual([]);
  });
  test('a device can always leave', () => {
    const rig = new Rig({ traits, driver: { release: 'own' } });
    rig.mock.knobsOf(rig.a).failTest = EINVAL;
    rig.log.take();
    releaseDevice(rig.a);
    expect(rig.log.take()).toEqual(['attach(R,A,D)']);
  });
});

describe('no printing', () => {
  test('tests leave no log and no warning, a refusal for direct mappings included', () => {
    const region = { start: 0x1000n, length: 0x1000n, prot: 3, type: IOMMU_RESV_DIRECT };
    const rig = new Rig({ traits, members: [{ name: 'A', knobs: { resvRegions: [region] } }] });
    const logged: string[] = [];
    using _ = rig.core.env.trace.listen(({ event }) => logged.push(event.kind));
    rig.mock.knobsOf(rig.a).failTest = EIO;
    const blocked = rig.mock.ops.blockedDomain!;
    const { results } = testAttach([
      { domain: rig.domain('U'), target: rig.a },
      { domain: blocked, target: rig.a, mode: 'replace' },
    ]);
    expect(results.map(({ stage, errno }) => [stage, errno?.name])).toEqual([
      ['driver', 'EIO'],
      ['direct-map', 'EINVAL'],
    ]);
    expect(logged.filter((kind) => kind === 'log' || kind === 'warn')).toEqual([]);
    expect(rig.warnings).toEqual([]);
  });
});
