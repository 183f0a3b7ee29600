// An IOMMU of one's own, without tables of devices and without caches; its page tables have any format there is.
import {
  deviceRegister,
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  isErrno,
  newDomain,
  newIommuDevice,
  newPtDomain,
} from 'softiommu/core';
import { PlainUnit } from 'softiommu/drivers';
import { definePlugin } from 'softiommu/plugin';
import { createPageTable } from 'softiommu/pt';

const plain = {
  type: 'plain',
  summary: 'an IOMMU with page tables of any format',
  prefix: 'plain',
  options: { format: { kind: 'text', default: 'vtdss', help: 'name of the page-table format' } },
  createDriver({ core, grouping, formats }) {
    return {
      create({ name, fwnode }, { format: wanted }) {
        const format = formats.get(wanted);
        if (!format) throw new Error(`there is no format ${wanted}: ${[...formats.keys()]}`);
        const attached = new Map(); // domains by device
        const attachDev = (domain, dev) => void attached.set(dev, domain);
        const testDev = () => undefined; // every domain of this driver fits every device
        const pagingOps = { attachDev, testDev, free: (domain) => domain.pt?.destroy() };
        const fixed = (kind, type) => newDomain(core, { kind, type, ops: { attachDev, testDev } });
        const ops = {
          name: 'plain',
          defaultDomainOps: pagingOps,
          blockedDomain: fixed('blocked', IOMMU_DOMAIN_BLOCKED),
          identityDomain: fixed('identity', IOMMU_DOMAIN_IDENTITY),
          capable: () => true,
          probeDevice: () => instance,
          releaseDevice: (dev) => void attached.delete(dev),
          deviceGroup: (dev) => grouping.deviceGroup(dev),
          domainAllocPaging() {
            const pt = createPageTable(format, core.ram, { vaLg2: 39, oaLg2: 48 });
            return isErrno(pt) ? pt : newPtDomain(core, { kind: 'paging', ops: pagingOps, pt });
          },
        };
        const instance = newIommuDevice(ops, { name });
        const unit = new PlainUnit({
          env: core.env,
          name,
          granuleLg2: 12,
          messages: { firstG: 0xfee00, lastG: 0xfeeff },
          lookup(dev, { pasid, iovaG, write }) {
            const domain = dev && attached.get(dev);
            if (pasid < 0 && domain?.type === IOMMU_DOMAIN_IDENTITY) return iovaG;
            const steps = pasid < 0 && domain?.pt?.walk(BigInt(iovaG) << 12n);
            const leaf = Array.isArray(steps) ? steps.at(-1) : undefined;
            const isAllowed = leaf?.kind === 'leaf' && leaf.prot & (write ? 2 : 1);
            return isAllowed ? domain.pt.lookup(iovaG) : { code: 1, reason: 'no way there' };
          },
        });
        return (
          deviceRegister(core, instance, ops, { fwnode }) ?? {
            instance,
            unit,
            summary: `plain, page tables of ${wanted}`,
            connect: (dev, requesterId) => void unit.requesters.connect(requesterId, dev),
            disconnect: (requesterId) => void unit.requesters.disconnect(requesterId),
          }
        );
      },
    };
  },
};

export default definePlugin({ name: 'plain IOMMU', iommus: [plain] });
