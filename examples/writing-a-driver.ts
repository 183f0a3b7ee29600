/**
 * A whole IOMMU driver in one file: one table per device, no hardware tables in between, no caches.
 * docs/writing-a-driver.md goes through it part by part. Run: npx tsx examples/writing-a-driver.ts
 */
import assert from 'node:assert/strict';
import {
  attachGroup,
  Device,
  deviceClaimDmaOwner,
  deviceRegister,
  type Domain,
  type DomainOps,
  genericDeviceGroup,
  IOMMU_DOMAIN_BLOCKED,
  IOMMU_DOMAIN_IDENTITY,
  IommuCore,
  iommuMap,
  type IommuOps,
  iommuUnmap,
  isErrno,
  KernelEnv,
  newDomain,
  newIommuDevice,
  newPtDomain,
  pagingDomainAlloc,
  probeDevice,
  type Result,
} from 'softiommu/core';
import { createPageTable, IOMMU_READ, IOMMU_WRITE, Ram, riscv64 } from 'softiommu/pt';
import { runIfMain, type Print } from './run.ts';

/** 1. What the hardware knows of a device: nothing (blocked), everything (bypass), or the root of a table. */
type Entry = 'blocked' | 'bypass' | Domain;

function createTinyDriver(core: IommuCore) {
  const entries = new Map<Device, Entry>();

  // 2. Attaching is one assignment, and cannot fail.
  const attachAs = (entryOf: (domain: Domain) => Entry): DomainOps => ({
    attachDev(domain, dev) {
      entries.set(dev, entryOf(domain));
      return undefined;
    },
  });

  // 3. Paging domains stand on a ready-made format; the ops only add what is ours.
  const pagingOps: DomainOps = {
    ...attachAs((domain) => domain),
    free: (domain) => domain.pt?.destroy(),
  };
  function domainAllocPaging(): Result<Domain> {
    const pt = createPageTable(riscv64, core.ram, {
      vaLg2: 39,
      oaLg2: 56,
      features: ['sign-extend'],
    });
    return isErrno(pt) ? pt : newPtDomain(core, { kind: 'paging', ops: pagingOps, pt });
  }

  // 4. The ops: the identity of the driver.
  const ops: IommuOps = {
    name: 'tiny',
    defaultDomainOps: pagingOps,
    blockedDomain: newDomain(core, {
      kind: 'blocked',
      type: IOMMU_DOMAIN_BLOCKED,
      ops: attachAs(() => 'blocked'),
    }),
    identityDomain: newDomain(core, {
      kind: 'identity',
      type: IOMMU_DOMAIN_IDENTITY,
      ops: attachAs(() => 'bypass'),
    }),
    probeDevice: () => instance,
    releaseDevice: (dev) => void entries.delete(dev),
    deviceGroup: genericDeviceGroup,
    domainAllocPaging,
  };
  const instance = newIommuDevice(ops, { name: 'tiny0' });

  // 5. The hardware: where a request of the device goes, in granules of 4 KiB; -1 is refused.
  function translate(dev: Device, iovaG: number): number {
    const entry = entries.get(dev) ?? 'blocked';
    if (entry === 'blocked') return -1;
    return entry === 'bypass' ? iovaG : (entry.pt?.lookup(iovaG) ?? -1);
  }
  return { ops, instance, translate };
}

/** 6. Register it, probe a device, and let user space own it. */
export function main(print: Print): void {
  const core = new IommuCore(new KernelEnv(), new Ram(1 << 20));
  const tiny = createTinyDriver(core);
  const dev = new Device(core, { name: '0000:00:04.0', bus: 'pci' });
  const show = (what: string, expected: number): void => {
    const out = tiny.translate(dev, 0x100);
    assert.equal(out, expected);
    print(`${what}: 0x100 -> ${out < 0 ? 'refused' : `0x${out.toString(16)}`}`);
  };
  const must = (status: unknown) => {
    if (isErrno(status)) throw new Error(status.name);
  };

  must(deviceRegister(core, tiny.instance, tiny.ops));
  must(probeDevice(dev));
  show('probed, default domain', -1);
  must(deviceClaimDmaOwner(dev, core));
  show('claimed, blocked', -1);

  const domain = pagingDomainAlloc(dev);
  if (isErrno(domain)) throw new Error(domain.name);
  must(attachGroup(domain, dev.iommuGroup!));
  must(iommuMap(domain, 0x10_0000n, 0x70_0000n, 0x1000n, IOMMU_READ | IOMMU_WRITE));
  show('attached and mapped', 0x700);
  iommuUnmap(domain, 0x10_0000n, 0x1000n);
  show('unmapped', -1);
}

runIfMain(import.meta.url, main);
