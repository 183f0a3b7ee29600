/**
 * Aux domains, with the group calls of "iommu aux-domain APIs extensions" (Lu Baolu, July 2020; docs/linux/core.md 8.4):
 * one physical device serves two mediated devices, each in an address space of its own under a PASID the IOMMU chose,
 * while its kernel driver keeps the primary domain. Run: npx tsx examples/aux-domain.ts
 *
 * This is the recipe of a parent driver: attach the mdev's group, ask for the group's aux domain, ask for its PASID,
 * program the PASID into the hardware queue of the mdev.
 */
import assert from 'node:assert/strict';
import {
  attachDevice,
  auxAttachGroup,
  auxDetachGroup,
  auxGetDomainForDev,
  auxGetPasid,
  devDisableFeature,
  devEnableFeature,
  type Device,
  getDomainForDev,
  IOMMU_DEV_FEAT_AUX,
  IOMMU_READ,
  IOMMU_WRITE,
  IommuCore,
  iommuMap,
  isErrno,
  KernelEnv,
  mdevCreate,
  mdevSetIommuDevice,
  pagingDomainAlloc,
  type Result,
  type Status,
} from 'softiommu/core';
import { createMockDriver } from 'softiommu/drivers';
import { Ram } from 'softiommu/pt';
import { runIfMain, type Print } from './run.ts';

const REQUESTER = 0x0020;
const IOVA = 0x110_0000n;

export function main(print: Print): void {
  const core = new IommuCore(new KernelEnv(['aux-domains', 'strict-default']), new Ram(1 << 22));
  const mock = createMockDriver(core, { default: 'none' });
  must(mock.registerInstance({}));
  const phys = mock.addDevice({ config: { name: '0000:00:04.0', bus: 'pci', pasidBits: 8 } });
  mock.unit.requesters.connect(REQUESTER, phys);
  const primary = getDomainForDev(phys);

  ok(devEnableFeature(phys, IOMMU_DEV_FEAT_AUX));
  const mdevs = ['mdev-a', 'mdev-b'].map((name, n) => newMdev(phys, name, BigInt(n + 1) << 20n));
  for (const mdev of mdevs) {
    const domain = auxGetDomainForDev(mdev);
    if (!domain) throw new Error(`${mdev.name} has no aux domain`);
    const pasid = must(auxGetPasid(domain, phys));
    const { granuleLg2 } = mock.unit;
    const granule = mock.unit.translate(REQUESTER, pasid, Number(IOVA >> BigInt(granuleLg2)), true);
    const pa = BigInt(granule) << BigInt(granuleLg2);
    assert.equal(pa, mdev.name === 'mdev-a' ? 0x10_0000n : 0x20_0000n);
    print(
      `${mdev.name}: PASID ${String(pasid)}, iova 0x${IOVA.toString(16)} is 0x${pa.toString(16)}`,
    );
  }
  print(`the primary domain is untouched: ${String(getDomainForDev(phys) === primary)}`);
  assert.equal(getDomainForDev(phys), primary);
  print(`taking the whole device: ${nameOf(attachDevice(must(pagingDomainAlloc(phys)), phys))}`);
  const busy = nameOf(devDisableFeature(phys, IOMMU_DEV_FEAT_AUX));
  print(`switching AUX off now: ${busy}`);
  assert.equal(busy, 'EBUSY');
  for (const mdev of mdevs) {
    const domain = auxGetDomainForDev(mdev);
    if (domain && mdev.iommuGroup) auxDetachGroup(domain, mdev.iommuGroup, phys);
  }
  print(`and after the detach: ${nameOf(devDisableFeature(phys, IOMMU_DEV_FEAT_AUX))}`);
}

/** A mediated device whose IOVA goes to memory of its own. */
function newMdev(phys: Device, name: string, pa: bigint): Device {
  const mdev = must(mdevCreate(phys, name));
  ok(mdevSetIommuDevice(mdev, phys));
  const domain = must(pagingDomainAlloc(phys));
  ok(iommuMap(domain, IOVA, pa, 0x1000n, IOMMU_READ | IOMMU_WRITE));
  if (!mdev.iommuGroup) throw new Error(`${name} has no group`);
  ok(auxAttachGroup(domain, mdev.iommuGroup, phys));
  return mdev;
}

function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(`unexpected ${result.name}`);
  return result;
}
function ok(rc: Status): void {
  if (rc) throw new Error(`unexpected ${rc.name}`);
}
function nameOf(rc: Status): string {
  return rc?.name ?? 'done';
}

runIfMain(import.meta.url, main);
