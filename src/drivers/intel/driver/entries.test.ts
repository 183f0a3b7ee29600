import { describe, expect, it } from 'vitest';
import { intelRig, ownedDevice as owned, words64 } from '../../../testing/drivers/intel-rig.ts';
import { must } from '../../../testing/base/must.ts';
import { EOPNOTSUPP } from '../../../base/errno.ts';
import { attachGroup, detachGroup } from '../../../core/attach/attach.ts';
import { pagingDomainAllocFlags } from '../../../core/map/domain-alloc.ts';
import {
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_CAP_DEFERRED_FLUSH,
  IOMMU_CAP_DIRTY_TRACKING,
  IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
  IOMMU_CAP_NOEXEC,
  IOMMU_CAP_PCI_ATS_SUPPORTED,
} from '../../../core/contract/driver.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../pt/page-table.ts';
import { type IntelUnitConfig } from './driver.ts';
import { toIntelDevice } from './domain.ts';

const RW = IOMMU_READ | IOMMU_WRITE;
const SECOND = { firstStage: false };
const LEGACY = { scalable: false };
const PASIDS = { pasidBits: 20 };

/** A rig with one owned device attached to a fresh paging domain. */
function attached(config: IntelUnitConfig = {}, device = {}, flags = 0) {
  const rig = intelRig(config);
  const dev = owned(rig, 4, device);
  const domain = must(pagingDomainAllocFlags(dev, flags));
  expect(attachGroup(domain, dev.iommuGroup!)).toBeUndefined();
  return { rig, dev, domain };
}

describe('the bytes the driver writes', () => {
  it('a legacy context entry for a paging domain is T 0, AW 2, the root, the domain id, P', () => {
    const { rig, domain } = attached(LEGACY);
    const at = rig.handle.instance.findContext(4 << 3)!;
    const root = BigInt(domain.pt!.topPfn) << 12n;
    expect(words64(rig.ram, at, 2)).toEqual([root | 1n, 2n | (2n << 8n)]);
  });

  it('a legacy context entry is T 1 for a device with a device TLB', () => {
    const { rig, domain } = attached(LEGACY, { ats: true });
    const at = rig.handle.instance.findContext(4 << 3)!;
    const root = BigInt(domain.pt!.topPfn) << 12n;
    expect(words64(rig.ram, at, 1)).toEqual([root | 1n | (1n << 2n)]);
  });

  it('a legacy context entry is T 2, the largest AW and domain id 1 for identity', () => {
    const rig = intelRig(LEGACY);
    const dev = owned(rig);
    expect(attachGroup(rig.handle.ops.identityDomain!, dev.iommuGroup!)).toBeUndefined();
    const at = rig.handle.instance.findContext(4 << 3)!;
    expect(words64(rig.ram, at, 2)).toEqual([1n | (2n << 2n), 2n | (1n << 8n)]);
  });

  it.each([
    ['first stage', {}, (top: bigint) => [1n | (2n << 2n) | (1n << 6n), 2n | (1n << 23n), top]],
    [
      'second stage',
      SECOND,
      (top: bigint) => [1n | (2n << 2n) | (2n << 6n) | top, 2n | (1n << 23n), 0n],
    ],
    [
      'second stage of an incoherent unit',
      { ...SECOND, coherentWalks: false },
      (top: bigint) => [1n | (2n << 2n) | (2n << 6n) | top, 2n, 0n],
    ],
  ] as const)('a PASID entry is written for the %s', (_name, config, expected) => {
    const { rig, dev, domain } = attached(config);
    const at = toIntelDevice(dev).pasidTable!.find(0)!;
    const top = BigInt(domain.pt!.topPfn) << 12n;
    expect(words64(rig.ram, at, 8)).toEqual([...expected(top), 0n, 0n, 0n, 0n, 0n]);
  });

  it('a PASID entry is PGTT 4 and domain id 1 for identity, and nothing for blocked', () => {
    const rig = intelRig();
    const dev = owned(rig);
    const entry = () => words64(rig.ram, toIntelDevice(dev).pasidTable!.find(0)!, 2);
    expect(attachGroup(rig.handle.ops.identityDomain!, dev.iommuGroup!)).toBeUndefined();
    expect(entry()).toEqual([1n | (2n << 2n) | (4n << 6n), 1n | (1n << 23n)]);
    detachGroup(rig.handle.ops.identityDomain!, dev.iommuGroup!);
    expect(entry()).toEqual([0n, 0n]);
  });

  it('a scalable context entry has the directory, its size, DTE and PASIDE', () => {
    const rig = intelRig();
    const dev = rig.device(4, { ...PASIDS, ats: true });
    const at = rig.handle.instance.findContext(4 << 3)!;
    const directory = BigInt(toIntelDevice(dev).pasidTable!.directoryPfn) << 12n;
    expect(words64(rig.ram, at, 4)).toEqual([
      1n | (1n << 2n) | (1n << 3n) | (7n << 9n) | directory,
      0n,
      0n,
      0n,
    ]);
  });
});

