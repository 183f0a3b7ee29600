/** Which default domain a group gets (core.md 2.5). */
import { describe, expect, test } from 'vitest';
import { Rig, newCore, type RigOptions } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import { EEXIST, EINVAL, EOPNOTSUPP, type Errno } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { setupDefaultDomain } from './default-domain.ts';
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_DMA,
  IOMMU_DOMAIN_DMA_FQ,
  IOMMU_DOMAIN_IDENTITY,
  IOMMU_DOMAIN_PLATFORM,
  IOMMU_DOMAIN_UNMANAGED,
} from '../contract/domain.ts';
import { groupAlloc } from './group-ops.ts';
import type { IommuGroup } from '../contract/group.ts';
import { iovaToPhys } from '../map/map.ts';
import { IOMMU_RESV_DIRECT } from '../contract/resv-region.ts';

function setup(group: IommuGroup, target: number): Errno | undefined {
  using _ = group.mutex.hold();
  return setupDefaultDomain(group, target);
}

const opinion = (name: string, defDomainType: number) => ({ name, knobs: { defDomainType } });
const { DMA, FQ, ID } = {
  DMA: IOMMU_DOMAIN_DMA,
  FQ: IOMMU_DOMAIN_DMA_FQ,
  ID: IOMMU_DOMAIN_IDENTITY,
};

interface Row {
  readonly when: string;
  readonly rig: RigOptions;
  readonly type: number;
}

const ROWS: readonly Row[] = [
  { when: 'nobody has an opinion', rig: {}, type: FQ },
  { when: 'the machine is strict', rig: { traits: ['strict-default'] }, type: DMA },
  {
    when: 'the machine passes through',
    rig: { traits: ['passthrough-default'], driver: { identity: true } },
    type: ID,
  },
  {
    when: 'the machine passes through and the driver cannot: DMA instead',
    rig: { traits: ['passthrough-default'] },
    type: DMA,
  },
  { when: 'the driver wants DMA', rig: { members: [opinion('A', DMA)] }, type: DMA },
  {
    when: 'the driver wants identity',
    rig: { driver: { identity: true }, members: [opinion('A', ID)] },
    type: ID,
  },
  {
    when: 'a device is untrusted, whatever the boot parameters',
    rig: {
      traits: ['passthrough-default'],
      driver: { identity: true },
      members: [{ name: 'A', untrusted: true }],
    },
    type: DMA,
  },
  {
    when: 'the driver has one static default domain',
    rig: { driver: { default: 'blocked' } },
    type: IOMMU_DOMAIN_BLOCKED,
  },
  {
    when: 'the driver has a platform domain',
    rig: { driver: { default: 'own' } },
    type: IOMMU_DOMAIN_PLATFORM,
  },
];

describe('the type of a default domain', () => {
  test.for(ROWS)('a default domain has its type when $when', ({ rig: options, type }) => {
    const rig = new Rig(options);
    expect(rig.group.defaultDomain?.type).toBe(type);
    expect(rig.group.domain).toBe(rig.group.defaultDomain);
    expect(rig.warnings).toEqual([]);
  });

  test('members that disagree get identity when it comes later, else the earlier stays', () => {
    for (const [first, second, type] of [
      [DMA, ID, ID],
      [ID, DMA, ID],
    ] as const) {
      const core = newCore();
      const mock = createMockDriver(core, { default: 'none', identity: true, group: 'instance' });
      const logs: string[] = [];
      core.env.trace.listen(({ event }) => {
        if (event.kind === 'log') logs.push(event.level);
      });
      for (const [name, defDomainType] of [
        ['A', first],
        ['B', second],
      ] as const) {
        mock.addDevice({ config: { name, bus: 'pci' }, knobs: { defDomainType } });
      }
      must(mock.registerInstance());
      expect(core.buses.get('pci')![0]!.iommuGroup?.defaultDomain?.type).toBe(type);
      expect(logs).toEqual(['err']);
    }
  });
});

describe('setting up a default domain', () => {
  test('an untrusted device of a driver that wants identity is impossible, which is EINVAL', () => {
    const rig = new Rig({ driver: { identity: true } });
    const out = rig.mock.addDevice({
      config: { name: 'C', bus: 'pci', untrusted: true },
      knobs: { defDomainType: ID },
    });
    expect(out.iommuGroup).toBe(rig.group);
    expect(setup(rig.group, 0)).toBe(EINVAL);
  });
  test('a group without devices has no default domain, which is EINVAL', () => {
    expect(setup(must(groupAlloc(newCore())), 0)).toBe(EINVAL);
  });
  test('a target against the opinion of a device is EINVAL', () => {
    const rig = new Rig({ members: [opinion('A', DMA)] });
    expect(setup(rig.group, ID)).toBe(EINVAL);
  });
  test('a target other than the static default domain is EINVAL', () => {
    const rig = new Rig({ driver: { default: 'blocked' } });
    expect(setup(rig.group, DMA)).toBe(EINVAL);
  });
  test('identity of a driver that has no identity domain is EOPNOTSUPP', () => {
    expect(setup(new Rig().group, ID)).toBe(EOPNOTSUPP);
  });
  test('a driver that allocates its identity domain is asked for it', () => {
    const rig = new Rig();
    const made = { ...rig.domain('I2'), type: 0 };
    Object.assign(rig.mock.ops, { domainAllocIdentity: () => made });
    expect(setup(rig.group, ID)).toBeUndefined();
    expect(rig.group.defaultDomain).toBe(made);
    expect(made.type).toBe(ID);
    Object.assign(rig.mock.ops, { domainAllocIdentity: () => undefined });
    expect(setup(rig.group, DMA)).toBeUndefined();
    expect(setup(rig.group, ID)).toBe(EOPNOTSUPP);
  });
  test('a type that is neither paging nor identity is EINVAL', () => {
    expect(setup(new Rig().group, IOMMU_DOMAIN_PLATFORM)).toBe(EINVAL);
  });
});

