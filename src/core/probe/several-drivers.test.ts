/** Several IOMMU drivers in one machine: the table of core.md 12.4, row by row. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { newCore, listenCalls } from '../../testing/core/rig.ts';
import { EINVAL, ENODEV, EOPNOTSUPP } from '../../base/errno.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import { createMockDriver, type MockDriver } from '../../drivers/mock/index.ts';
import { attachDevice, replaceGroupHandle } from '../attach/attach.ts';
import { domainAlloc, present } from './bus-alloc.ts';
import { Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { pagingDomainAlloc } from '../map/domain-alloc.ts';
import { groupAddDevice, groupAlloc } from '../group/group-ops.ts';
import type { IommuCore } from '../contract/iommu-core.ts';
import { groupClaimDmaOwner } from '../group/ownership.ts';
import { busAddDevice, deviceUnregister } from './register.ts';

const NODE = { node: 'b' };

interface Pair {
  readonly core: IommuCore;
  readonly a: MockDriver;
  readonly b: MockDriver;
}

/** Two drivers on one machine: `a` takes devices without a firmware node, `b` those that name its node. */
function pair(traits: readonly KernelTrait[] = []): Pair {
  const core = newCore(traits);
  const a = createMockDriver(core, { name: 'a', default: 'none', identity: true });
  const b = createMockDriver(core, { name: 'b', default: 'none', identity: true });
  must(a.registerInstance());
  must(b.registerInstance({ fwnode: NODE }));
  return { core, a, b };
}

function devices({ a, b }: Pair): { da: Device; db: Device } {
  const da = a.addDevice({ config: { name: 'DA', bus: 'pci' } });
  const db = b.addDevice({ config: { name: 'DB', bus: 'pci' }, fwnode: NODE });
  return { da, db };
}

function fakeDevice(core: IommuCore): Device {
  const dev = new Device(core, { name: 'fake', bus: 'pci' });
  // In a group already, it is not probed when it comes to its bus.
  expect(groupAddDevice(must(groupAlloc(core)), dev)).toBeUndefined();
  busAddDevice(dev);
  return dev;
}

describe('devices find their driver', () => {
  test('a second driver registers, and each device goes to the instance it names', () => {
    const machine = pair();
    const { da, db } = devices(machine);
    expect(da.iommu?.iommuDev?.ops).toBe(machine.a.ops);
    expect(db.iommu?.iommuDev?.ops).toBe(machine.b.ops);
  });
  test('a device that names no instance goes to the first one without a node', () => {
    const core = newCore();
    const first = createMockDriver(core, { name: 'first' });
    const second = createMockDriver(core, { name: 'second' });
    must(first.registerInstance());
    must(second.registerInstance());
    const dev = second.addDevice({ config: { name: 'D', bus: 'pci' } });
    expect(dev.iommu?.iommuDev?.ops).toBe(first.ops);
  });
  test("default domains are made by each device's own driver", () => {
    const machine = pair();
    const { da, db } = devices(machine);
    expect(da.iommuGroup?.defaultDomain?.owner).toBe(machine.a.ops);
    expect(db.iommuGroup?.defaultDomain?.owner).toBe(machine.b.ops);
  });
  test('unregistering one driver releases its devices only', () => {
    const machine = pair();
    const { da, db } = devices(machine);
    deviceUnregister(machine.core, da.iommu!.iommuDev!);
    expect(da.iommuGroup).toBeUndefined();
    expect(db.iommuGroup).toBeDefined();
    expect(machine.core.instances.map(({ ops }) => ops.name)).toEqual(['b']);
  });
});

