/**
 * Keep a device off its domains while it is reset, and bring it back to what is current then (core.md 4.3).
 *
 * Between the two, attach, replace, PASID attach and ownership are refused with EBUSY for every member of the group;
 * what must succeed (detach, release) passes by the blocked member, and done picks it up.
 */
import { ENODEV, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { groupAllocBlockingDomain } from './blocking-domain.ts';
import { devHasIommu, type Device } from '../contract/device.ts';
import type { Domain } from '../contract/domain.ts';
import { callSetDevPasid } from '../contract/driver-call.ts';
import type { GroupDevice, IommuGroup } from '../contract/group.ts';
import { removeDevPasid } from '../attach/pasid.ts';
import { attachOneDevice, findMember } from '../attach/set-domain.ts';

/**
 * Block one device before its reset. Nested calls are counted.
 * Errnos: ENODEV not in its group; those of the blocking domain and its attach.
 * @kernel pci_dev_reset_iommu_prepare
 */
export function resetPrepare(dev: Device): Status {
  const group = dev.iommuGroup;
  if (!isBracketed(dev) || !group) return undefined;
  using _ = group.mutex.hold();
  const member = findMember(group, dev);
  if (!member) {
    warnUnbalanced(dev, 'not in its own group');
    return refuse(ENODEV, 'the device is not in its own group', { device: dev.name });
  }
  if (member.resetDepth > 0) {
    member.resetDepth++;
    return undefined;
  }
  const rc = blockMember(group, member);
  if (rc) return rc;
  member.resetDepth = 1;
  group.recoveryCnt++;
  return undefined;
}

function blockMember(group: IommuGroup, member: GroupDevice): Status {
  const { dev } = member;
  const rc = groupAllocBlockingDomain(group);
  if (rc) return rc;
  if (group.blockingDomain && group.domain !== group.blockingDomain) {
    const failed = attachOneDevice(group.blockingDomain, dev, group.domain);
    if (failed) return failed;
  }
  member.blocked = true;
  for (const [pasid, domain] of pasidDomains(group, dev)) removeDevPasid(dev, pasid, domain);
  return undefined;
}

/**
 * Give the device back its domains, as they are now.
 * @kernel pci_dev_reset_iommu_done
 */
export function resetDone(dev: Device): void {
  const group = dev.iommuGroup;
  if (!isBracketed(dev) || !group) return;
  using _ = group.mutex.hold();
  const member = findMember(group, dev);
  if (!member) {
    warnUnbalanced(dev, 'not in its own group');
    return;
  }
  if (member.resetDepth === 0) {
    warnUnbalanced(dev, 'done without prepare');
    return;
  }
  if (--member.resetDepth > 0) return;
  if (!group.blockingDomain) {
    warnUnbalanced(dev, 'no blocking domain');
    return;
  }
  warnBlockedAlias(group, member);
  unblockMember(group, member, group.blockingDomain);
  if (group.recoveryCnt === 0) {
    warnUnbalanced(dev, 'recovery count underflow');
    return;
  }
  group.recoveryCnt--;
}

function unblockMember(group: IommuGroup, member: GroupDevice, blocking: Domain): void {
  const { dev } = member;
  if (group.domain && group.domain !== blocking) {
    const rc = attachOneDevice(group.domain, dev, blocking);
    if (rc) warnRestore(dev, group.domain, rc.name);
  }
  member.blocked = false;
  for (const [pasid, domain] of pasidDomains(group, dev)) {
    const rc = domain.ops.setDevPasid && callSetDevPasid(domain, dev, pasid, blocking);
    if (rc) warnRestore(dev, domain, rc.name);
  }
}

/** What is attached to PASIDs of the device, in order of PASID; nothing for a device without PASIDs. */
function pasidDomains(group: IommuGroup, dev: Device): [number, Domain][] {
  if (!dev.iommu || dev.iommu.maxPasids === 0) return [];
  const found: [number, Domain][] = [];
  for (const [pasid, entry] of group.pasidArray) {
    if (pasid > 0 && entry.domain) found.push([pasid, entry.domain]);
  }
  return found.sort(([a], [b]) => a - b);
}

/** Only a device with usable ATS needs the bracket: it could hold stale translations over a reset. */
function isBracketed(dev: Device): boolean {
  return devHasIommu(dev) && hasUsableAts(dev);
}

function hasUsableAts(dev: Device): boolean {
  const { ats, untrusted, pci } = dev.config;
  if (!ats || untrusted) return false;
  return !pci?.physfn || hasUsableAts(pci.physfn);
}

function warnBlockedAlias(group: IommuGroup, done: GroupDevice): void {
  const aliases = done.dev.config.pci?.dmaAliasOf;
  for (const member of group.devices) {
    if (member === done || !member.blocked || !aliases?.(member.dev)) continue;
    done.dev.core.env.warn(
      'reset-alias',
      `${done.dev.name}: unblocked while its DMA alias ${member.dev.name} is still blocked`,
    );
  }
}

function warnUnbalanced(dev: Device, what: string): void {
  dev.core.env.warn('reset-unbalanced', `${dev.name}: ${what}`);
}

function warnRestore(dev: Device, domain: Domain, errno: string): void {
  dev.core.env.warn(
    'rollback-failed',
    `${dev.name}: ${domain.name} could not be attached again after the reset: ${errno}`,
  );
}
