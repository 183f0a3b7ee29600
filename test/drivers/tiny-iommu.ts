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
  unanswered,
  type Device,
  type Domain,
  type DomainOps,
  type IommuCore,
  type IommuOps,
  type RemappingUnit,
} from 'softiommu/core';
import {
  plainAnswer,
  translatedMessage,
  type IommuType,
  type OptionsOf,
  type OptionTable,
} from 'softiommu/drivers';
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
        const unit = new TinyUnit(name, attached, readOnly);
        const rc = deviceRegister(core, instance, instance.ops, { fwnode });
        return (
          rc ?? {
            instance,
            unit,
            summary: `tiny, generation ${generation}`,
            attributes: { tiny: { generation: () => `${generation}\n` } },
            connect: (dev, requesterId) => void unit.devices.set(requesterId, dev),
            disconnect: (requesterId) => void unit.devices.delete(requesterId),
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

class TinyUnit implements RemappingUnit {
  readonly name: string;
  readonly granuleLg2 = 12;
  readonly messages = { firstG: 0xfee00, lastG: 0xfeeff };
  readonly devices = new Map<number, Device>();
  readonly #attached: Attached;
  readonly #readOnly: boolean;

  constructor(name: string, attached: Attached, readOnly: boolean) {
    this.name = name;
    this.#attached = attached;
    this.#readOnly = readOnly;
  }
  translate(requesterId: number, pasid: number, iovaG: number, write: boolean): number {
    const dev = this.devices.get(requesterId);
    const domain = dev && this.#attached.get(dev);
    if (!domain || pasid >= 0 || (write && this.#readOnly)) return -1;
    if (domain.type === IOMMU_DOMAIN_IDENTITY) return iovaG;
    return domain.pt?.lookup(iovaG) ?? -1;
  }
  request(request: Parameters<RemappingUnit['request']>[0]) {
    return request.access === 'ats' ? unanswered('unsupported') : plainAnswer(this, request);
  }
  message(requesterId: number, message: Parameters<RemappingUnit['message']>[1]) {
    return translatedMessage(this, requesterId, message);
  }
  requestPage(): boolean {
    return false;
  }
  explain(requesterId: number, pasid: number, iova: bigint, write: boolean) {
    const outG = this.translate(requesterId, pasid, Number(iova >> 12n), write);
    const shared = { tables: [], walk: [] };
    return outG < 0
      ? { ...shared, refused: 'the tiny IOMMU knows no way' }
      : { ...shared, pa: (BigInt(outG) << 12n) | (iova & 4095n) };
  }
}
