/**
 * Would these attaches succeed? A list of tests that attaches nothing (core.md 6.5).
 *
 * Each answer is the one the real call would give now, ENOMEM and ENOSPC of the attach itself apart. Nothing is
 * changed, reserved, logged or warned.
 */
import { EBUSY, EINVAL, ENODEV, EOPNOTSUPP, type Errno, type Status } from '../../base/errno.ts';
import { listening, refuse, silently, type Refusal } from '../../base/refuse.ts';
import { refuseWholeDevice } from './aux-feature.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { callTestDev } from '../contract/driver-call.ts';
import type { IommuGroup } from '../contract/group.ts';
import { blocksDirectDma, isCoreDomain, isReplaceable } from './set-domain.ts';
import {
  canSetPasid,
  checkCompatible,
  checkPasidRange,
  isOwnerCompatible,
  pasidMembers,
} from './test-dev.ts';

/** Which check refuses. */
export type TestStage =
  | 'ok'
  | 'no-group'
  | 'noiommu'
  | 'singleton'
  | 'busy'
  | 'reset'
  | 'owner'
  | 'pasid-unsupported'
  | 'pasid-range'
  | 'pasid-slot'
  | 'direct-map'
  | 'driver';

/** One attach somebody would like to make. */
export interface TestInput {
  readonly domain: Domain;
  readonly target: Device | { readonly group: IommuGroup };
  /** 0 for an attach without a PASID, the default. */
  readonly pasid?: number;
  readonly mode?: 'attach' | 'replace';
}

/** The answer for one device of one input. */
export interface TestResult {
  /** Position of the input in the list. */
  readonly index: number;
  /** Undefined for an input without any device. */
  readonly device: Device | undefined;
  readonly errno: Errno | undefined;
  readonly stage: TestStage;
  /** The rule that would be broken. */
  readonly reason: string;
}

/** All answers. */
export interface TestReport {
  /** Per input and member, in order. */
  readonly results: readonly TestResult[];
  /** Per input: what the real call would return. */
  readonly errnos: readonly Status[];
  /** The first errno of all. */
  readonly errno: Status;
}

/** How to ask. */
export interface TestOptions {
  /** Only compatibility: leave out busy, reset and slot, which may have changed by the time of the attach. */
  readonly whatIf?: boolean;
}

interface Verdict {
  readonly device: Device | undefined;
  readonly errno: Errno | undefined;
  readonly stage: TestStage;
  readonly reason: string;
}

/** What one real call would do, and what stands in the way of each member. */
interface Outcome {
  readonly errno: Status;
  readonly verdicts: readonly Verdict[];
}

/** Run every test, in order; a failing one does not stop the later ones. */
export function testAttach(inputs: readonly TestInput[], options: TestOptions = {}): TestReport {
  const outcomes = silently(() => inputs.map((input) => testOne(input, options)));
  const results = outcomes.flatMap(({ verdicts }, index) =>
    verdicts.map((verdict) => ({ index, ...verdict })),
  );
  const errnos = outcomes.map(({ errno }) => errno);
  return { results, errnos, errno: errnos.find((errno) => errno !== undefined) };
}

function testOne(input: TestInput, options: TestOptions): Outcome {
  const { target } = input;
  const dev = 'group' in target ? undefined : target;
  const group = 'group' in target ? target.group : target.iommuGroup;
  if (!group) {
    return refuseAll([dev], 'no-group', refuse(ENODEV, NO_GROUP), NO_GROUP);
  }
  using _ = group.mutex.hold();
  const pasid = input.pasid ?? 0;
  return pasid !== 0
    ? testPasid(group, dev ?? group.devices[0]?.dev, input, options)
    : testRid(group, dev, input, options);
}

const NO_GROUP = 'the device is in no group';
const NO_IOMMU = 'the first device of the group has no IOMMU';
const OTHER_DRIVER = 'the domain was made by another IOMMU driver';

// --- without a PASID ---

function testRid(
  group: IommuGroup,
  dev: Device | undefined,
  input: TestInput,
  options: TestOptions,
): Outcome {
  const { domain, mode } = input;
  const members = group.devices.map((member) => member.dev);
  const attach = (mode ?? 'attach') === 'attach';
  const refused = attach
    ? checkRidState(group, dev, domain, options)
    : checkReplaceOwner(group, domain);
  if (refused) return refused;
  if (group.domain === domain) return accept(members);
  const split = checkWholeDevices(members, domain);
  if (split) return split;
  if (group.recoveryCnt > 0 && !options.whatIf) {
    const reason = 'a member of the group is being reset';
    return refuseAll(members, 'reset', refuse(EBUSY, reason), reason);
  }
  return testMembers(group, domain);
}