describe('allocating a default domain', () => {
  test('a default domain of which no type can be made is EINVAL', () => {
    const core = newCore(['strict-default']);
    const mock = createMockDriver(core, { default: 'none', alloc: 'none' });
    must(mock.registerInstance());
    expect(mock.addDevice({ config: { name: 'A', bus: 'pci' } }).iommuGroup).toBeUndefined();
  });
  test('the type a group has already changes nothing', () => {
    const rig = new Rig({ traits: ['strict-default'] });
    const before = rig.group.defaultDomain;
    expect(setup(rig.group, DMA)).toBeUndefined();
    expect(rig.group.defaultDomain).toBe(before);
    expect(rig.log.take()).toEqual([]);
  });
  test('PASIDs are asked for when the first member has some, and done without if need be', () => {
    const asked: number[] = [];
    const core = newCore();
    const mock = createMockDriver(core, { default: 'none' });
    const alloc = mock.ops.domainAllocPagingFlags!.bind(mock.ops);
    Object.assign(mock.ops, {
      domainAllocPagingFlags(...args: Parameters<typeof alloc>) {
        asked.push(args[1]);
        return args[1] === 0 ? alloc(...args) : refuse(EOPNOTSUPP, 'no PASIDs');
      },
    });
    must(mock.registerInstance());
    mock.addDevice({ config: { name: 'A', bus: 'pci', pasidBits: 5 } });
    mock.addDevice({ config: { name: 'B', bus: 'pci' } });
    expect(asked).toEqual([8, 0, 0]);
  });
  test('a default domain that has a cookie already is freed: EEXIST', () => {
    const rig = new Rig();
    const alloc = rig.mock.ops.domainAllocPagingFlags!.bind(rig.mock.ops);
    Object.assign(rig.mock.ops, {
      domainAllocPagingFlags(...args: Parameters<typeof alloc>) {
        return Object.assign(must(alloc(...args)), { cookie: { kind: 'iommufd', priv: {} } });
      },
    });
    expect(setup(rig.group, DMA)).toBe(EEXIST);
    expect(rig.on).toBe('D');
  });
});

describe('direct mappings', () => {
  const region = { start: 0x2000000n, length: 0x3000n, prot: 3, type: IOMMU_RESV_DIRECT };
  test('direct mappings are in the default domain before a device is attached to it', () => {
    const rig = new Rig({ members: [{ name: 'A', knobs: { resvRegions: [region] } }] });
    expect(iovaToPhys(rig.group.defaultDomain!, 0x2001234n)).toBe(0x2001234n);
    expect(rig.a.iommu?.requireDirect).toBe(true);
  });
  test('direct mappings that cannot be made are tried again after the attach; then the old domain comes back', () => {
    const rig = new Rig();
    const alloc = rig.mock.ops.domainAllocPagingFlags!.bind(rig.mock.ops);
    Object.assign(rig.mock.ops, {
      domainAllocPagingFlags(...args: Parameters<typeof alloc>) {
        return rig.call('X', Object.assign(must(alloc(...args)), { pgsizeBitmap: 0n }));
      },
    });
    rig.mock.knobsOf(rig.a).resvRegions = [region];
    const before = rig.group.defaultDomain;
    rig.log.take();
    expect(setup(rig.group, DMA)).toBe(EINVAL);
    expect(rig.log.take()).toEqual([
      'attach(X,A,D)',
      'attach(X,B,D)',
      'attach(D,A,X)',
      'attach(D,B,X)',
    ]);
    expect(rig.group.defaultDomain).toBe(before);
    expect(rig.warnings).toEqual(['direct-map-no-pgsize', 'direct-map-failed']);
  });
  test('direct mappings are not for a paging domain of user space', () => {
    const rig = new Rig({ members: [{ name: 'A', knobs: { resvRegions: [region] } }] });
    const u = rig.domain('U');
    expect(u.type).toBe(IOMMU_DOMAIN_UNMANAGED);
    expect(iovaToPhys(u, 0x2001234n)).toBe(0n);
  });
});