describe('a domain of one driver and a device of another', () => {
  test.for([[], ['test-dev']] as const)(
    'a domain of one driver and a device of another are EINVAL without a callback, with traits %s',
    (traits) => {
      const machine = pair(traits);
      const { da, db } = devices(machine);
      const domain = must(pagingDomainAlloc(da));
      const log = listenCalls(machine.core, (name) => name);
      expect(attachDevice(domain, db)).toBe(EINVAL);
      expect(replaceGroupHandle(db.iommuGroup!, domain, { domain: undefined })).toBe(EINVAL);
      expect(log.take()).toEqual([]);
      expect(attachDevice(domain, da)).toBeUndefined();
    },
  );
  test("static domains fit their own driver's devices only", () => {
    const machine = pair();
    const { da, db } = devices(machine);
    for (const domain of [machine.a.ops.identityDomain, machine.a.ops.blockedDomain]) {
      expect(attachDevice(domain!, db)).toBe(EINVAL);
    }
    expect(attachDevice(machine.a.ops.identityDomain!, da)).toBeUndefined();
  });
  test('a group without an IOMMU cannot be blocked, which is ENODEV', () => {
    const { core } = pair();
    const dev = fakeDevice(core);
    expect(groupClaimDmaOwner(dev.iommuGroup!, {})).toBe(ENODEV);
  });
  test('allocation by device is ENODEV without an IOMMU, EOPNOTSUPP without an allocator', () => {
    const { core } = pair();
    expect(pagingDomainAlloc(fakeDevice(core))).toBe(ENODEV);
    const none = createMockDriver(core, { name: 'none', alloc: 'none' });
    const node = {};
    must(none.registerInstance({ fwnode: node }));
    const dev = none.addDevice({ config: { name: 'N', bus: 'pci' }, fwnode: node });
    expect(pagingDomainAlloc(dev)).toBe(EOPNOTSUPP);
  });
});

describe('allocation for a bus, as posted: the last device decides', () => {
  const traits = ['bus-domain-alloc-last-device'] as const;
  const ownerOf = (core: IommuCore) => (must(domainAlloc(core, 'pci')) as Domain).owner?.name;

  test('the last device decides an allocation for a bus, in either order of discovery', () => {
    const machine = pair(traits);
    devices(machine);
    expect(ownerOf(machine.core)).toBe('b');
    machine.a.addDevice({ config: { name: 'last', bus: 'pci' } });
    expect(ownerOf(machine.core)).toBe('a');
  });
  test('a mix of drivers is warned once, however often', () => {
    const machine = pair(traits);
    devices(machine);
    for (let n = 0; n < 3; n++) expect(ownerOf(machine.core)).toBe('b');
    expect(machine.core.env.warnings).toEqual(['multi-driver']);
  });
  test('devices without an IOMMU are passed by, those of fake groups too', () => {
    const machine = pair(traits);
    devices(machine);
    fakeDevice(machine.core);
    busAddDevice(new Device(machine.core, { name: 'bare', bus: 'mdev' }));
    expect(ownerOf(machine.core)).toBe('b');
  });
  test('a domain for a bus works for some devices and is refused by the others', () => {
    const machine = pair(traits);
    const { da, db } = devices(machine);
    const domain = must(domainAlloc(machine.core, 'pci'))!;
    expect(attachDevice(domain, db)).toBeUndefined();
    expect(attachDevice(domain, da)).toBe(EINVAL);
  });
});

describe('allocation for a bus', () => {
  test('as merged, a mix is refused each time and warned once', () => {
    const machine = pair(['bus-domain-alloc-refuse']);
    const { db } = devices(machine);
    for (let n = 0; n < 3; n++) expect(domainAlloc(machine.core, 'pci')).toBeUndefined();
    expect(machine.core.env.warnings).toEqual(['multi-driver']);
    machine.b.removeDevice(db);
    expect(must(domainAlloc(machine.core, 'pci'))?.owner).toBe(machine.a.ops);
  });
  test('an allocation for a bus without a device with an IOMMU is null, in both readings', () => {
    for (const trait of ['bus-domain-alloc-refuse', 'bus-domain-alloc-last-device'] as const) {
      const { core } = pair([trait]);
      expect(domainAlloc(core, 'pci')).toBeUndefined();
    }
  });
  test('an allocation of a driver that cannot allocate is null', () => {
    const core = newCore(['bus-domain-alloc-refuse']);
    const none = createMockDriver(core, { alloc: 'none' });
    must(none.registerInstance());
    none.addDevice({ config: { name: 'N', bus: 'pci' } });
    expect(domainAlloc(core, 'pci')).toBeUndefined();
  });
  test("today's kernels have no allocation for a bus, which is EOPNOTSUPP", () => {
    expect(domainAlloc(pair().core, 'pci')).toBe(EOPNOTSUPP);
  });
  test('an IOMMU is present on scanned buses once an instance is registered', () => {
    expect(present(newCore(), 'pci')).toBe(false);
    const { core } = pair();
    expect(present(core, 'pci')).toBe(true);
    expect(present(core, 'mdev')).toBe(false);
  });
});
