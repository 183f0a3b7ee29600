/** Automatic placement of a mapping: the lowest place that fits (iommufd.md 3.3). */
import { EINVAL, ENOSPC, EOVERFLOW, type Status } from '../../base/errno.ts';
import { startInHole, START, type GapRequest } from '../../base/interval-gap.ts';
import { refuse } from '../../base/refuse.ts';
import { pow2 } from '../../base/u64.ts';
import { lessPair } from '../../base/word-pair.ts';
import type { IntervalMap } from '../../base/interval-map.ts';
import type { Span } from './area.ts';
import type { AllowedSpan } from './reserved.ts';

/** Where new areas go. */
export interface Placement {
  readonly fixed: boolean;
  /** With `fixed`. */
  readonly iovaHi: number;
  readonly iovaLo: number;
  /** Address of the first byte in its origin: the hint for alignment. */
  readonly hintHi: number;
  readonly hintLo: number;
  /** Length minus one. */
  readonly spanHi: number;
  readonly spanLo: number;
  readonly prot: number;
}

/** A transparent huge page: no placement is aligned higher. */
const MAX_ALIGN_LG2 = 21;

/**
 * Find a place for the length and the hint, into foundHi and foundLo of the areas.
 * Errnos: EOVERFLOW too long; EINVAL the alignment cannot be had; ENOSPC.
 * @kernel iopt_alloc_iova
 */
export function allocIova(
  areas: IntervalMap<object>,
  allowedSpans: readonly AllowedSpan[],
  place: Placement,
  alignment: number,
): Status {
  const { spanHi, spanLo } = place;
  // length >= ULONG_MAX / 2
  if (spanHi > 0x7fff_ffff || (spanHi === 0x7fff_ffff && spanLo >= 0xffff_fffe)) {
    return refuse(EOVERFLOW, 'the length is too large to be placed');
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
    offset: place.hintLo & 0xfff,
  };
  for (const allowed of allowedSpans) {
    const { startHi, startLo, lastHi, lastLo } = allowed.span;
    setWindow(want, allowed.span);
    if (!startInHole(want, startHi, startLo, lastHi, lastLo)) continue;
    const fromHi = START.hi;
    const fromLo = START.lo;
    for (const free of allowed.free) {
      if (lessPair(free.lastHi, free.lastLo, fromHi, fromLo)) continue;
      setWindow(want, free);
      if (lessPair(free.startHi, free.startLo, fromHi, fromLo)) {
        want.firstHi = fromHi;
        want.firstLo = fromLo;
      }
      if (areas.findGap(want)) return undefined;
    }
  }
  return refuse(ENOSPC, 'no free place is large enough');
}

type Want = { -readonly [Field in keyof GapRequest]: GapRequest[Field] };

function setWindow(want: Want, span: Span): void {
  want.firstHi = span.startHi;
  want.firstLo = span.startLo;
  want.lastHi = span.lastHi;
  want.lastLo = span.lastLo;
}

/** log2 of min(roundup_pow2(length), lowest set bit of the hint, 2 MiB). */
function alignmentOf(place: Placement): number {
  // roundup_pow2(length) = 2^n for the smallest n with length - 1 < 2^n.
  let lg2 = place.spanHi > 0 ? MAX_ALIGN_LG2 : 32 - Math.clz32(place.spanLo);
  if (place.hintLo !== 0) lg2 = Math.min(lg2, 31 - Math.clz32(place.hintLo & -place.hintLo));
  return Math.min(lg2, MAX_ALIGN_LG2);
}