/** The rules of attach that replace does not have. */
function checkRidState(
  group: IommuGroup,
  dev: Device | undefined,
  domain: Domain,
  options: TestOptions,
): Outcome | undefined {
  const members = group.devices.map((member) => member.dev);
  if (dev && members.length !== 1) {
    const reason = 'the group has more devices than this one: attach the group';
    return refuseAll(members, 'singleton', refuse(EINVAL, reason), reason);
  }
  if (!options.whatIf && group.domain && !isCoreDomain(group, group.domain)) {
    const reason = 'the group is attached to a domain already';
    return refuseAll(members, 'busy', refuse(EBUSY, reason), reason);
  }
  const first = members[0];
  if (!first || !devHasIommu(first)) {
    return refuseAll(members, 'noiommu', refuse(EINVAL, NO_IOMMU), NO_IOMMU);
  }
  if (!group.core.env.has('test-dev') && !isOwnerCompatible(first, domain)) {
    return refuseAll(members, 'owner', refuse(EINVAL, OTHER_DRIVER), OTHER_DRIVER);
  }
  return undefined;
}

/** A device split into aux domains is not taken as a whole. */
function checkWholeDevices(members: readonly Device[], domain: Domain): Outcome | undefined {
  for (const member of members) {
    const split = refuseWholeDevice(domain, member);
    if (split) return refuseAll(members, 'driver', split, 'the device is split into aux domains');
  }
  return undefined;
}

function checkReplaceOwner(group: IommuGroup, domain: Domain): Outcome | undefined {
  if (isReplaceable(group, domain)) return undefined;
  const members = group.devices.map((member) => member.dev);
  return refuseAll(members, 'owner', refuse(EINVAL, OTHER_DRIVER), OTHER_DRIVER);
}

/**
 * Each member by itself. With test-dev the real call tests all members before it attaches the first, so a refusal by
 * a test comes before an earlier member's direct mappings.
 */
function testMembers(group: IommuGroup, domain: Domain): Outcome {
  const testsFirst = group.core.env.has('test-dev');
  const tested: Verdict[] = [];
  const attached: Verdict[] = [];
  for (const { dev } of group.devices) {
    const test = testsFirst ? verdictOfTest(domain, dev, group.domain) : pass(dev);
    const attach = verdictOfAttach(group, dev, domain, testsFirst);
    tested.push(test);
    attached.push(attach);
  }
  const first = [...tested, ...attached].find((verdict) => verdict.errno);
  const verdicts = tested.map((test, index) => (test.errno ? test : attached[index]!));
  return { errno: first?.errno, verdicts };
}

function verdictOfTest(domain: Domain, dev: Device, old: Domain | undefined): Verdict {
  const unfit = checkCompatible(domain, dev, 0);
  if (unfit?.rc) return refused(dev, unfit.stage, unfit.rc, COMPAT_REASONS[unfit.stage]);
  return askDriver(domain, dev, 0, old);
}

/** The driver's own test, and its own words for a refusal. */
function askDriver(domain: Domain, dev: Device, pasid: number, old: Domain | undefined): Verdict {
  const said: Refusal[] = [];
  const rc = listening(
    (refusal) => said.push(refusal),
    () => callTestDev(domain, dev, pasid, old),
  );
  if (!rc) return pass(dev);
  const words = said.findLast((refusal) => refusal.errno === rc)?.rule;
  return refused(dev, 'driver', rc, words ?? DRIVER_REASON);
}

/** What attaching this member would say: the driver is asked only if the test has not done so. */
function verdictOfAttach(
  group: IommuGroup,
  dev: Device,
  domain: Domain,
  isTested: boolean,
): Verdict {
  if (blocksDirectDma(group, dev, domain)) {
    const reason = 'the firmware wants direct mappings for the device, so it cannot be blocked';
    return refused(dev, 'direct-map', refuse(EINVAL, reason), reason);
  }
  if (dev.iommu?.attachDeferred && domain === group.defaultDomain) return pass(dev);
  if (!domain.ops.attachDev) {
    const reason = 'the domain cannot be attached to anything';
    return refused(dev, 'driver', refuse(ENODEV, reason), reason);
  }
  if (isTested) return pass(dev);
  return askDriver(domain, dev, 0, group.domain);
}

const DRIVER_REASON = 'the IOMMU driver says that the domain does not fit the device';
const COMPAT_REASONS = {
  noiommu: 'the device has no IOMMU',
  owner: OTHER_DRIVER,
  'pasid-unsupported': 'the domain or its driver cannot serve a PASID',
  'pasid-range': 'the PASID is beyond what a device of the group has',
} as const;

// --- on a PASID ---

