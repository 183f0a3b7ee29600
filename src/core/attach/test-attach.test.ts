/** testAttach predicts what an attach would answer, and changes nothing (core.md 6.5). */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { Rig } from '../../testing/core/rig.ts';
import { must } from '../../testing/base/must.ts';
import { createMockDriver } from '../../drivers/mock/index.ts';
import {
  EBUSY,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  type Errno,
  type Status,
} from '../../base/errno.ts';
import { listening } from '../../base/refuse.ts';
import { attachDevice, attachGroup, replaceGroupHandle } from './attach.ts';
import { auxAttachDevice } from '../aux/aux.ts';
import { devEnableFeature, IOMMU_DEV_FEAT_AUX } from './aux-feature.ts';
import { Device } from '../contract/device.ts';
import type { Domain, DomainOps } from '../contract/domain.ts';
import { groupAddDevice, groupAlloc } from '../group/group-ops.ts';
import { deviceClaimDmaOwner, groupReleaseDmaOwner } from '../group/ownership.ts';
import { attachDevicePasid, detachDevicePasid, replaceDevicePasid } from './pasid.ts';
import { resetDone, resetPrepare } from '../group/reset.ts';
import { IOMMU_RESV_DIRECT } from '../contract/resv-region.ts';
import { stateDigest } from '../state-digest.ts';
import { testAttach, type TestInput } from './test-attach.ts';

const OWNER = {};
const newHandle = () => ({ domain: undefined });

function withoutPasid(domain: Domain): DomainOps {
  const ops = { ...domain.ops };
  delete ops.setDevPasid;
  return ops;
}

/** The real call that an input stands for. */
function attachForReal(input: TestInput): Status {
  const { domain, target } = input;
  const pasid = input.pasid ?? 0;
  const group = 'group' in target ? target.group : target.iommuGroup;
  const dev = 'group' in target ? target.group.devices[0]!.dev : target;
  if (pasid !== 0) {
    return input.mode === 'replace'
      ? replaceDevicePasid(domain, dev, pasid, newHandle())
      : attachDevicePasid(domain, dev, pasid, newHandle());
  }
  if (input.mode === 'replace') return replaceGroupHandle(group!, domain, newHandle());
  return 'group' in target ? attachGroup(domain, target.group) : attachDevice(domain, target);
}

function stagesOf(input: TestInput): [string, Errno | undefined][] {
  return testAttach([input]).results.map(({ stage, errno }) => [stage, errno]);
}

describe('each stage', () => {
  test('a test of a device in no group stops at the stage of the group', () => {
    const rig = new Rig();
    rig.mock.removeDevice(rig.b);
    expect(stagesOf({ domain: rig.domain('U'), target: rig.b })).toEqual([['no-group', ENODEV]]);
  });
  test('a test of a device without an IOMMU stops at the stage of the IOMMU', () => {
    const rig = new Rig();
    const dev = new Device(rig.core, { name: 'X', bus: 'pci' });
    expect(groupAddDevice(must(groupAlloc(rig.core)), dev)).toBeUndefined();
    const domain = rig.domain('U');
    expect(stagesOf({ domain, target: dev })).toEqual([['noiommu', EINVAL]]);
    expect(stagesOf({ domain, target: dev, pasid: 4 })).toEqual([['noiommu', EINVAL]]);
  });
  test('a test of one device of a larger group stops at the stage of singletons', () => {
    const rig = new Rig();
    const target = rig.a;
    expect(stagesOf({ domain: rig.domain('U'), target })).toEqual([
      ['singleton', EINVAL],
      ['singleton', EINVAL],
    ]);
  });
  test('a busy group is told, unless only compatibility is asked for or the domain is to be replaced', () => {
    const rig = new Rig();
    const target = { group: rig.group };
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    const domain = rig.domain('U2');
    expect(stagesOf({ domain, target })[0]).toEqual(['busy', EBUSY]);
    expect(stagesOf({ domain, target, mode: 'replace' })[0]).toEqual(['ok', undefined]);
    expect(testAttach([{ domain, target }], { whatIf: true }).errno).toBeUndefined();
  });
  test('a reset is told, unless only compatibility is asked for', () => {
    const rig = new Rig();
    expect(resetPrepare(rig.a)).toBeUndefined();
    const domain = rig.domain('U');
    for (const input of [
      { domain, target: { group: rig.group } },
      { domain, target: rig.a, pasid: 5 },
    ]) {
      expect(stagesOf(input)[0]).toEqual(['reset', EBUSY]);
      expect(testAttach([input], { whatIf: true }).errno).toBeUndefined();
    }
  });
});

