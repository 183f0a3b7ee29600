/**
 * The whole state of the core as text, for comparing before and after: two equal digests are the same state.
 * For whoever must see that nothing changed.
 */
import type { Device } from './contract/device.ts';
import type { AttachHandle, Domain } from './contract/domain.ts';
import type { IommuGroup } from './contract/group.ts';
import type { IommuCore } from './contract/iommu-core.ts';

/** One line per instance, device, group, member and PASID. */
export function stateDigest(core: IommuCore): string {
  const owners = new Map<object, number>();
  const lines = core.instances.map(
    ({ name, ops, ready, maxPasids }) =>
      `instance ${name} ops=${ops.name} ready=${String(ready)} pasids=${String(maxPasids)}`,
  );
  for (const [bus, devices] of core.buses) {
    for (const dev of devices) lines.push(`bus ${bus} ${deviceLine(dev)}`);
  }
  for (const [, group] of core.groups.entries()) lines.push(...groupLines(group, owners));
  lines.push(`pasids ${String(core.globalPasids.size)}`);
  lines.push(`warnings ${core.env.warnings.join(',')}`);
  return lines.join('\n');
}

function deviceLine(dev: Device): string {
  const { iommu, iommuGroup, driver } = dev;
  const group = iommuGroup ? String(iommuGroup.id) : '-';
  const head = `${dev.name} group=${group} driver=${driver?.name ?? '-'} dma=${String(dev.dmaIommu)}`;
  if (!iommu) return `${head} iommu=-`;
  const { iommuDev, maxPasids, attachDeferred, requireDirect, fwspec, faultParam } = iommu;
  const flags = [attachDeferred && 'deferred', requireDirect && 'direct', faultParam && 'iopf'];
  return (
    `${head} iommu=${iommuDev?.name ?? '-'} pasids=${String(maxPasids)}` +
    ` flags=${flags.filter(Boolean).join('+')} ids=${fwspec?.ids.join('+') ?? '-'}`
  );
}

function groupLines(group: IommuGroup, owners: Map<object, number>): string[] {
  const { id, domain, defaultDomain, blockingDomain, ownerCnt, recoveryCnt, refs } = group;
  const lines = [
    `group ${String(id)} name=${group.name ?? '-'} domain=${nameOf(domain)} default=${nameOf(defaultDomain)}` +
      ` blocking=${nameOf(blockingDomain)} owner=${ownerOf(group, owners)} cnt=${String(ownerCnt)}` +
      ` recovery=${String(recoveryCnt)} refs=${String(refs)} aux=${String(group.auxDomainAttached)}`,
  ];
  for (const { dev, name, blocked, resetDepth } of group.devices) {
    lines.push(
      `  member ${name} dev=${dev.name} blocked=${String(blocked)} depth=${String(resetDepth)}`,
    );
  }
  for (const [pasid, { domain: on, handle }] of group.pasidArray) {
    lines.push(`  pasid ${String(pasid)} ${nameOf(on)} ${handleOf(handle)}`);
  }
  return lines;
}

function nameOf(domain: Domain | undefined): string {
  return domain ? `${domain.name}/${String(domain.type)}` : '-';
}

function handleOf(handle: AttachHandle | undefined): string {
  return handle ? `handle=${nameOf(handle.domain)}` : 'bare';
}

/** Owners have no names: they are numbered as they are met. */
function ownerOf(group: IommuGroup, owners: Map<object, number>): string {
  if (!group.owner) return '-';
  const known = owners.get(group.owner) ?? owners.size + 1;
  owners.set(group.owner, known);
  return String(known);
}
