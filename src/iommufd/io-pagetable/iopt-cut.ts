/** Cutting an area in two, which only VFIO type1 asks for (iommufd.md 3.7). */
import { EBUSY, EINVAL, EOPNOTSUPP, type Status } from '../../base/errno.ts';
import { bugOn } from '../../base/bug.ts';
import { refuse } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import { hiWord, loWord, registerOf } from '../../base/word-pair.ts';
import { Area } from './area.ts';
import type { IoPagetable } from './io-pagetable.ts';

/** Split the area that contains the address behind it. @kernel iopt_area_split */
export function cutIova(iopt: IoPagetable, iova: bigint): Status {
  const area = iopt.areas.find(hiWord(iova), loWord(iova));
  if (!area || area.start === iova || area.last === iova) return undefined;
  const rc = checkCut(iopt, area, iova);
  if (rc) return rc;
  split(iopt, area, iova);
  return undefined;
}

function checkCut(iopt: IoPagetable, area: Area, iova: bigint): Status {
  const facts = { iova: hex(iova), mapping: hex(area.start) };
  if (area.preventAccess) return refuse(EBUSY, 'the mapping to cut is being unmapped', facts);
  if (area.isDmabuf) {
    return refuse(EOPNOTSUPP, 'a mapping of a dma-buf cannot be cut', facts);
  }
  const next = loWord(iova) + 1;
  const mask = iopt.alignment - 1;
  if ((next & mask) !== 0 || (area.offsetAt(next) & mask) !== 0) {
    return refuse(EINVAL, 'the cut does not fit the IOVA alignment', facts);
  }
  if (area.numAccesses > 0) {
    return refuse(EINVAL, 'a mapping with pins of the kernel cannot be cut', facts);
  }
  bugOn(area.storageDomain !== undefined && iopt.largePages, 'a mapping of large pages is cut');
  return undefined;
}

/** A mapping in domains has no large pages, so is aligned to pages: no page has two holders now. */
function split(iopt: IoPagetable, area: Area, iova: bigint): void {
  const { prot } = area;
  const start = registerOf(area.start);
  const next = registerOf(iova + 1n);
  const left = new Area(start, registerOf(iova), area.pieceAt(start), prot);
  const right = new Area(next, registerOf(area.last), area.pieceAt(next), prot);
  iopt.areas.erase(area.startHi, area.startLo);
  for (const half of [left, right]) {
    iopt.areas.insert(half.startHi, half.startLo, half.lastHi, half.lastLo, half);
    half.storageDomain = area.storageDomain;
  }
}
