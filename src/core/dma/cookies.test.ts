/** Cookies and interrupt doorbells: core.md 3.2 and 3.7. */
import { describe, expect, test } from 'vitest';
import { newDma } from '../../testing/core/dma-rig.ts';
import { must } from '../../testing/base/must.ts';
import { Rig } from '../../testing/core/rig.ts';
import { EADDRINUSE, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP } from '../../base/errno.ts';
import { attachGroup } from '../attach/attach.ts';
import { getDmaCookie, getMsiCookie } from './cookies.ts';
import { Device } from '../contract/device.ts';
import { IOMMU_DOMAIN_DMA, IOMMU_DOMAIN_IDENTITY } from '../contract/domain.ts';
import { domainFree } from '../map/domain-alloc.ts';
import { iommuMap, iovaToPhys } from '../map/map.ts';
import { dmaPrepareMsi } from './msi.ts';
import { IOMMU_RESV_MSI } from '../contract/resv-region.ts';

const BELL = 0xfee0_0040n;
const BASE = 0x800_0000n;

describe('a domain has one cookie at most', () => {
  test('a second cookie of a domain is EEXIST', () => {
    const rig = new Rig();
    const [u, v] = [rig.domain('U'), rig.domain('V')];
    expect(getMsiCookie(u, BASE)).toBeUndefined();
    expect(getMsiCookie(u, BASE)).toBe(EEXIST);
    expect(getDmaCookie(u)).toBe(EEXIST);
    expect(getDmaCookie(v)).toBeUndefined();
    expect(getDmaCookie(v)).toBe(EEXIST);
    expect(getMsiCookie(v, BASE)).toBe(EEXIST);
  });
  test('an MSI cookie is for unmanaged domains', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.type = IOMMU_DOMAIN_DMA;
    expect(getMsiCookie(u, BASE)).toBe(EINVAL);
  });
  test('a cookie is released with its domain', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    let released = 0;
    u.cookie = { kind: 'iommufd', priv: {}, release: () => released++ };
    domainFree(u);
    expect([released, u.cookie.kind]).toEqual([1, 'none']);
  });
});

describe('the address of a doorbell', () => {
  test('the address of a doorbell is itself without a group, without a domain, and on an identity domain', () => {
    const rig = new Rig();
    expect(dmaPrepareMsi(new Device(rig.core, { name: 'N', bus: 'pci' }), BELL)).toBe(BELL);
    const { domain } = rig.group;
    rig.group.domain = undefined;
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(BELL);
    rig.group.domain = { ...domain!, type: IOMMU_DOMAIN_IDENTITY };
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(BELL);
  });
  test('the address of a doorbell is mapped page by page from the base of an MSI cookie, and found again', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(getMsiCookie(u, BASE)).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(BASE + 0x40n);
    expect(iovaToPhys(u, BASE + 0x40n)).toBe(BELL);
    expect(dmaPrepareMsi(rig.b, BELL + 4n)).toBe(BASE + 0x44n);
    // The granule of the mock's table is 2 KiB.
    expect(dmaPrepareMsi(rig.b, BELL + 0x1000n)).toBe(BASE + 0x800n + 0x40n);
  });
  test('the address of a doorbell is the errno of the map when its place is taken', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(getMsiCookie(u, BASE)).toBeUndefined();
    expect(iommuMap(u, BASE, 0n, 0x1000n, 3)).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(EADDRINUSE);
  });
  test('the address of a doorbell comes from the allocator on a DMA domain, or from a hardware MSI region', () => {
    const { dev, domain } = newDma();
    const at = must(dmaPrepareMsi(dev, BELL));
    expect(iovaToPhys(domain, at)).toBe(BELL);
    const region = { start: 0xfee0_0000n, length: 0x1000n, prot: 2, type: IOMMU_RESV_MSI };
    const fixed = newDma({ knobs: { resvRegions: [region] } });
    expect(dmaPrepareMsi(fixed.dev, BELL)).toBe(BELL);
  });
  test('the address of a doorbell is ENOMEM without an IOVA', () => {
    const { dev } = newDma({ config: { dmaMask: 0xf_ffffn } });
    expect(dmaPrepareMsi(dev, BELL)).toBe(ENOMEM);
  });
  test('the address of a doorbell is what iommufd says on its domains', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    u.cookie = { kind: 'iommufd', priv: {}, mapMsi: (...[, , address]) => address + BASE };
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(BELL + BASE);
  });
  test('a doorbell has no place on any other domain, which is EOPNOTSUPP', () => {
    const rig = new Rig();
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(dmaPrepareMsi(rig.a, BELL)).toBe(EOPNOTSUPP);
  });
});
