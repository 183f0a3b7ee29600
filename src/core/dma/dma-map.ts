/**
 * The DMA API's mappings (core.md 10.3): buffers and scatter lists of a device on a DMA default domain.
 *
 * Addresses are bytes here, as its callers have them. In flush-queue mode an unmap leaves the translation in the IOTLB until the
 * queue is flushed. Untrusted devices bounce what does not fill its granules.
 */
import { Bug } from '../../base/bug.ts';
import {
  EINVAL,
  ENOMEM,
  ENOSPC,
  isErrno,
  type Errno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { alignUp, bit, pow2, U64_MAX } from '../../base/u64.ts';
import { newGather } from '../../pt/gather.ts';
import { deferredAttach } from '../attach/attach.ts';
import { dmaCookieOf } from './cookies.ts';
import type { Device } from '../contract/device.ts';
import {
  IOMMU_CACHE,
  IOMMU_MMIO,
  IOMMU_PRIV,
  IOMMU_READ,
  IOMMU_WRITE,
  type Domain,
} from '../contract/domain.ts';
import { allocIova, dmaMask, freeIova, iovadOf } from './dma-iova.ts';
import { iotlbSync } from '../map/iotlb.ts';
import { iommuMapSg, iommuUnmapFast, type SgEntry } from '../map/map.ts';
import { bounceCopy, bounceMap, bounceUnmap, needsBounce, type Bounce } from './swiotlb.ts';

/** What a failed mapping answers: no address is all ones. */
export const DMA_MAPPING_ERROR = U64_MAX;

/** enum dma_data_direction. */
export const DMA_BIDIRECTIONAL = 0;
export const DMA_TO_DEVICE = 1;
export const DMA_FROM_DEVICE = 2;
export const DMA_NONE = 3;

export const DMA_ATTR_SKIP_CPU_SYNC = 1 << 5;
export const DMA_ATTR_PRIVILEGED = 1 << 9;
export const DMA_ATTR_MMIO = 1 << 10;

/** Longest segment of a mapped scatter list, and the boundary none may cross. */
const MAX_SEGMENT = 0x1_0000n;
const SEGMENT_BOUNDARY = 0xffff_ffffn;
/** The length of a scatter list entry is 32 bits wide. */
const MAX_ENTRY = 0xffff_ffffn;

const bounces = new WeakMap<Device, Map<bigint, Bounce>>();

/**
 * Map a buffer for a device. DMA_MAPPING_ERROR when it cannot be: the refusal heard on the way says why.
 * @kernel iommu_dma_map_phys
 */
export function dmaMap(dev: Device, phys: bigint, size: bigint, dir: number, attrs = 0): bigint {
  const domain = dmaDomainOf(dev);
  const granule = bit(iovadOf(domain).granuleLg2);
  const prot = dmaProt(dev, dir, attrs);
  if (needsBounce(dev, phys, size, granule)) {
    return attrs & DMA_ATTR_MMIO ? DMA_MAPPING_ERROR : mapBounced(dev, { phys, size, dir, attrs });
  }
  const offset = phys & (granule - 1n);
  const length = alignUp(size + offset, iovadOf(domain).granuleLg2);
  const at = mapPieces(dev, domain, [{ pa: phys - offset, length }], prot);
  return at === undefined ? DMA_MAPPING_ERROR : at + offset;
}

/** @kernel iommu_dma_unmap_phys */
export function dmaUnmap(dev: Device, address: bigint, size: bigint, dir: number, attrs = 0): void {
  const bounce = bounces.get(dev)?.get(address);
  if (bounce && isFromDevice(dir) && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) {
    bounceCopy(dev, bounce, { at: 0, length: bounce.size }, false);
  }
  unmapRange(dev, address, size);
  if (!bounce) return;
  bounceUnmap(dev, bounce);
  bounces.get(dev)?.delete(address);
}

/**
 * The CPU is about to look at what the device wrote.
 * @kernel iommu_dma_sync_single_for_cpu
 */
export function dmaSyncForCpu(dev: Device, address: bigint, size: bigint, dir: number): void {
  if (isFromDevice(dir)) syncBounce(dev, address, size, false);
}

/**
 * The device is about to look at what the CPU wrote.
 * @kernel iommu_dma_sync_single_for_device
 */
export function dmaSyncForDevice(dev: Device, address: bigint, size: bigint, dir: number): void {
  if (dir !== DMA_FROM_DEVICE) syncBounce(dev, address, size, true);
}

function syncBounce(dev: Device, address: bigint, size: bigint, toDevice: boolean): void {
  for (const [start, bounce] of bounces.get(dev) ?? []) {
    const at = Number(address - start);
    if (at < 0 || at >= bounce.size) continue;
    bounceCopy(dev, bounce, { at, length: Math.min(Number(size), bounce.size - at) }, toDevice);
  }
}

interface Buffer {
  readonly phys: bigint;
  readonly size: bigint;
  readonly dir: number;
  readonly attrs: number;
}

function mapBounced(dev: Device, { phys, size, dir, attrs }: Buffer): bigint {
  const bounce = bounceMap(dev, phys, size);
  if (isErrno(bounce)) return DMA_MAPPING_ERROR;
  // What the device may read must be there; what it may write shows zeros to it, not old data of somebody.
  if (dir !== DMA_FROM_DEVICE && (attrs & DMA_ATTR_SKIP_CPU_SYNC) === 0) {
    bounceCopy(dev, bounce, { at: 0, length: bounce.size }, true);
  }
  const domain = dmaDomainOf(dev);
  const lg2 = iovadOf(domain).granuleLg2;
  const pieces = bounce.frames.map((frame) => ({ pa: BigInt(frame) << 12n, length: 4096n }));
  const first = BigInt(bounce.offset) & ~(bit(lg2) - 1n);
  const length = alignUp(BigInt(bounce.offset) + size, lg2) - first;
  const at = mapPieces(dev, domain, trim(pieces, first, length), dmaProt(dev, dir, attrs));
  if (at === undefined) {
    bounceUnmap(dev, bounce);
    return DMA_MAPPING_ERROR;
  }
  const address = at + BigInt(bounce.offset) - first;
  const known = bounces.get(dev) ?? new Map<bigint, Bounce>();
  bounces.set(dev, known.set(address, bounce));
  return address;
}

/** Only the granules the buffer lies in, where those are smaller than a frame. */
function trim(pieces: readonly SgEntry[], from: bigint, length: bigint): SgEntry[] {
  const kept: SgEntry[] = [];
  let skip = from;
  let left = length;
  for (const piece of pieces) {
    const start = skip < piece.length ? skip : piece.length;
    skip -= start;
    const room = piece.length - start;
    const take = room < left ? room : left;
    left -= take;
    if (take > 0n) kept.push({ pa: piece.pa + start, length: take });
  }
  return kept;
}

/**
 * An IOVA range with these pieces of whole granules behind it, or undefined.
 * @kernel __iommu_dma_map
 */
function mapPieces(
  dev: Device,
  domain: Domain,
  pieces: readonly SgEntry[],
  prot: number,
): bigint | undefined {
  if (deferredAttach(dev, domain)) return undefined;
  if ((dev.config.minAlignMask ?? 0) > pow2(iovadOf(domain).granuleLg2) - 1) {
    dev.core.env.warnOnce('dma-min-align', `${dev.name}: needs more alignment than a granule`);
    return undefined;
  }
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0n);
  const iova = allocIova(domain, length, dmaMask(dev), dev);
  if (iova === undefined) {
    void refuseSpace(dev, length);
    return undefined;
  }
  if (isErrno(iommuMapSg(domain, iova, pieces, prot))) {
    freeIova(domain, iova, length);
    return undefined;
  }
  return iova;
}

