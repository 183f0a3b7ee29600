/** Automatic placement of a mapping: the lowest place that fits (iommufd.md 3.3). */
import { EINVAL, ENOSPC, EOVERFLOW, type Status } from '../../base/errno.ts';
import { startInHole, type GapRequest } from '../../base/interval-gap.ts';
import { refuse } from '../../base/refuse.ts';
import { hex, pow2 } from '../../base/u64.ts';
import { lessPair, U64Register, type WordPair } from '../../base/word-pair.ts';
import type { IntervalMap } from '../../base/interval-map.ts';
import type { AllowedWindow } from './reserved.ts';

/** Where a new mapping goes. It is the caller's: one is made for a call, and `iova` is in and out. */
export class Placement {
  /** At `iova`, or wherever it fits? */
  fixed = false;
  /** IOMMU_READ and friends. */
  prot = 0;
  /** Where the mapping begins: given when it is fixed, found otherwise. Undefined when the call fails. */
  readonly iova = new U64Register();
  /** Address of the first byte in its origin: the hint for alignment. */
  readonly hint = new U64Register();
  /** Length minus one. */
  readonly span = new U64Register();
}

/** A transparent huge page: no placement is aligned higher. */
const MAX_ALIGN_LG2 = 21;

/**
 * Find a place for the length and the hint: `place.iova`.
 * Errnos: EOVERFLOW too long; EINVAL the alignment cannot be had; ENOSPC.
 * @kernel iopt_alloc_iova
 */
export function findPlace(
  areas: IntervalMap<object>,
  windows: readonly AllowedWindow[],
  place: Placement,
  alignment: number,
): Status {
  const { hi: spanHi, lo: spanLo } = place.span;
  // length >= ULONG_MAX / 2
  if (spanHi > 0x7fff_ffff || (spanHi === 0x7fff_ffff && spanLo >= 0xffff_fffe)) {
    return refuse(EOVERFLOW, 'the length is too large to be placed', {
      last: hex(place.span.value),
    });
  }
  const alignLg2 = alignmentOf(place);
  if (pow2(alignLg2) < alignment) {
    return refuse(EINVAL, 'address and length do not allow the IOVA alignment', {
      alignment,
    });
  }
  const want: Want = {
    firstHi: 0,
    firstLo: 0,
    lastHi: 0,
    lastLo: 0,
    spanHi,
    spanLo,
    alignLg2,
    offset: place.hint.lo & 0xfff,
    found: place.iova,
  };
  for (const { window, free } of windows) {
    setWindow(want, window.start, window.last);
    if (!startInWindow(want)) continue;
    const { hi: fromHi, lo: fromLo } = want.found;
    for (const { start, last } of free) {
      if (lessPair(last.hi, last.lo, fromHi, fromLo)) continue;
      setWindow(want, start, last);
      if (lessPair(start.hi, start.lo, fromHi, fromLo)) {
        want.firstHi = fromHi;
        want.firstLo = fromLo;
      }
      if (areas.findGap(want)) return undefined;
    }
  }
  return refuse(ENOSPC, 'no free place is large enough', { last: hex(place.span.value) });
}

type Want = { -readonly [Field in keyof GapRequest]: GapRequest[Field] };

function setWindow(want: Want, first: WordPair, last: WordPair): void {
  want.firstHi = first.hi;
  want.firstLo = first.lo;
  want.lastHi = last.hi;
  want.lastLo = last.lo;
}
/** As if the window were one hole. */
function startInWindow(want: GapRequest): boolean {
  return startInHole(want, want.firstHi, want.firstLo, want.lastHi, want.lastLo);
}

/** log2 of min(roundup_pow2(length), lowest set bit of the hint, 2 MiB). */
function alignmentOf(place: Placement): number {
  // roundup_pow2(length) = 2^n for the smallest n with length - 1 < 2^n.
  let lg2 = place.span.hi > 0 ? MAX_ALIGN_LG2 : 32 - Math.clz32(place.span.lo);
  const { lo: hint } = place.hint;
  if (hint !== 0) lg2 = Math.min(lg2, 31 - Math.clz32(hint & -hint));
  return Math.min(lg2, MAX_ALIGN_LG2);
}