describe('each stage of compatibility', () => {
  test.for([[], ['test-dev']] as const)(
    'a domain of another driver stops at the stage of the owner, with traits %s',
    (traits) => {
      const rig = new Rig({ traits });
      const domain = rig.domain('U');
      domain.owner = createMockDriver(rig.core, { name: 'other' }).ops;
      for (const mode of ['attach', 'replace'] as const) {
        expect(stagesOf({ domain, target: { group: rig.group }, mode })[0]).toEqual([
          'owner',
          EINVAL,
        ]);
      }
      expect(stagesOf({ domain, target: rig.a, pasid: 5 })[0]).toEqual(['owner', EINVAL]);
    },
  );
  test('a PASID that is unsupported, out of range, in use, or not there to replace is told', () => {
    const rig = new Rig({ traits: ['test-dev'] });
    const target = rig.a;
    const domain = rig.domain('U');
    expect(attachDevicePasid(domain, target, 5)).toBeUndefined();
    expect(stagesOf({ domain, target, pasid: 5 })[0]).toEqual(['pasid-slot', EBUSY]);
    expect(stagesOf({ domain, target, pasid: 6, mode: 'replace' })[0]).toEqual([
      'pasid-slot',
      EINVAL,
    ]);
    expect(stagesOf({ domain, target, pasid: 5000 })[0]).toEqual(['pasid-range', EINVAL]);
    domain.ops = withoutPasid(domain);
    expect(stagesOf({ domain, target, pasid: 7 })[0]).toEqual(['pasid-unsupported', EOPNOTSUPP]);
  });
});

describe('the answers', () => {
  test('each member has the answer of its driver, and later tests run after a failure', () => {
    const rig = new Rig({ traits: ['test-dev'] });
    rig.mock.knobsOf(rig.a).failTest = EPERM;
    const domain = rig.domain('U');
    const target = { group: rig.group };
    const { results, errnos, errno } = testAttach([
      { domain, target },
      { domain: rig.mock.ops.blockedDomain!, target },
    ]);
    expect(results.map(({ index, device, errno: e }) => [index, device?.name, e])).toEqual([
      [0, 'A', EPERM],
      [0, 'B', undefined],
      [1, 'A', undefined],
      [1, 'B', undefined],
    ]);
    expect(errnos).toEqual([EPERM, undefined]);
    expect(errno).toBe(EPERM);
    expect(results.map(({ reason }) => reason !== '')).toEqual([true, false, false, false]);
  });
  test('a device split into aux domains cannot be taken as a whole, which is EPERM', () => {
    const rig = new Rig({ traits: ['aux-domains'] });
    const input = { domain: rig.domain('U'), target: { group: rig.group } };
    expect(stagesOf(input)[0]).toEqual(['ok', undefined]);
    expect(devEnableFeature(rig.b, IOMMU_DEV_FEAT_AUX)).toBeUndefined();
    expect(stagesOf(input)[0]).toEqual(['driver', EPERM]);
    expect(attachForReal(input)).toBe(EPERM);
  });
  test('a test is not heard as a refusal', () => {
    const rig = new Rig();
    const heard: unknown[] = [];
    const input = { domain: rig.domain('U'), target: rig.a };
    listening(
      (refusal) => heard.push(refusal),
      () => testAttach([input]),
    );
    expect(heard).toEqual([]);
  });
});

// --- random machines ---

const ERRNOS: readonly (Errno | undefined)[] = [undefined, EINVAL, EBUSY, ENODEV, EPERM];

/** A driver that lacks a feature stops most calls at once: that is drawn seldom. */
const mostly = fc.nat(7).map((n) => n > 0);

