/** For the tests of mapping: domains of both kinds, and one that writes down how it is asked to map. */
import { newDomain, pagingDomainAlloc } from '../../core/map/domain-alloc.ts';
import {
  IOMMU_DOMAIN_UNMANAGED,
  IOMMU_READ,
  IOMMU_WRITE,
  type Domain,
} from '../../core/contract/domain.ts';
import { must } from '../base/must.ts';
import { Rig } from './rig.ts';

export const RW = IOMMU_READ | IOMMU_WRITE;
export const BACKINGS = ['pt', 'map-pages'] as const;
export type MockBacking = (typeof BACKINGS)[number];
const K = 0x400n;
export const M = 0x10_0000n;
export const G = 0x4000_0000n;

export interface Setup {
  readonly rig: Rig;
  readonly domain: Domain;
}
export function setup(
  backing: MockBacking,
  knobs: Partial<Rig['mock']['domainKnobs']> = {},
): Setup {
  const rig = new Rig();
  Object.assign(rig.mock.domainKnobs, { backing, ...knobs });
  return { rig, domain: must(pagingDomainAlloc(rig.a)) };
}

/** A domain that writes down how the core asks it to map: "4K×3". */
export function recorder(bitmap: bigint): { domain: Domain; calls: string[] } {
  const calls: string[] = [];
  const { core } = new Rig();
  const smallest = Number(bitmap & -bitmap);
  const domain = newDomain(core, {
    kind: 'paging',
    type: IOMMU_DOMAIN_UNMANAGED,
    pgsizeBitmap: bitmap,
    ops: {
      mapPages(_domain, { pageG, count }, progress) {
        calls.push(`${sizeName(BigInt(pageG * smallest))}×${String(count)}`);
        progress.mapped = pageG * count;
        return undefined;
      },
    },
  });
  return { domain, calls };
}
function sizeName(size: bigint): string {
  if (size >= G) return `${String(size / G)}G`;
  return size >= M ? `${String(size / M)}M` : `${String(size / K)}K`;
}