function refuseSpace(dev: Device, length: bigint): Status<'ENOSPC'> {
  const facts = { device: dev.name, length, mask: dmaMask(dev) };
  return refuse(ENOSPC, 'no IOVA is free below the limit of the device', facts);
}

/** @kernel __iommu_dma_unmap */
function unmapRange(dev: Device, address: bigint, size: bigint): void {
  const domain = dmaDomainOf(dev);
  const lg2 = iovadOf(domain).granuleLg2;
  const offset = address & (bit(lg2) - 1n);
  const iova = address - offset;
  const length = alignUp(size + offset, lg2);
  const gather = newGather(dmaCookieOf(domain)?.fq !== undefined);
  const removed = iommuUnmapFast(domain, iova, length, gather);
  if (removed !== length) {
    const text = `${dev.name}: ${String(removed)} of ${String(length)} bytes were mapped`;
    dev.core.env.warn('dma-unmap-short', text);
  }
  if (!gather.queued) iotlbSync(domain, gather);
  freeIova(domain, iova, length, gather);
}

/** One run of bus addresses of a mapped scatter list. */
export interface SgSegment {
  readonly address: bigint;
  readonly length: bigint;
  /** Peer to peer: nothing of ours stands behind the address. */
  readonly isBus: boolean;
}

/**
 * Map a scatter list into one row of IOVA; runs come back merged as far as segments may be.
 * Errnos: EINVAL an entry does not fit, or any failure but ENOMEM; ENOMEM no IOVA or no memory.
 * @kernel iommu_dma_map_sg
 */
