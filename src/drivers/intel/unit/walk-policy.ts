/** What a VT-d unit makes of its two page-table formats: leaves, rights and marks (formats.md 3, 4, 12; VT-d 3.6, 3.7). */
import type { WalkPolicy } from '../../../pt/walk/walker.ts';
import type { IntelHardware } from '../hardware.ts';

const USER = { lo: 1 << 2, hi: 0 };
const FIRST_ACCESSED = { lo: 1 << 5, hi: 0 };
const FIRST_DIRTY = { lo: 1 << 6, hi: 0 };
const SECOND_ACCESSED = { lo: 1 << 8, hi: 0 };
const SECOND_DIRTY = { lo: 1 << 9, hi: 0 };

/** What a unit knows and sets in first-stage tables. */
export function firstStagePolicy(hw: IntelHardware): WalkPolicy {
  return {
    leafLevels: hw.firstStage1g ? 0b111 : 0b011,
    rights: 'leaf',
    user: USER,
    marks: { table: FIRST_ACCESSED, leaf: FIRST_ACCESSED, dirty: FIRST_DIRTY },
  };
}

/** What a unit knows and sets in second-stage tables; `tracks`: accessed and dirty bits are on. */
export function secondStagePolicy(hw: IntelHardware, tracks: boolean): WalkPolicy {
  const large = (hw.superpage2m ? 0b010 : 0) | (hw.superpage1g ? 0b100 : 0);
  const marks = { leaf: SECOND_ACCESSED, dirty: SECOND_DIRTY };
  return { leafLevels: 1 | large, rights: 'any', ...(tracks && { marks }) };
}
