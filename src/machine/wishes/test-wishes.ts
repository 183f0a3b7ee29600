/**
 * Wishes asked of a machine: would these attaches succeed, and if not, which rule of which stage stands in the way of
 * which device (core.md 6.5)? The machine is as before afterwards, but for what `before` attached.
 */
import { Bug } from '../../base/bug.ts';
import {
  ENODEV,
  EOPNOTSUPP,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { listening, refuse, type Refusal } from '../../base/refuse.ts';
import { attachGroup } from '../../core/attach/attach.ts';
import type { Device } from '../../core/contract/device.ts';
import { identityDomainAlloc } from '../../core/group/default-domain.ts';
import {
  domainFree,
  pagingDomainAlloc,
  pagingDomainAllocFlags,
} from '../../core/map/domain-alloc.ts';
import type { Domain } from '../../core/contract/domain.ts';
import {
  IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_ALLOC_PASID,
} from '../../core/contract/driver.ts';
import type { IommuGroup } from '../../core/contract/group.ts';
import { groupClaimDmaOwner, groupDmaOwnerClaimed } from '../../core/group/ownership.ts';
import { attachDevicePasid } from '../../core/attach/pasid.ts';
import { testAttach, type TestInput, type TestStage } from '../../core/attach/test-attach.ts';
import type { Problem } from '../description/shape-problems.ts';
import type { Machine } from '../machine.ts';
import type { DomainWish, Wish, WishList } from './wish-list.ts';

/** One device of one wish. */
export interface DeviceAnswer {
  /** Its address; undefined for a target without any device. */
  readonly device: string | undefined;
  readonly errno: Errno | undefined;
  /** Which check refuses: those of the core's test, or 'alloc' for a domain that cannot be made. */
  readonly stage: TestStage | 'alloc';
  /** The rule that would be broken; '' for none. */
  readonly reason: string;
}

/** What came of a wish: the errno of the whole call, and what stands in the way of each device. */
export interface WishAnswer {
  readonly wish: Wish;
  /** What the real call would return. */
  readonly errno: Errno | undefined;
  readonly devices: readonly DeviceAnswer[];
}

/** Ask. Problems are wishes that make no sense on this machine, with their place. */
export function testWishes(
  machine: Machine,
  list: WishList,
): { readonly answers: readonly WishAnswer[] } | { readonly problems: readonly Problem[] } {
  const problems = checkWishes(machine, list);
  if (problems.length > 0) return { problems };
  const maker = new DomainMaker(machine, list);
  const failed = list.before.flatMap((wish, n) => attachNow(machine, maker, wish, n));
  if (failed.length > 0) return { problems: failed };
  const asked = list.wishes.map((wish) => ({ wish, input: inputOf(machine, maker, wish) }));
  const inputs = asked.flatMap(({ input }) => ('refusal' in input ? [] : [input]));
  const report = testAttach(inputs, { whatIf: list.whatIf });
  let index = 0;
  const answers = asked.map(({ wish, input }): WishAnswer => {
    if ('refusal' in input) return notMade(wish, input.refusal);
    const at = index++;
    const devices = report.results
      .filter((result) => result.index === at)
      .map(({ device, errno, stage, reason }) => ({ device: device?.name, errno, stage, reason }));
    return { wish, errno: report.errnos[at], devices };
  });
  maker.freeUnattached();
  return { answers };
}

function notMade(wish: Wish, { errno, rule }: Refusal): WishAnswer {
  return { wish, errno, devices: [{ device: wish.device, errno, stage: 'alloc', reason: rule }] };
}

function inputOf(
  machine: Machine,
  maker: DomainMaker,
  wish: Wish,
): TestInput | { readonly refusal: Refusal } {
  const made = maker.get(wish.domain);
  if ('refusal' in made) return made;
  const target =
    wish.device !== undefined ? deviceAt(machine, wish.device) : groupTarget(machine, wish);
  return { domain: made.domain, target, pasid: wish.pasid, mode: wish.mode };
}

function deviceAt(machine: Machine, address: string): Device {
  const pci = machine.pci.device(address);
  if (!pci) throw new Bug(`${address} was checked and is gone`);
  return pci.dev;
}
function groupTarget(machine: Machine, wish: Wish): { readonly group: IommuGroup } {
  const group = machine.core.groups.get(wish.group ?? -1);
  if (!group) throw new Bug(`group ${String(wish.group)} was checked and is gone`);
  return { group };
}

// --- what is attached beforehand ---

function attachNow(machine: Machine, maker: DomainMaker, wish: Wish, n: number): Problem[] {
  const refusals: Refusal[] = [];
  const rc = listening(
    (refusal) => refusals.push(refusal),
    () => attachReally(machine, maker, wish),
  );
  if (!rc) return [];
  const why = refusals.findLast((refusal) => refusal.errno === rc)?.rule ?? 'no reason was given';
  return [{ path: ['before', n], message: `cannot be attached: ${rc.name}, ${why}` }];
}

function attachReally(machine: Machine, maker: DomainMaker, wish: Wish): Status {
  const made = maker.get(wish.domain);
  if ('refusal' in made) {
    const { errno, rule, facts } = made.refusal;
    return refuse(errno, rule, facts);
  }
  const group =
    wish.device !== undefined
      ? deviceAt(machine, wish.device).iommuGroup
      : groupTarget(machine, wish).group;
  const dev = wish.device !== undefined ? deviceAt(machine, wish.device) : group?.devices[0]?.dev;
  if (!dev || !group) return refuse(ENODEV, 'the device is in no group');
  const rc =
    wish.pasid === 0
      ? claimAndAttach(made.domain, group, maker)
      : attachDevicePasid(made.domain, dev, wish.pasid);
  if (!rc) maker.keep(made.domain);
  return rc;
}

/** As a user of the group would. */
function claimAndAttach(domain: Domain, group: IommuGroup, owner: object): Status {
  const rc = groupDmaOwnerClaimed(group) ? undefined : groupClaimDmaOwner(group, owner);
  return rc ?? attachGroup(domain, group);
}

// --- domains ---

const FLAG_BITS = {
  'nest-parent': IOMMU_HWPT_ALLOC_NEST_PARENT,
  'dirty-tracking': IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
  pasid: IOMMU_HWPT_ALLOC_PASID,
} as const;

type Made = { readonly domain: Domain } | { readonly refusal: Refusal };

/** Makes each named domain once, and remembers which ones are its own to free. */
class DomainMaker {
  readonly #machine: Machine;
  readonly #named: WishList['domains'];
  readonly #made = new Map<DomainWish, Made>();
  readonly #own = new Set<Domain>();

  constructor(machine: Machine, list: WishList) {
    this.#machine = machine;
    this.#named = list.domains;
  }
  get(asked: Wish['domain']): Made {
    const wish = typeof asked === 'string' ? this.#named[asked] : asked;
    if (!wish) throw new Bug('a name of a domain was checked and is gone');
    const known = this.#made.get(wish);
    if (known) return known;
    const made = this.#make(wish);
    this.#made.set(wish, made);
    return made;
  }
  /** It is attached now: the machine needs it. */
  keep(domain: Domain): void {
    this.#own.delete(domain);
  }
  freeUnattached(): void {
    for (const domain of this.#own) domainFree(domain);
  }

  #make(wish: DomainWish): Made {
    const refusals: Refusal[] = [];
    const domain = listening(
      (refusal) => refusals.push(refusal),
      () => this.#domainOf(makerDevice(this.#machine, wish), wish),
    );
    if (!isErrno(domain)) return { domain };
    const said = refusals.findLast((refusal) => refusal.errno === domain);
    return { refusal: said ?? { errno: domain, rule: 'no reason was given', facts: {} } };
  }
  #domainOf(dev: Device, wish: DomainWish): Result<Domain> {
    if (wish.type !== 'paging') return this.#standingDomain(dev, wish.type);
    const flags = wish.flags.reduce((bits, flag) => bits | FLAG_BITS[flag], 0);
    const domain = flags === 0 ? pagingDomainAlloc(dev) : pagingDomainAllocFlags(dev, flags);
    if (!isErrno(domain)) this.#own.add(domain);
    return domain;
  }
  /** One that the driver or the group has anyway; an identity domain may also be made. */
  #standingDomain(dev: Device, type: Exclude<DomainWish['type'], 'paging'>): Result<Domain> {
    const standing = standingDomain(dev, type);
    if (standing) return standing;
    if (type !== 'identity') {
      return refuse(EOPNOTSUPP, `the device has no ${type} domain`, { device: dev.name });
    }
    const made = identityDomainAlloc(dev);
    if (!isErrno(made)) this.#own.add(made);
    return made;
  }
}

