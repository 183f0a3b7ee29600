/** A driver that misbehaves is named, whatever it does. */
import { describe, expect, test } from 'vitest';
import { Rig, must, newCore } from '../../test/core/rig.ts';
import { Bug } from '../base/bug.ts';
import { createMockDriver } from '../drivers/mock/index.ts';
import { attachGroup } from './attach.ts';
import type { Domain } from './domain.ts';
import { attachDevicePasid } from './pasid.ts';

function broken(attachDev: () => unknown): { rig: Rig; u: Domain } {
  const rig = new Rig();
  const u = rig.domain('U');
  u.ops = { ...u.ops, attachDev: attachDev as () => undefined };
  return { rig, u };
}

describe('a callback', () => {
  test('that throws is a Bug with the names of driver and op', () => {
    const { rig, u } = broken(() => BigInt('x'));
    expect(() => attachGroup(u, rig.group)).toThrow(/^driver mock, attach_dev: Cannot convert x/);
    expect(() => attachGroup(u, rig.group)).toThrow(Bug);
  });
  test.for([0, -22, null, 'EINVAL', {}])('that answers %s is a Bug', (answer) => {
    const { rig, u } = broken(() => answer);
    expect(() => attachGroup(u, rig.group)).toThrow(/mock, attach_dev: answered with a/);
  });
  test('that enters the core again is a Bug that names the lock', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.ops = { ...u.ops, setDevPasid: (_domain, dev) => attachGroup(u, dev.iommuGroup!) };
    expect(() => attachDevicePasid(u, rig.a, 5)).toThrow(
      /mock, set_dev_pasid: iommu_group.mutex: taken twice/,
    );
  });
  test('that fails with a Bug leaves no lock behind', () => {
    const { rig, u } = broken(() => 1);
    expect(() => attachGroup(u, rig.group)).toThrow(Bug);
    expect(rig.group.mutex.isHeld).toBe(false);
    expect(attachGroup(rig.domain('U2'), rig.group)).toBeUndefined();
  });
  test('probe_device that answers with nothing is a Bug', () => {
    const core = newCore();
    const mock = createMockDriver(core);
    Object.assign(mock.ops, { probeDevice: () => undefined });
    must(mock.registerInstance());
    expect(() => mock.addDevice({ config: { name: 'A', bus: 'pci' } })).toThrow(
      /mock, probe_device: answered neither/,
    );
  });
});
