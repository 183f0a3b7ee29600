/**
 * Interrupt doorbells behind an IOMMU that translates them: pages with a fixed IOVA in a context, mapped into every
 * hwpt whose groups use them (iommufd.md 4.6).
 *
 * A device whose driver reports a window for software MSIs writes its messages to an IOVA inside the window. The n-th
 * doorbell page asked for with that window stands at its n-th page in every hwpt of the context, so that a message
 * programmed once stays right when the device goes over to another hwpt.
 */
import { EOVERFLOW, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { hex } from '../base/u64.ts';
import { IOMMU_MMIO, IOMMU_READ, IOMMU_WRITE, type Domain } from '../core/contract/domain.ts';
import { iommuMap } from '../core/map/map.ts';

const PAGE = 4096n;
/** Doorbell pages a context can have. */
export const MAX_SW_MSI_PAGES = 64;

/** A doorbell page as a context places it. @kernel iommufd_sw_msi_map */
export interface SwMsiPage {
  readonly windowStart: bigint;
  readonly phys: bigint;
  readonly iova: bigint;
}

/** The doorbell pages of one context; they stay until it closes. */
export class SwMsiPages {
  readonly #pages: SwMsiPage[] = [];

  /** The page's place in a window, the next free one when it has none yet. @kernel iommufd_sw_msi_get_map */
  get(windowStart: bigint, phys: bigint): Result<SwMsiPage, 'EOVERFLOW'> {
    const inWindow = this.#pages.filter((page) => page.windowStart === windowStart);
    const known = inWindow.find((page) => page.phys === phys);
    if (known) return known;
    if (this.#pages.length >= MAX_SW_MSI_PAGES) {
      return refuse(EOVERFLOW, 'a context has 64 doorbell pages at most', { phys: hex(phys) });
    }
    const page = { windowStart, phys, iova: windowStart + BigInt(inWindow.length) * PAGE };
    this.#pages.push(page);
    return page;
  }
}

/** A paging hwpt as doorbells see it. */
export interface SwMsiHwpt {
  readonly domain: Domain;
  /** Mapped in its domain now; they go with the domain. */
  readonly presentSwMsi: Set<SwMsiPage>;
}
/** A group of a context as doorbells see it. */
export interface SwMsiGroup {
  /** Start of the window; undefined when no member's driver reports one. */
  readonly swMsiStart: bigint | undefined;
  /** What the members were told to write to: an hwpt without it would lose interrupts. */
  readonly requiredSwMsi: Set<SwMsiPage>;
}

/**
 * The address a device of the group writes to, for a doorbell at `msiAddr`; the same when nothing translates it.
 * Errnos: EOVERFLOW the context has 64 doorbell pages; those of iommuMap.
 * @kernel iommufd_sw_msi
 */
export function swMsi(
  pages: SwMsiPages,
  hwpt: SwMsiHwpt,
  group: SwMsiGroup,
  msiAddr: bigint,
): Result<bigint> {
  if (group.swMsiStart === undefined) return msiAddr;
  const offset = msiAddr % PAGE;
  const page = pages.get(group.swMsiStart, msiAddr - offset);
  if (isErrno(page)) return page;
  const rc = install(hwpt, page);
  if (rc) return rc;
  group.requiredSwMsi.add(page);
  return page.iova + offset;
}

/**
 * Before a group goes over to an hwpt: map what its members write to already.
 * Errnos: those of iommuMap.
 * @kernel iommufd_group_setup_msi
 */
export function groupSetupMsi(group: SwMsiGroup, hwpt: SwMsiHwpt): Status {
  for (const page of group.requiredSwMsi) {
    const rc = install(hwpt, page);
    if (rc) return rc;
  }
  return undefined;
}

/** @kernel iommufd_sw_msi_install */
function install(hwpt: SwMsiHwpt, page: SwMsiPage): Status {
  if (hwpt.presentSwMsi.has(page)) return undefined;
  const prot = IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO;
  const rc = iommuMap(hwpt.domain, page.iova, page.phys, PAGE, prot);
  if (!rc) hwpt.presentSwMsi.add(page);
  return rc;
}
