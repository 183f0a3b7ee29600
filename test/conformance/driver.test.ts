/** What every IOMMU driver must do, whatever its tables look like (core.md 3 to 7; formats.md 12). */
import { beforeEach, describe, expect, it } from 'vitest';
import { attachGroup, detachGroup, replaceGroupHandle } from '../../src/core/attach/attach.ts';
import type { Device } from '../../src/core/contract/device.ts';
import type { Domain } from '../../src/core/contract/domain.ts';
import { domainFree, pagingDomainAlloc } from '../../src/core/map/domain-alloc.ts';
import { iommuMap, iommuUnmap } from '../../src/core/map/map.ts';
import { deviceClaimDmaOwner, deviceReleaseDmaOwner } from '../../src/core/group/ownership.ts';
import {
  attachDevicePasid,
  detachDevicePasid,
  replaceDevicePasid,
} from '../../src/core/attach/pasid.ts';
import { stateDigest } from '../../src/core/state-digest.ts';
import { newGather } from '../../src/pt/gather.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../src/pt/page-table.ts';
import { must } from '../../src/testing/base/must.ts';
import { DRIVER_CASES, type DriverMachine } from './driver-cases.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
/** Inside the aperture of every driver. */
const IOVA = 0x200_0000n;
const PAGE = 0x1000n;
const PHYS = 0x70_0000n;