function standingDomain(
  dev: Device,
  type: Exclude<DomainWish['type'], 'paging'>,
): Domain | undefined {
  const ops = dev.iommu?.iommuDev?.ops;
  switch (type) {
    case 'identity':
      return ops?.identityDomain;
    case 'blocked':
      return ops?.blockedDomain;
    case 'default':
      return dev.iommuGroup?.defaultDomain;
  }
}

/** The device whose driver makes the domain. */
function makerDevice(machine: Machine, wish: DomainWish): Device {
  if (wish.device !== undefined) return deviceAt(machine, wish.device);
  const behind = firstBehind(machine, wish.iommu);
  if (!behind) throw new Bug(`${String(wish.iommu)} was checked and has no device`);
  return behind;
}
function firstBehind(machine: Machine, iommu: string | undefined): Device | undefined {
  const devices = machine.pci.devices().map((pci) => pci.dev);
  return devices.find((dev) => dev.iommu?.iommuDev?.name === iommu);
}

// --- do the wishes make sense here? ---

function checkWishes(machine: Machine, list: WishList): Problem[] {
  return [
    ...Object.entries(list.domains).flatMap(([name, domain]) =>
      checkDomain(machine, domain, ['domains', name]),
    ),
    ...(['before', 'wishes'] as const).flatMap((key) =>
      list[key].flatMap((wish, n) => checkWish(machine, list, wish, [key, n])),
    ),
  ];
}

