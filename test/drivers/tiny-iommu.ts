/**
 * A type of IOMMU in one file, as a user of the library would write it: a domain per device, no hardware tables in
 * between, no caches. Its one option makes it refuse every write.
 */
import {
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  deviceRegister,
  isErrno,
  newDomain,
  newIommuDevice,
  newPtDomain,
  type Device,
  type Domain,
  type DomainOps,
  type IommuCore,
  type IommuOps,
} from 'softiommu/core';
import { PlainUnit, type IommuType, type OptionsOf, type OptionTable } from 'softiommu/drivers';
import { createPageTable, riscv64 } from 'softiommu/pt';

const OPTIONS = {
  readOnly: { kind: 'boolean', default: false, help: 'refuses every write' },
  generation: { kind: 'integer', min: 1, max: 3, default: 1, help: 'for people' },
} as const satisfies OptionTable;

/** Domains by device: what its unit looks up. */
type Attached = Map<Device, Domain>;

export const tinyType: IommuType = {
  type: 'tiny',
  summary: 'the smallest IOMMU there is',
  prefix: 'tiny',
  options: OPTIONS,
  createDriver({ core, grouping }) {
    const attached: Attached = new Map();
    return {
      create({ name, fwnode }, { readOnly, generation }: OptionsOf<typeof OPTIONS>) {
        const ops = tinyOps(core, attached, (dev) => grouping.deviceGroup(dev));
        const instance = newIommuDevice(
          ops(() => instance),
          { name },
        );
        const unit = new PlainUnit({
          ...{ env: core.env, name, granuleLg2: 12 },
          messages: { firstG: 0xfee00, lastG: 0xfeeff },
          lookup(dev, { pasid, iovaG, write }) {
            const domain = dev && attached.get(dev);
            const isClosed = !domain || pasid >= 0 || (write && readOnly);
            if (!isClosed && domain.type === IOMMU_DOMAIN_IDENTITY) return iovaG;
            const outG = isClosed ? -1 : (domain.pt?.lookup(iovaG) ?? -1);
            return outG < 0 ? { code: 1, reason: 'the tiny IOMMU knows no way' } : outG;
          },
        });
        const rc = deviceRegister(core, instance, instance.ops, { fwnode });
        return (
          rc ?? {
            instance,
            unit,
            summary: `tiny, generation ${generation}`,
            attributes: { tiny: { generation: () => `${generation}\n` } },
            connect: (dev, requesterId) => {
              unit.requesters.connect(requesterId, dev);
            },
            disconnect: (requesterId) => {
              unit.requesters.disconnect(requesterId);
            },
          }
        );
      },
    };
  },
};

function tinyOps(
  core: IommuCore,
  attached: Attached,
  deviceGroup: IommuOps['deviceGroup'],
): (probe: () => ReturnType<typeof newIommuDevice>) => IommuOps {
  const attachDev: DomainOps['attachDev'] = (domain, dev) => void attached.set(dev, domain);
  const pagingOps: DomainOps = { attachDev, free: (domain) => domain.pt?.destroy() };
  const fixed = (kind: string, type: number) => newDomain(core, { kind, type, ops: { attachDev } });
  return (probe) => ({
    name: 'tiny',
    defaultDomainOps: pagingOps,
    blockedDomain: fixed('blocked', IOMMU_DOMAIN_BLOCKED),
    identityDomain: fixed('identity', IOMMU_DOMAIN_IDENTITY),
    capable: () => true,
    probeDevice: () => probe(),
    releaseDevice: (dev) => void attached.delete(dev),
    deviceGroup,
    domainAllocPaging() {
      const pt = createPageTable(riscv64, core.ram, {
        vaLg2: 39,
        oaLg2: 56,
        features: ['sign-extend'],
      });
      return isErrno(pt) ? pt : newPtDomain(core, { kind: 'paging', ops: pagingOps, pt });
    },
  });
}