describe('what the driver says of its devices', () => {
  it.each([
    ['everything', {}, { ats: true }, [true, true, true, true, true, false]],
    ['no snoop control', { snoopControl: false }, {}, [true, true, false, true, false, false]],
    ['legacy mode', LEGACY, { ats: true }, [true, true, true, false, true, false]],
    [
      'an untrusted device',
      {},
      { ats: true, untrusted: true },
      [true, true, true, true, false, false],
    ],
  ] as const)('the driver tells the capabilities: %s', (_name, config, device, expected) => {
    const rig = intelRig(config);
    const dev = rig.device(4, device);
    const caps = [
      IOMMU_CAP_CACHE_COHERENCY,
      IOMMU_CAP_DEFERRED_FLUSH,
      IOMMU_CAP_ENFORCE_CACHE_COHERENCY,
      IOMMU_CAP_DIRTY_TRACKING,
      IOMMU_CAP_PCI_ATS_SUPPORTED,
      IOMMU_CAP_NOEXEC,
    ];
    expect(caps.map((cap) => rig.handle.ops.capable!(dev, cap))).toEqual(expected);
  });

  it('the hardware info is the CAP and ECAP registers; another type is EOPNOTSUPP', () => {
    const rig = intelRig();
    const dev = rig.device(4);
    const info = must(rig.handle.ops.hwInfo!(dev, 0));
    const view = new DataView(info.bytes.buffer);
    expect([info.type, info.bytes.length, view.getBigUint64(0, true)]).toEqual([1, 24, 0n]);
    const cap = view.getBigUint64(8, true);
    expect([cap & 7n, (cap >> 8n) & 31n, (cap >> 16n) & 63n]).toEqual([6n, 6n, 47n]);
    const ecap = view.getBigUint64(16, true);
    expect([(ecap >> 26n) & 1n, (ecap >> 43n) & 1n, (ecap >> 35n) & 31n]).toEqual([1n, 1n, 19n]);
    expect(rig.handle.ops.hwInfo!(dev, 2)).toBe(EOPNOTSUPP);
  });

  it('reserved regions are the firmware ranges of the device, then the interrupt window', () => {
    const rmrr = { start: 0x7000_0000n, length: 0x1_0000n };
    const rig = intelRig({
      rmrrs: [
        { ...rmrr, of: (fn) => fn.devfn === 4 << 3 },
        { ...rmrr, relaxable: true, of: (fn) => fn.devfn === 5 << 3 },
      ],
    });
    const msi = { start: 0xfee0_0000n, length: 0x10_0000n, prot: 0, type: 3 };
    const regions = (slot: number) => rig.handle.ops.getResvRegions!(rig.device(slot));
    expect(regions(4)).toEqual([{ ...rmrr, prot: RW, type: 0 }, msi]);
    expect(regions(5)).toEqual([{ ...rmrr, prot: RW, type: 1 }, msi]);
    expect(regions(6)).toEqual([msi]);
  });
});