export function dmaMapSg(
  dev: Device,
  sg: readonly SgEntry[],
  dir: number,
  attrs = 0,
): Result<SgSegment[], 'EINVAL' | 'ENOMEM'> {
  const domain = dmaDomainOf(dev);
  const lg2 = iovadOf(domain).granuleLg2;
  const granule = bit(lg2);
  const isBounced = sg.some((e) => needsBounce(dev, e.pa, e.length, granule));
  if (isBounced) return mapSgSingly(dev, sg, dir, attrs);
  const deferred = deferredAttach(dev, domain);
  if (deferred) return refuseSg(deferred);

  const layout = layOut(sg, lg2);
  if (!Array.isArray(layout)) return layout;
  const total = layout.reduce((sum, piece) => sum + piece.length, 0n);
  if (total === 0n) return finalise(sg, 0n, layout, granule);
  const iova = allocIova(domain, total, dmaMask(dev), dev);
  if (iova === undefined) {
    void refuseSpace(dev, total);
    return refuse(ENOMEM, 'no IOVA for the scatter list', { length: total });
  }
  const mapped = iommuMapSg(domain, iova, layout, dmaProt(dev, dir, attrs));
  if (isErrno(mapped)) {
    freeIova(domain, iova, total);
    return refuseSg(mapped);
  }
  return finalise(sg, iova, layout, granule);
}

/**
 * Whole granules for each entry, padded so that no segment crosses the boundary. Padding is mapped too, to what follows
 * in memory: one unmap then takes the whole row.
 */
function layOut(sg: readonly SgEntry[], lg2: number): Result<SgEntry[], 'EINVAL'> {
  const laid: SgEntry[] = [];
  let total = 0n;
  for (const entry of sg) {
    if (entry.busAddress !== undefined) continue;
    const offset = entry.pa & (bit(lg2) - 1n);
    const length = alignUp(entry.length + offset, lg2);
    if (length > MAX_ENTRY) {
      return refuse(EINVAL, 'an entry is too long once its granules are whole', {
        length: entry.length,
      });
    }
    const pad = (SEGMENT_BOUNDARY - total + 1n) & SEGMENT_BOUNDARY;
    const last = laid[laid.length - 1];
    if (last && pad !== 0n && pad < length - 1n) {
      if (last.length + pad > MAX_ENTRY) {
        return refuse(EINVAL, 'an entry is too long once it is padded to the boundary', {
          length: last.length + pad,
        });
      }
      laid[laid.length - 1] = { ...last, length: last.length + pad };
      total += pad;
    }
    laid.push({ pa: entry.pa - offset, length });
    total += length;
  }
  return laid;
}

