/** How type1 finds a domain for a further group: both policies with the same inputs (vfio.md 1.13, 1.14, 1.15b). */
import { describe, expect, test } from 'vitest';
import { EINVAL, ERRNO, type ErrnoName, type Status } from '../../src/base/errno.ts';
import type { Device } from '../../src/core/contract/device.ts';
import type { Domain, DomainOps } from '../../src/core/contract/domain.ts';
import { getDomainForDev, iovaToPhys } from '../../src/core/index.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, machineOf, name } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const SLOTS = ['0000:00:04.0', '0000:00:05.0', '0000:00:06.0'] as const;

/** Two groups on two domains D1 and D2 of one container, and a third group outside. */
function rig(byErrno: boolean) {
  const machine = machineOf({
    kernel: { with: byErrno ? ['type1-errno-search'] : [] },
    devices: SLOTS.map((at) => ({ type: 'edu', at })),
  });
  const client = new Client(machine);
  const dev = (at: string): Device => machine.core.buses.get('pci')!.find((d) => d.name === at)!;
  const { c } = client.container(3, SLOTS[0]);
  const d1 = getDomainForDev(dev(SLOTS[0]))!;
  const plan = new Map<Domain, Status>();
  const tried: Domain[] = [];
  const ops = d1.ops as { attachDev: NonNullable<DomainOps['attachDev']> };
  const original = ops.attachDev;
  const answer: typeof original = (domain, device, old) => {
    if (domain.type === 1) tried.push(domain);
    return plan.get(domain) ?? original(domain, device, old);
  };
  ops.attachDev = answer;
  const restore = (): void => {
    ops.attachDev = original;
  };
  plan.set(d1, EINVAL);
  expect(client.setContainer(client.group(SLOTS[1]), c)).toBe(0);
  const d2 = getDomainForDev(dev(SLOTS[1]))!;
  expect(d2).not.toBe(d1);
  plan.clear();
  tried.length = 0;
  expect(client.map(c, { vaddr: client.memory(0x1000), iova: 0n, size: 0x1000n })).toBe(0);
  const third = dev(SLOTS[2]);
  const join = () => client.setContainer(client.group(SLOTS[2]), c);
  return { client, c, d1, d2, plan, tried, third, join, restore };
}
const set = (plan: Map<Domain, Status>, domain: Domain, errno: ErrnoName | 0): void => {
  if (errno !== 0) plan.set(domain, ERRNO[errno]);
};

describe('with the errno contract, the errno decides', () => {
  test.for([
    { d2: 'EINVAL', d1: 0, result: 0, on: 'd1', seen: 2 },
    { d2: 'EINVAL', d1: 'EINVAL', result: 0, on: 'new', seen: 3 },
    { d2: 0, d1: 0, result: 0, on: 'd2', seen: 1 },
    { d2: 'ENOMEM', d1: 0, result: 'ENOMEM', on: 'none', seen: 1 },
    { d2: 'ENOSPC', d1: 0, result: 'ENOSPC', on: 'none', seen: 1 },
    { d2: 'EPERM', d1: 0, result: 'EPERM', on: 'none', seen: 1 },
    { d2: 'EINVAL', d1: 'EBUSY', result: 'EBUSY', on: 'none', seen: 2 },
    { d2: 'EINVAL', d1: 'ENODEV', result: 'ENODEV', on: 'none', seen: 2 },
  ] as const)(
    'with the errno contract $d2, $d1 give $result on $on',
    ({ d2, d1, result, on, seen }) => {
      const r = rig(true);
      set(r.plan, r.d2, d2);
      set(r.plan, r.d1, d1);
      const rc = r.join();
      r.restore();
      expect(name(rc)).toBe(result);
      expect(r.tried.length).toBe(seen);
      const now = getDomainForDev(r.third);
      if (on === 'd1') expect(now).toBe(r.d1);
      if (on === 'd2') expect(now).toBe(r.d2);
      if (on === 'new') expect([r.d1, r.d2]).not.toContain(now);
      if (on === 'new') expect(iovaToPhys(now!, 0n)).not.toBe(0n);
      if (on === 'none') expect(now).toBe(r.third.iommuGroup!.defaultDomain);
      r.client.machine.close();
    },
  );
  test('EINVAL of a new domain reaches the user', () => {
    const r = rig(true);
    const ops = r.d1.ops as { attachDev: NonNullable<DomainOps['attachDev']> };
    const before = ops.attachDev;
    ops.attachDev = (domain, dev, old) => (domain.type === 1 ? EINVAL : before(domain, dev, old));
    expect(r.join()).toBe(EINVAL);
    r.restore();
    expect(getDomainForDev(r.third)).toBe(r.third.iommuGroup!.defaultDomain);
  });
});

describe('as merged: any errno of a candidate means the next', () => {
  test.for([
    { d2: 0, d1: 0, on: 'd2' },
    { d2: 'ENOMEM', d1: 0, on: 'd1' },
    { d2: 'EINVAL', d1: 0, on: 'd1' },
    { d2: 'ENOMEM', d1: 'EBUSY', on: 'new' },
  ] as const)(
    'as merged, any errno of a candidate means the next: $d2, $d1 on $on',
    ({ d2, d1, on }) => {
      const r = rig(false);
      set(r.plan, r.d2, d2);
      set(r.plan, r.d1, d1);
      const rc = r.join();
      r.restore();
      expect(rc).toBe(0);
      const now = getDomainForDev(r.third);
      if (on === 'd1') expect(now).toBe(r.d1);
      if (on === 'd2') expect(now).toBe(r.d2);
      if (on === 'new') expect([r.d1, r.d2]).not.toContain(now);
      expect(iovaToPhys(now!, 0n)).not.toBe(0n);
      r.client.machine.close();
    },
  );
});

test.for([true, false])(
  'a reserved region over a mapping is EINVAL and undone (by errno: %s)',
  (seed) => {
    const machine = machineOf({
      kernel: { with: seed ? ['type1-errno-search'] : [] },
      devices: [
        { type: 'edu', at: SLOTS[0] },
        { type: 'edu', at: SLOTS[1] },
      ],
    });
    const client = new Client(machine);
    const { c } = client.container(3, SLOTS[0]);
    expect(client.map(c, { vaddr: client.memory(0x1000), iova: 0x5000n, size: 0x1000n })).toBe(0);
    const second = machine.core.buses.get('pci')!.find((d) => d.name === SLOTS[1])!;
    const ops = second.iommu!.iommuDev!.ops as {
      getResvRegions?: (
        dev: Device,
      ) => readonly { start: bigint; length: bigint; prot: number; type: number }[];
    };
    const original = ops.getResvRegions!.bind(ops);
    ops.getResvRegions = (dev) =>
      dev === second
        ? [...original(dev), { start: 0x5000n, length: 0x1000n, prot: 3, type: 2 }]
        : original(dev);
    const g = client.group(SLOTS[1]);
    expect(client.setContainer(g, c)).toBe(EINVAL);
    expect(getDomainForDev(second)).toBe(second.iommuGroup!.defaultDomain);
    expect(client.unmap(c, { iova: 0x5000n, size: 0x1000n }).rc).toBe(0);
    expect(client.setContainer(g, c)).toBe(0);
    expect(client.map(c, { vaddr: client.buffer, iova: 0x5000n, size: 0x1000n })).toBe(EINVAL);
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(client.map(c, { vaddr: client.buffer, iova: 0x5000n, size: 0x1000n })).toBe(0);
    ops.getResvRegions = original;
    must(0);
  },
);