function testPasid(
  group: IommuGroup,
  dev: Device | undefined,
  input: TestInput,
  options: TestOptions,
): Outcome {
  const members = pasidMembers(group);
  const shown = members.length > 0 || !dev ? members : [dev];
  const check = checkPasidCall(group, dev, input, options);
  if (check) return refuseAll(shown, check.stage, check.errno, check.reason);

  const { domain } = input;
  const pasid = input.pasid ?? 0;
  const old = group.pasidArray.get(pasid)?.domain;
  if (input.mode === 'replace' && old === domain) return accept(shown);
  const testsFirst = group.core.env.has('test-dev');
  const verdicts = members.map((member) => {
    const unfit = testsFirst ? checkCompatible(domain, member, pasid) : undefined;
    if (unfit?.rc) return refused(member, unfit.stage, unfit.rc, COMPAT_REASONS[unfit.stage]);
    return askDriver(domain, member, pasid, input.mode === 'replace' ? old : undefined);
  });
  const failed = verdicts.find((verdict) => verdict.errno);
  if (failed) return { errno: failed.errno, verdicts };
  // With test-dev the real call tests before it looks at the slot; without, the slot comes first.
  const slot = testsFirst ? checkSlot(group, pasid, input, options) : undefined;
  if (slot) return refuseAll(shown, slot.stage, slot.errno, slot.reason);
  // Members without PASIDs do not take part: with none of the others the call has nothing to do.
  return members.length > 0 ? { errno: undefined, verdicts } : accept(shown);
}

interface Refused {
  readonly stage: TestStage;
  readonly errno: Errno;
  readonly reason: string;
}

/** The checks that are made once for a call, in the order of the real one. */
function checkPasidCall(
  group: IommuGroup,
  dev: Device | undefined,
  input: TestInput,
  options: TestOptions,
): Refused | undefined {
  const pasid = input.pasid ?? 0;
  if (!dev || !devHasIommu(dev)) {
    return { stage: 'noiommu', errno: refuse(EINVAL, NO_IOMMU), reason: NO_IOMMU };
  }
  const testsFirst = group.core.env.has('test-dev');
  const early = testsFirst ? undefined : checkPasidPair(dev, input);
  if (early) return early;
  if (group.recoveryCnt > 0 && !options.whatIf) {
    const reason = 'a member of the group is being reset';
    return { stage: 'reset', errno: refuse(EBUSY, reason), reason };
  }
  if (input.mode === 'replace') return checkReplacement(group, dev, input, options);
  if (testsFirst) return compatOf(dev, input.domain, pasid);
  const rc = checkPasidRange(group, pasid);
  if (rc) return { stage: 'pasid-range', errno: rc, reason: COMPAT_REASONS['pasid-range'] };
  return checkSlot(group, pasid, input, options);
}

function checkPasidPair(dev: Device, input: TestInput): Refused | undefined {
  const { domain } = input;
  const ops = dev.iommu?.iommuDev?.ops;
  const can =
    input.mode === 'replace'
      ? domain.ops.setDevPasid !== undefined
      : ops !== undefined && canSetPasid(ops, domain);
  if (!can) {
    const reason = COMPAT_REASONS['pasid-unsupported'];
    return { stage: 'pasid-unsupported', errno: refuse(EOPNOTSUPP, reason), reason };
  }
  if (isOwnerCompatible(dev, domain)) return undefined;
  return { stage: 'owner', errno: refuse(EINVAL, OTHER_DRIVER), reason: OTHER_DRIVER };
}

function checkReplacement(
  group: IommuGroup,
  dev: Device,
  input: TestInput,
  options: TestOptions,
): Refused | undefined {
  const pasid = input.pasid ?? 0;
  const entry = group.pasidArray.get(pasid);
  if (!entry && !options.whatIf) {
    const reason = 'nothing is attached to this PASID';
    return { stage: 'pasid-slot', errno: refuse(EINVAL, reason), reason };
  }
  if (entry?.domain === input.domain || !group.core.env.has('test-dev')) return undefined;
  return compatOf(dev, input.domain, pasid);
}

function compatOf(dev: Device, domain: Domain, pasid: number): Refused | undefined {
  const unfit = checkCompatible(domain, dev, pasid);
  if (!unfit?.rc) return undefined;
  return { stage: unfit.stage, errno: unfit.rc, reason: COMPAT_REASONS[unfit.stage] };
}

function checkSlot(
  group: IommuGroup,
  pasid: number,
  input: TestInput,
  options: TestOptions,
): Refused | undefined {
  if (input.mode === 'replace' || options.whatIf || !group.pasidArray.has(pasid)) return undefined;
  const reason = 'something is attached to this PASID';
  return { stage: 'pasid-slot', errno: refuse(EBUSY, reason), reason };
}

// --- verdicts ---

function pass(device: Device): Verdict {
  return { device, errno: undefined, stage: 'ok', reason: '' };
}

function refused(device: Device, stage: TestStage, errno: Errno, reason: string): Verdict {
  return { device, errno, stage, reason };
}

function accept(members: readonly Device[]): Outcome {
  return { errno: undefined, verdicts: members.map(pass) };
}

/** A rule of the whole call: every member gets it. */
function refuseAll(
  members: readonly (Device | undefined)[],
  stage: TestStage,
  errno: Errno,
  reason: string,
): Outcome {
  const shown = members.length > 0 ? members : [undefined];
  return { errno, verdicts: shown.map((device) => ({ device, errno, stage, reason })) };
}