function refuseSg(because: Errno): Errno<'EINVAL' | 'ENOMEM'> {
  if (because === ENOMEM) return refuse(ENOMEM, 'no memory to map the scatter list');
  return refuse(EINVAL, 'the scatter list could not be mapped', { because: because.name });
}

/** @kernel __finalise_sg */
function finalise(
  sg: readonly SgEntry[],
  iova: bigint,
  layout: readonly SgEntry[],
  granule: bigint,
): SgSegment[] {
  const segments: SgSegment[] = [];
  let at = iova;
  let index = 0;
  let open = false;
  for (const entry of sg) {
    if (entry.busAddress !== undefined) {
      segments.push(busSegment(entry));
      open = false;
      continue;
    }
    const offset = entry.pa & (granule - 1n);
    const last = segments[segments.length - 1];
    const joins =
      open &&
      last !== undefined &&
      offset === 0n &&
      last.address + last.length === at &&
      (at & SEGMENT_BOUNDARY) !== 0n &&
      last.length + entry.length <= MAX_SEGMENT;
    if (joins) segments[segments.length - 1] = { ...last, length: last.length + entry.length };
    else segments.push({ address: at + offset, length: entry.length, isBus: false });
    open = true;
    at += layout[index++]!.length;
  }
  return segments;
}

function busSegment(entry: SgEntry): SgSegment {
  return { address: entry.busAddress ?? 0n, length: entry.length, isBus: true };
}

/** Each entry by itself: what bounces cannot lie in one row. */
function mapSgSingly(
  dev: Device,
  sg: readonly SgEntry[],
  dir: number,
  attrs: number,
): Result<SgSegment[], 'EINVAL'> {
  const segments: SgSegment[] = [];
  for (const entry of sg) {
    if (entry.busAddress !== undefined) {
      segments.push(busSegment(entry));
      continue;
    }
    const address = dmaMap(dev, entry.pa, entry.length, dir, attrs);
    if (address === DMA_MAPPING_ERROR) {
      const ours = segments.filter((segment) => !segment.isBus);
      for (const done of ours) dmaUnmap(dev, done.address, done.length, dir, attrs);
      return refuse(EINVAL, 'an entry of the scatter list could not be mapped');
    }
    segments.push({ address, length: entry.length, isBus: false });
  }
  return segments;
}

/**
 * Unmap what dmaMapSg mapped: the row as a whole, or each entry that was mapped by itself.
 * @kernel iommu_dma_unmap_sg
 */
export function dmaUnmapSg(
  dev: Device,
  segments: readonly SgSegment[],
  dir: number,
  attrs = 0,
): void {
  const ours = segments.filter((segment) => !segment.isBus);
  const first = ours[0];
  const last = ours[ours.length - 1];
  if (!first || !last) return;
  const known = bounces.get(dev);
  if (ours.some((segment) => known?.has(segment.address))) {
    for (const segment of ours) dmaUnmap(dev, segment.address, segment.length, dir, attrs);
    return;
  }
  unmapRange(dev, first.address, last.address + last.length - first.address);
}

function isFromDevice(dir: number): boolean {
  return dir === DMA_FROM_DEVICE || dir === DMA_BIDIRECTIONAL;
}

/** @kernel dma_info_to_prot */
function dmaProt(dev: Device, dir: number, attrs: number): number {
  const cache = dev.config.coherent === false ? 0 : IOMMU_CACHE;
  let prot = attrs & DMA_ATTR_MMIO ? IOMMU_MMIO : cache;
  if (attrs & DMA_ATTR_PRIVILEGED) prot |= IOMMU_PRIV;
  if (dir === DMA_BIDIRECTIONAL) return prot | IOMMU_READ | IOMMU_WRITE;
  if (dir === DMA_TO_DEVICE) return prot | IOMMU_READ;
  return dir === DMA_FROM_DEVICE ? prot | IOMMU_WRITE : 0;
}

function dmaDomainOf(dev: Device): Domain {
  const domain = dev.iommuGroup?.defaultDomain;
  if (!dev.dmaIommu || !domain) {
    throw new Bug(`${dev.name}: the DMA API does not go through an IOMMU`);
  }
  return domain;
}
