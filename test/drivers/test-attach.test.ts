/** testAttach over machines with real tables: two Intel units that differ, any domains, any state (core.md 6.5). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Status } from '../../src/base/errno.ts';
import { attachGroup, detachGroup, replaceGroupHandle } from '../../src/core/attach/attach.ts';
import type { Device } from '../../src/core/contract/device.ts';
import type { Domain } from '../../src/core/contract/domain.ts';
import { pagingDomainAllocFlags } from '../../src/core/map/domain-alloc.ts';
import { deviceClaimDmaOwner } from '../../src/core/group/ownership.ts';
import { attachDevicePasid, replaceDevicePasid } from '../../src/core/attach/pasid.ts';
import { stateDigest } from '../../src/core/state-digest.ts';
import { testAttach, type TestInput } from '../../src/core/attach/test-attach.ts';
import { createIntelUnit } from '../../src/drivers/intel/driver/driver.ts';
import { isErrno } from '../../src/base/errno.ts';
import { intelRig } from '../../src/testing/drivers/intel-rig.ts';
import { must } from '../../src/testing/base/must.ts';

const unit = fc.record({
  scalable: fc.boolean(),
  widths: fc.constantFrom([39], [48], [39, 48], [39, 48, 57]),
  superpage2m: fc.boolean(),
  superpage1g: fc.boolean(),
  snoopControl: fc.boolean(),
  coherentWalks: fc.boolean(),
  ssade: fc.boolean(),
  pasidBits: fc.constantFrom(0, 4, 20),
  firstStage: fc.boolean(),
  firstStage5: fc.boolean(),
});

const where = {
  /** Even slots are behind the first unit, odd ones behind the second. */
  slot: fc.nat(3),
  domain: fc.nat(5),
  pasid: fc.constantFrom(0, 0, 1, 3, 17),
  mode: fc.constantFrom(...(['attach', 'replace'] as const)),
};

const world = fc.record({
  units: fc.tuple(unit, unit),
  testDev: fc.boolean(),
  pasidBits: fc.array(fc.constantFrom(0, 4, 20), { minLength: 4, maxLength: 4 }),
  /** Each made for a device, with flags of IOMMU_HWPT_ALLOC, and coherency enforced or not. */
  domains: fc.array(
    fc.record({ slot: fc.nat(3), flags: fc.constantFrom(0, 0, 1, 2, 3, 8), enforce: fc.boolean() }),
    { minLength: 6, maxLength: 6 },
  ),
  steps: fc.array(fc.record(where), { maxLength: 4 }),
  wish: fc.record(where),
});

type World = typeof world extends fc.Arbitrary<infer T> ? T : never;
type Where = World['wish'];

interface Built {
  readonly devices: readonly Device[];
  readonly domains: readonly Domain[];
}

/** Undefined where no unit could make any domain. */
function build(w: World): (Built & { readonly digest: () => string }) | undefined {
  const [first, second] = w.units;
  const scope = (fn: { readonly devfn: number }) => ((fn.devfn >> 3) & 1) === 0;
  const rig = intelRig(
    { ...first, scope },
    { ramBytes: 1 << 21, traits: w.testDev ? ['test-dev'] : [] },
  );
  must(createIntelUnit(rig.core, { ...second, pci: rig.pci, driver: rig.driver }));
  const devices = w.pasidBits.map((pasidBits, n) => rig.device(4 + n, { pasidBits }));
  for (const dev of devices) expect(deviceClaimDmaOwner(dev, rig)).toBeUndefined();
  const domains = w.domains.flatMap(({ slot, flags, enforce }) => {
    const domain = pagingDomainAllocFlags(devices[slot]!, flags);
    if (isErrno(domain)) return [];
    if (enforce) domain.ops.enforceCacheCoherency?.(domain);
    return [domain];
  });
  if (domains.length === 0) return undefined;
  const built = { devices, domains };
  // What happened before. Errnos are part of the game.
  for (const step of w.steps) void attachForReal(inputOf(built, step));
  return { ...built, digest: () => `${stateDigest(rig.core)} ${String(rig.ram.used)}` };
}

function inputOf({ devices, domains }: Built, { slot, domain, pasid, mode }: Where): TestInput {
  return { domain: domains[domain % domains.length]!, target: devices[slot]!, pasid, mode };
}

function attachForReal({ domain, target, pasid, mode }: TestInput): Status {
  const dev = target as Device;
  const handle = { domain: undefined };
  if (pasid) {
    return mode === 'replace'
      ? replaceDevicePasid(domain, dev, pasid, handle)
      : attachDevicePasid(domain, dev, pasid, handle);
  }
  const group = dev.iommuGroup!;
  return mode === 'replace'
    ? replaceGroupHandle(group, domain, handle)
    : attachGroup(domain, group);
}

describe('on random Intel machines', () => {
  test('on random Intel machines a test changes nothing, and the attach answers what it predicted', () => {
    const seen = { passed: 0, refused: 0 };
    fc.assert(
      fc.property(world, (w) => {
        const built = build(w);
        if (!built) return;
        const input = inputOf(built, w.wish);
        const before = built.digest();
        const predicted = testAttach([input]).errno;
        expect(built.digest()).toBe(before);
        expect(attachForReal(input)?.name).toBe(predicted?.name);
        seen[predicted ? 'refused' : 'passed']++;
      }),
      { numRuns: 600 },
    );
    // Neither answer is rare, or the property would say little.
    expect(Math.min(seen.passed, seen.refused)).toBeGreaterThan(60);
  });
  test('on random Intel machines a refused attach leaves the device where it was', () => {
    fc.assert(
      fc.property(world, (w) => {
        const built = build(w);
        if (!built) return;
        const { target, domain } = inputOf(built, w.wish);
        const group = (target as Device).iommuGroup!;
        const on = group.domain;
        if (attachGroup(domain, group)) expect(group.domain).toBe(on);
        else detachGroup(domain, group);
      }),
      { numRuns: 200 },
    );
  });
});
