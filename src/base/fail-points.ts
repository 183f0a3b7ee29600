/**
 * Where a call can be made to fail, for fail-nth and tests: every point, and the one question that is asked there.
 *
 * A new point is a row here and an `if (env.fails('…')) return refuse(…)` where the kernel could fail.
 */
import type { Task } from './task.ts';

/** The kinds of points that a kernel switches one by one, and their directories in debugfs. */
export const FAIL_KINDS = ['failslab', 'fail_page_alloc', 'fail_iommufd'] as const;
/** What kind of thing fails at a point: which switch of fault injection it belongs to. */
export type FailKind = (typeof FAIL_KINDS)[number];

/** What a point stands for. */
export interface FailPointInfo {
  readonly kind: FailKind;
  /** What fails, as the kernel log says it. */
  readonly what: string;
}

// prettier-ignore
const POINTS = {
  'charge':           { kind: 'fail_iommufd',    what: 'charging pinned pages to their owner' },
  'frame':            { kind: 'fail_page_alloc', what: 'a frame for a page table or a queue' },
  'object':           { kind: 'failslab',        what: 'an iommufd object' },
  'object-lookup':    { kind: 'fail_iommufd',    what: 'finding an object by its id' },
  'page-rw':          { kind: 'fail_iommufd',    what: 'copying a page through an access' },
  'pin':              { kind: 'fail_iommufd',    what: 'pinning pages' },
  'pin-batch':        { kind: 'fail_iommufd',    what: 'room for the numbers of pinned pages' },
  'reserved-regions': { kind: 'fail_iommufd',    what: 'taking over the reserved regions of a device' },
} as const satisfies Record<string, FailPointInfo>;

/** A place where a call can be made to fail. */
export type FailPoint = keyof typeof POINTS;

/** Every point by its name. */
export const FAIL_POINTS: Readonly<Record<FailPoint, FailPointInfo>> = POINTS;

/** Who says whether a call fails at a point. */
export interface FailPolicy {
  /** `current`: whose call it is; undefined in what no program asked for. @kernel should_fail_ex */
  fails(point: FailPoint, current?: Task): boolean;
}

/** Of a kernel without failure injection. */
export const NOTHING_FAILS: FailPolicy = { fails: () => false };