describe.each(DRIVER_CASES)('driver: $name', ({ make }) => {
  let machine: DriverMachine;
  let dev: Device;
  let requesterId: number;
  beforeEach(() => {
    machine = make();
    ({ dev, requesterId } = machine.device(4));
    expect(deviceClaimDmaOwner(dev, machine)).toBeUndefined();
  });

  /** Where a request ends up, in bytes; undefined when it is refused. */
  function dma(iova: bigint, write = false, pasid = -1, rid = requesterId): bigint | undefined {
    const lg2 = BigInt(machine.unit.granuleLg2);
    const out = machine.unit.translate(rid, pasid, Number(iova >> lg2), write);
    const explained = machine.unit.explain(rid, pasid, iova, write);
    if (machine.noCaches !== undefined) expect(explained.pa !== undefined).toBe(out >= 0);
    return out < 0 ? undefined : (BigInt(out) << lg2) | (iova & ((1n << lg2) - 1n));
  }
  function attachedDomain(phys = PHYS): Domain {
    const domain = must(pagingDomainAlloc(dev));
    expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
    expect(iommuMap(domain, IOVA, phys, 2n * PAGE, RW)).toBeUndefined();
    return domain;
  }

  it('a driver refuses a blocked device and reports the fault', () => {
    expect(dma(IOVA, true)).toBeUndefined();
    expect(machine.events.filter((event) => event.kind === 'fault')).toMatchObject([
      { device: { id: dev.name }, write: true, iova: IOVA },
    ]);
  });

  it('a driver translates every byte of what is mapped, and nothing before or behind', () => {
    attachedDomain();
    expect(dma(IOVA)).toBe(PHYS);
    expect(dma(IOVA + 2n * PAGE - 1n, true)).toBe(PHYS + 2n * PAGE - 1n);
    expect(dma(IOVA - 1n)).toBeUndefined();
    expect(dma(IOVA + 2n * PAGE)).toBeUndefined();
  });

  it('a driver refuses a write to what is mapped read-only', () => {
    const domain = attachedDomain();
    expect(iommuMap(domain, IOVA + 4n * PAGE, PHYS, PAGE, IOMMU_READ)).toBeUndefined();
    expect(dma(IOVA + 4n * PAGE)).toBe(PHYS);
    expect(dma(IOVA + 4n * PAGE, true)).toBeUndefined();
  });

  it('a driver never serves what was unmapped', () => {
    const domain = attachedDomain();
    expect(dma(IOVA)).toBe(PHYS);
    expect(iommuUnmap(domain, IOVA, 2n * PAGE)).toBe(2n * PAGE);
    expect(dma(IOVA)).toBeUndefined();
    expect(iommuMap(domain, IOVA, 2n * PHYS, PAGE, RW)).toBeUndefined();
    expect(dma(IOVA)).toBe(2n * PHYS);
  });

  it('a driver may serve a stale translation between unmap and sync, never after', ({ skip }) => {
    const domain = attachedDomain();
    expect(dma(IOVA)).toBe(PHYS);
    if (machine.noCaches !== undefined) skip(machine.noCaches);
    const gather = newGather();
    expect(domain.pt!.unmap(Number(IOVA >> 12n), 1, gather)).toBe(1);
    expect(dma(IOVA)).toBe(PHYS);
    expect(machine.unit.explain(requesterId, -1, IOVA, false).pa).toBeUndefined();
    domain.ops.iotlbSync!(domain, gather);
    expect(dma(IOVA)).toBeUndefined();
  });

  it('a driver passes everything through in its identity domain', () => {
    const { identityDomain } = machine.ops;
    expect(attachGroup(identityDomain!, dev.iommuGroup!)).toBeUndefined();
    expect(dma(IOVA, true)).toBe(IOVA);
  });

  it('a driver replaces a domain at once', () => {
    attachedDomain();
    expect(dma(IOVA)).toBe(PHYS);
    const other = must(pagingDomainAlloc(dev));
    expect(iommuMap(other, IOVA, 3n * PHYS, PAGE, RW)).toBeUndefined();
    expect(replaceGroupHandle(dev.iommuGroup!, other, { domain: undefined })).toBeUndefined();
    expect(dma(IOVA)).toBe(3n * PHYS);
    expect(dma(IOVA + PAGE)).toBeUndefined();
  });

  it('a driver keeps devices apart, and lets them share a domain', () => {
    const domain = attachedDomain();
    const other = machine.device(5);
    expect(deviceClaimDmaOwner(other.dev, machine)).toBeUndefined();
    expect(dma(IOVA, false, -1, other.requesterId)).toBeUndefined();
    expect(attachGroup(domain, other.dev.iommuGroup!)).toBeUndefined();
    expect(dma(IOVA, false, -1, other.requesterId)).toBe(PHYS);
    detachGroup(domain, dev.iommuGroup!);
    expect(dma(IOVA)).toBeUndefined();
    expect(dma(IOVA, false, -1, other.requesterId)).toBe(PHYS);
    expect(iommuUnmap(domain, IOVA, 2n * PAGE)).toBe(2n * PAGE);
    expect(dma(IOVA, false, -1, other.requesterId)).toBeUndefined();
  });

  it('a test of compatibility changes nothing and logs nothing', () => {
    const domain = must(pagingDomainAlloc(dev));
    const before = stateDigest(machine.core);
    const logged = machine.events.length;
    expect(domain.ops.testDev!(domain, dev, 0, dev.iommuGroup!.domain)).toBeUndefined();
    expect(stateDigest(machine.core)).toBe(before);
    expect(machine.events).toHaveLength(logged);
  });

  it('a driver serves each PASID by its own domain, replaces and removes it', ({ skip }) => {
    if (machine.noPasids !== undefined) skip(machine.noPasids);
    attachedDomain();
    const [one, two] = [must(pagingDomainAlloc(dev)), must(pagingDomainAlloc(dev))];
    expect(iommuMap(one, IOVA, 4n * PHYS, PAGE, RW)).toBeUndefined();
    expect(iommuMap(two, IOVA, 5n * PHYS, PAGE, RW)).toBeUndefined();
    expect(attachDevicePasid(one, dev, 70, { domain: undefined })).toBeUndefined();
    expect([dma(IOVA), dma(IOVA, true, 70), dma(IOVA, true, 71)]).toEqual([
      PHYS,
      4n * PHYS,
      undefined,
    ]);
    expect(replaceDevicePasid(two, dev, 70, { domain: undefined })).toBeUndefined();
    expect(dma(IOVA, true, 70)).toBe(5n * PHYS);
    expect(iommuUnmap(two, IOVA, PAGE)).toBe(PAGE);
    expect(dma(IOVA, true, 70)).toBeUndefined();
    detachDevicePasid(two, dev, 70);
    expect(dma(IOVA)).toBe(PHYS);
  });

  it('a driver gives back everything it allocated', () => {
    const before = machine.core.ram.used;
    const domain = must(pagingDomainAlloc(dev));
    expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
    expect(iommuMap(domain, IOVA, PHYS, 16n * PAGE, RW)).toBeUndefined();
    expect(iommuUnmap(domain, IOVA, 16n * PAGE)).toBe(16n * PAGE);
    detachGroup(domain, dev.iommuGroup!);
    domainFree(domain);
    expect(machine.core.ram.used).toBe(before);
    deviceReleaseDmaOwner(dev);
  });
});