const world = fc.record({
  testDev: fc.boolean(),
  auxDomains: fc.boolean(),
  blockedPasid: mostly,
  blocked: mostly,
  pasid: mostly,
  members: fc.array(
    fc.record({
      pasidBits: fc.constantFrom(0, 2, 4, 4, 4),
      failTest: fc.constantFrom(undefined, undefined, undefined, ...ERRNOS),
      direct: fc.nat(3).map((n) => n === 0),
      noDirty: fc.boolean(),
      attachDeferred: fc.nat(3).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  steps: fc.array(
    fc.record({
      kind: fc.constantFrom(
        ...(['claim', 'release', 'attach', 'pasid', 'unpasid', 'reset', 'done', 'aux'] as const),
      ),
      member: fc.nat(2),
      domain: fc.nat(3),
      pasid: fc.constantFrom(1, 2, 5),
    }),
    { maxLength: 8 },
  ),
  input: fc.record({
    domain: fc.nat(5),
    member: fc.nat(2),
    whole: fc.boolean(),
    pasid: fc.constantFrom(0, 0, 0, 1, 1, 2, 5, 20),
    mode: fc.constantFrom(...(['attach', 'replace'] as const)),
  }),
});

const TEST_DEV = ['test-dev'] as const;
const AUX_DOMAINS = ['aux-domains'] as const;

type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

/** A rig in some state, and domains to attach: four of its own driver, one foreign, the blocked one. */
function build(w: World): { rig: Rig; domains: Domain[] } {
  const region = { start: 0x1000n, length: 0x1000n, prot: 3, type: IOMMU_RESV_DIRECT };
  const rig = new Rig({
    traits: [...(w.testDev ? TEST_DEV : []), ...(w.auxDomains ? AUX_DOMAINS : [])],
    driver: { blocked: w.blocked, blockedPasid: w.blockedPasid, pasid: w.pasid },
    members: w.members.map(({ pasidBits, direct, noDirty, attachDeferred }, index) => ({
      name: `M${String(index)}`,
      pasidBits,
      knobs: { resvRegions: direct ? [region] : [], noDirty, attachDeferred },
    })),
  });
  const domains = Array.from({ length: 4 }, (_, n) => rig.domain(`U${String(n)}`));
  const foreign = rig.domain('F');
  foreign.owner = createMockDriver(rig.core, { name: 'other' }).ops;
  domains.push(foreign, rig.mock.ops.blockedDomain ?? domains[0]!);
  for (const step of w.steps) runStep(rig, domains, step);
  w.members.forEach(({ failTest }, index) => {
    rig.mock.knobsOf(rig.devices[index]!).failTest = failTest;
  });
  return { rig, domains };
}

type Step = World['steps'][number];
interface StepWorld {
  readonly rig: Rig;
  readonly dev: Device;
  readonly domain: Domain;
  readonly pasid: number;
}

/** What may have happened before. Errnos are part of the game. */
const STEPS: Record<Step['kind'], (w: StepWorld) => unknown> = {
  claim: ({ dev }) => deviceClaimDmaOwner(dev, OWNER),
  release({ rig }) {
    if (rig.group.owner && rig.group.pasidArray.size === 0) groupReleaseDmaOwner(rig.group);
  },
  attach: ({ rig, domain }) => attachGroup(domain, rig.group),
  pasid: ({ dev, domain, pasid }) => attachDevicePasid(domain, dev, pasid),
  unpasid({ rig, dev, pasid }) {
    const old = rig.group.pasidArray.get(pasid)?.domain;
    if (old) detachDevicePasid(old, dev, pasid);
  },
  aux: ({ dev, domain }) =>
    devEnableFeature(dev, IOMMU_DEV_FEAT_AUX) ?? auxAttachDevice(domain, dev),
  reset: ({ dev }) => resetPrepare(dev),
  done({ rig, dev }) {
    if (rig.group.devices.some((member) => member.dev === dev && member.blocked)) resetDone(dev);
  },
};

function runStep(rig: Rig, domains: readonly Domain[], step: Step): void {
  const dev = rig.devices[step.member % rig.devices.length]!;
  STEPS[step.kind]({ rig, dev, domain: domains[step.domain]!, pasid: step.pasid });
}

function inputOf(rig: Rig, domains: readonly Domain[], input: World['input']): TestInput {
  const dev = rig.devices[input.member % rig.devices.length]!;
  return {
    domain: domains[input.domain]!,
    target: input.whole && input.pasid === 0 ? { group: rig.group } : dev,
    pasid: input.pasid,
    mode: input.mode,
  };
}

describe('on random machines', () => {
  /** Without the trait the real attach does not ask test_dev: then no test is made to fail that an attach passes. */
  const honest = (w: World): World =>
    w.testDev ? w : { ...w, members: w.members.map((m) => ({ ...m, failTest: undefined })) };

  test('on random machines the prediction is what the attach answers', () => {
    fc.assert(
      fc.property(world, (drawn) => {
        const { rig, domains } = build(honest(drawn));
        const input = inputOf(rig, domains, drawn.input);
        const predicted = testAttach([input]).errnos[0];
        expect(attachForReal(input)).toBe(predicted);
      }),
      { numRuns: 1500 },
    );
  });
  test('on random machines a test changes nothing', () => {
    fc.assert(
      fc.property(world, (drawn) => {
        const { rig, domains } = build(honest(drawn));
        const before = stateDigest(rig.core);
        testAttach([inputOf(rig, domains, drawn.input)]);
        expect(stateDigest(rig.core)).toBe(before);
      }),
      { numRuns: 500 },
    );
  });
  test('on random machines a passed test leaves only ENOMEM and ENOSPC to the attach', () => {
    const rig = new Rig({ traits: ['test-dev'] });
    const input = { domain: rig.domain('U'), target: { group: rig.group } };
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: ENOMEM });
    expect(testAttach([input]).errno).toBeUndefined();
    expect(attachForReal(input)).toBe(ENOMEM);
  });
});
