/** What a domain keeps for its user: at most one cookie (core.md 3.2, 3.7). */
import { EEXIST, EINVAL, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { IOMMU_DOMAIN_UNMANAGED, type Domain } from '../contract/domain.ts';
import type { FlushQueue } from './flush-queue.ts';
import type { IovaDomain } from './iova.ts';

/** The doorbell of an interrupt controller, mapped into a domain. */
export interface MsiPage {
  /** Both are the start of a granule. */
  readonly phys: bigint;
  readonly iova: bigint;
}

/** DMA_IOVA: the DMA API's allocator. */
export interface DmaIovaCookie {
  /** Undefined until the first device is set up. */
  iovad: IovaDomain | undefined;
  fq: FlushQueue | undefined;
  readonly msiPages: MsiPage[];
}
/** DMA_MSI: a user of its own IOVAs left a window for doorbells. */
export interface DmaMsiCookie {
  nextIova: bigint;
  readonly msiPages: MsiPage[];
}

const dmaCookies = new WeakMap<Domain, DmaIovaCookie>();
const msiCookies = new WeakMap<Domain, DmaMsiCookie>();

/**
 * Give a domain the allocator of the DMA API.
 * Errnos: EEXIST it has a cookie.
 * @kernel iommu_get_dma_cookie
 */
export function getDmaCookie(domain: Domain): Status<'EEXIST'> {
  if (domain.cookie.kind !== 'none') return refuseSecond(domain);
  const priv: DmaIovaCookie = { iovad: undefined, fq: undefined, msiPages: [] };
  dmaCookies.set(domain, priv);
  domain.cookie = { kind: 'dma-iova', priv, release: () => priv.fq?.destroy() };
  return undefined;
}

/**
 * Let doorbells be mapped from `base` upwards in a domain whose user chooses the IOVAs.
 * Errnos: EINVAL not UNMANAGED; EEXIST it has a cookie.
 * @kernel iommu_get_msi_cookie
 */
export function getMsiCookie(domain: Domain, base: bigint): Status<'EINVAL' | 'EEXIST'> {
  if (domain.type !== IOMMU_DOMAIN_UNMANAGED) {
    return refuse(EINVAL, 'only an unmanaged domain takes an MSI cookie', { domain: domain.name });
  }
  if (domain.cookie.kind !== 'none') return refuseSecond(domain);
  const priv: DmaMsiCookie = { nextIova: base, msiPages: [] };
  msiCookies.set(domain, priv);
  domain.cookie = { kind: 'dma-msi', priv };
  return undefined;
}

/** The DMA cookie of a domain; undefined without one. */
export function dmaCookieOf(domain: Domain): DmaIovaCookie | undefined {
  return domain.cookie.kind === 'dma-iova' ? dmaCookies.get(domain) : undefined;
}
/** The MSI cookie of a domain; undefined without one. */
export function msiCookieOf(domain: Domain): DmaMsiCookie | undefined {
  return domain.cookie.kind === 'dma-msi' ? msiCookies.get(domain) : undefined;
}

function refuseSecond(domain: Domain): Status<'EEXIST'> {
  return refuse(EEXIST, 'the domain has a cookie already', {
    domain: domain.name,
    cookie: domain.cookie.kind,
  });
}
