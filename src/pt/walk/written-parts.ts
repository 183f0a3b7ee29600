/**
 * What the written-out walkers of written/ have in common: what they are made of, and what they know of a unit's policy.
 *
 * scripts/gen-walkers.ts writes one for each format, from the format alone: constants where the interpreted walker asks,
 * a level after the other instead of a loop. They know the walk that succeeds, in tables that lie in RAM. Whatever else an
 * item says, the interpreted walker begins again and judges; so a refusal has one home.
 */
import type { Ram } from '../ram.ts';
import { InterpretedWalker, type WalkerParts } from './interpreted.ts';
import type { PageWalker, WalkPolicy } from './walker.ts';

/** Highest number of frames whose words a shifted int32 can name. */
const MOST_FRAMES = 2 ** 20;
const FRAME_LG2 = 12;

/** Without `note`: nobody is told of items on the quick way. */
export interface WrittenParts extends Omit<WalkerParts, 'note'> {
  /** Where tables lie that are walked the quick way. */
  readonly ram: Ram;
}

/** What is the same for every walk of a walker. Marks and the user bit are bits of the low half. */
export interface WrittenSettings {
  readonly words: Int32Array;
  /** A table that begins at a granule below this one lies in RAM. */
  readonly tables: number;
  readonly leafLevels: number;
  readonly tableMark: number;
  readonly leafMark: number;
  readonly dirtyMark: number;
  readonly user: number;
  /** For what the quick way does not know. */
  readonly judge: PageWalker;
}

/** Can a policy be kept by written-out walkers? Not with marks in the high half, or bits that must be zero. */
export function isWritable({ marks, user, reserved }: WalkPolicy): boolean {
  const words = [marks?.table, marks?.leaf, marks?.dirty, user];
  return reserved === undefined && words.every((word) => word === undefined || word.hi === 0);
}

/** Of a policy for which isWritable() holds. */
export function writtenSettings(parts: WrittenParts): WrittenSettings {
  const { format, policy, ram } = parts;
  const { table, leaf, dirty } = policy.marks ?? {};
  const perFrame = 2 ** (FRAME_LG2 - format.granuleLg2);
  return {
    words: ram.words,
    // A table fills a frame, and the last one begins that far before the end.
    tables: ((Math.min(ram.frameCount, MOST_FRAMES) - 1) * perFrame + 1) | 0,
    leafLevels: policy.leafLevels,
    tableMark: table?.lo ?? 0,
    leafMark: leaf?.lo ?? 0,
    dirtyMark: dirty?.lo ?? 0,
    user: policy.user?.lo ?? 0,
    judge: new InterpretedWalker(parts),
  };
}