function checkWish(machine: Machine, list: WishList, wish: Wish, path: Problem['path']): Problem[] {
  return [
    ...checkDomainOf(machine, list, wish, [...path, 'domain']),
    ...checkTarget(machine, wish, path),
  ];
}

function checkDomainOf(
  machine: Machine,
  list: WishList,
  { domain }: Wish,
  path: Problem['path'],
): Problem[] {
  if (typeof domain !== 'string') return checkDomain(machine, domain, path);
  if (Object.hasOwn(list.domains, domain)) return [];
  const allowed = listOf(Object.keys(list.domains), 'none: there is no key domains');
  return [{ path, message: `there is no domain '${domain}'; allowed: ${allowed}` }];
}

function checkDomain(machine: Machine, domain: DomainWish, path: Problem['path']): Problem[] {
  const { device, iommu, type, flags } = domain;
  if ((device === undefined) === (iommu === undefined)) {
    return [{ path, message: 'one of device and iommu must say whose driver makes the domain' }];
  }
  if (flags.length > 0 && type !== 'paging') {
    return [{ path: [...path, 'flags'], message: `only a paging domain has flags, not ${type}` }];
  }
  if (device !== undefined) return checkDevice(machine, device, [...path, 'device']);
  if (firstBehind(machine, iommu)) return [];
  const names = machine.hardware.iommus.map(({ name }) => name);
  const used = names.filter((name) => firstBehind(machine, name));
  const message = `no device is behind an IOMMU '${String(iommu)}'; allowed: ${listOf(used, 'none')}`;
  return [{ path: [...path, 'iommu'], message }];
}

function checkTarget(machine: Machine, wish: Wish, path: Problem['path']): Problem[] {
  const { device, group } = wish;
  if ((device === undefined) === (group === undefined)) {
    return [{ path, message: 'one of device and group must be the target' }];
  }
  if (device !== undefined) return checkDevice(machine, device, [...path, 'device']);
  if (machine.core.groups.get(group ?? -1)) return [];
  const ids = [...machine.core.groups.entries()].map(([id]) => String(id));
  const message = `there is no group ${String(group)}; allowed: ${listOf(ids, 'none')}`;
  return [{ path: [...path, 'group'], message }];
}

function checkDevice(machine: Machine, address: string, path: Problem['path']): Problem[] {
  if (machine.pci.device(address)) return [];
  const names = machine.pci.devices().map((pci) => pci.name);
  return [{ path, message: `there is no device ${address}; allowed: ${listOf(names, 'none')}` }];
}

function listOf(names: readonly string[], none: string): string {
  return names.length > 0 ? names.join(', ') : none;
}
