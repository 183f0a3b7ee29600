/**
 * Pinning and accounting of a type1 mapping, and putting it into domains (vfio.md 1.9 step 9, 1.11).
 *
 * Every page of every mapping counts in the VmLck of the mapping process, twice when mapped twice; device memory
 * does not count. What fails is undone before returning.
 */
import { EFAULT, ENOMEM, type Status } from '../../base/errno.ts';
import { refuse, silently } from '../../base/refuse.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE, type Domain } from '../../core/contract/domain.ts';
import { PAGE_SIZE, hex } from '../../base/u64.ts';
import { granuleLg2 } from '../../core/contract/granule.ts';
import { mapGranules, unmapGranules } from '../../core/map/map.ts';
import type { Dma } from './dma.ts';

const BATCH = 512;

/** Pin all pages of a mapping into dma.runs. ENOMEM: over the limit; EFAULT: not mapped, or not writable. */
export function pinDma(memory: PhysicalMemory, dma: Dma): Status {
  const pfns = new Float64Array(BATCH);
  let done = 0;
  while (done < dma.npages) {
    const count = Math.min(BATCH, dma.npages - done);
    const rc = pinBatch(dma, dma.vaddr + done, count, pfns) ?? checkLimit(dma);
    if (rc) {
      unpinDma(memory, dma);
      return rc;
    }
    done += count;
  }
  return undefined;
}

/** One batch; when it cannot be had at once, page by page, for a batch may hold memory and registers. */
function pinBatch(dma: Dma, index: number, count: number, pfns: Float64Array): Status {
  const rc = silently(() => dma.mm.pin(index, count, dma.write, pfns, 0));
  if (!rc) {
    for (let n = 0; n < count; n++) appendRun(dma, pfns[n]!, 1);
    return undefined;
  }
  if (rc !== EFAULT) return refuse(rc, 'the pages cannot be pinned', { page: index });
  for (let n = 0; n < count; n++) {
    const failed = pinOne(dma, index + n, pfns);
    if (failed) return failed;
  }
  return undefined;
}
function pinOne(dma: Dma, index: number, pfns: Float64Array): Status {
  const rc = silently(() => dma.mm.pin(index, 1, dma.write, pfns, 0));
  if (!rc) {
    appendRun(dma, pfns[0]!, 1);
    return undefined;
  }
  const io = silently(() => dma.mm.lookupIo(index));
  if (typeof io === 'number') {
    appendRun(dma, io, 0);
    return undefined;
  }
  // Once more, to be heard: which byte it is, and why.
  if (!dma.mm.pin(index, 1, dma.write, pfns, 0)) {
    appendRun(dma, pfns[0]!, 1);
    return undefined;
  }
  return refuse(rc, 'the address is not mapped, or not writable', {
    va: hex(BigInt(index) * BigInt(PAGE_SIZE)),
    offset: hex(BigInt(index - dma.vaddr) * BigInt(PAGE_SIZE)),
    write: dma.write,
  });
}
function appendRun(dma: Dma, pfn: number, pinned: 0 | 1): void {
  const { runs } = dma;
  const last = runs.length - 3;
  if (last >= 0 && runs[last]! + runs[last + 1]! === pfn && runs[last + 2] === pinned) {
    runs[last + 1]!++;
  } else {
    runs.push(pfn, 1, pinned);
  }
  if (!pinned) return;
  dma.accounted++;
  dma.mm.lockedVm++;
}
function checkLimit(dma: Dma): Status {
  if (dma.mm.lockedVm <= dma.lockLimit) return undefined;
  return refuseLimit(dma.mm.lockedVm - dma.accounted, dma.npages, dma.lockLimit);
}
/** All three in pages. */
export function refuseLimit(pinned: number, wanted: number, limit: number): typeof ENOMEM {
  return refuse(ENOMEM, 'RLIMIT_MEMLOCK is exceeded', { pinned, wanted, limit });
}

/** Let go of everything in dma.runs. */
export function unpinDma(memory: PhysicalMemory, dma: Dma): void {
  const { runs } = dma;
  for (let n = 0; n < runs.length; n += 3) {
    if (runs[n + 2]) memory.unpin(runs[n]!, runs[n + 1]!, dma.write);
  }
  dma.mm.lockedVm -= dma.accounted;
  dma.accounted = 0;
  dma.runs = [];
}

/** Put a pinned mapping into one domain, run by run; errnos of the domain pass through. */
export function mapIntoDomain(domain: Domain, dma: Dma): Status {
  const scale = 2 ** (12 - granuleLg2(domain));
  const prot = (dma.read ? IOMMU_READ : 0) | (dma.write ? IOMMU_WRITE : 0) | IOMMU_CACHE;
  let done = 0;
  for (let n = 0; n < dma.runs.length; n += 3) {
    const pfn = dma.runs[n]!;
    const count = dma.runs[n + 1]!;
    const rc = mapGranules(domain, {
      iovaG: (dma.start + done) * scale,
      paG: pfn * scale,
      lengthG: count * scale,
      prot,
    });
    if (rc) {
      if (done > 0) unmapGranules(domain, dma.start * scale, done * scale);
      return rc;
    }
    done += count;
  }
  return undefined;
}
export function unmapFromDomain(domain: Domain, dma: Dma): void {
  const scale = 2 ** (12 - granuleLg2(domain));
  unmapGranules(domain, dma.start * scale, dma.npages * scale);
}
