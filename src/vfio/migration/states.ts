/**
 * The states of a device that migrates, and the ways between them (vfio.md 2.10).
 *
 * The arcs are those a driver walks. Any other change is the shortest way along them whose inner states are none of the
 * saving ones, for a data stream is not to begin and end unseen.
 */
import { Bug } from '../../base/bug.ts';
import { EINVAL, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import {
  VFIO_DEVICE_STATE_ERROR as ERROR,
  VFIO_DEVICE_STATE_PRE_COPY as PRE_COPY,
  VFIO_DEVICE_STATE_PRE_COPY_P2P as PRE_COPY_P2P,
  VFIO_DEVICE_STATE_RESUMING as RESUMING,
  VFIO_DEVICE_STATE_RUNNING as RUNNING,
  VFIO_DEVICE_STATE_RUNNING_P2P as RUNNING_P2P,
  VFIO_DEVICE_STATE_STOP as STOP,
  VFIO_DEVICE_STATE_STOP_COPY as STOP_COPY,
} from '../../uapi/vfio.ts';

/** What a device can do besides STOP, STOP_COPY and RESUMING. */
export interface MigrationSupport {
  /** It can run without DMA to the registers of other devices. */
  readonly p2p: boolean;
  /** Its state can be read while it runs. */
  readonly preCopy: boolean;
}

/** By number; 0 is ERROR. */
export const STATE_NAMES = [
  'ERROR',
  'STOP',
  'RUNNING',
  'STOP_COPY',
  'RESUMING',
  'RUNNING_P2P',
  'PRE_COPY',
  'PRE_COPY_P2P',
] as const;

/** Direct ways, where both ends are supported. RUNNING and STOP are neighbours only without RUNNING_P2P. */
const ARCS: readonly (readonly [from: number, to: number])[] = [
  [RUNNING, RUNNING_P2P],
  [RUNNING_P2P, RUNNING],
  [RUNNING_P2P, STOP],
  [STOP, RUNNING_P2P],
  [STOP, STOP_COPY],
  [STOP_COPY, STOP],
  [STOP, RESUMING],
  [RESUMING, STOP],
  [RUNNING, PRE_COPY],
  [PRE_COPY, RUNNING],
  [RUNNING_P2P, PRE_COPY_P2P],
  [PRE_COPY_P2P, RUNNING_P2P],
  [PRE_COPY, PRE_COPY_P2P],
  [PRE_COPY_P2P, PRE_COPY],
  [PRE_COPY, STOP_COPY],
  [PRE_COPY_P2P, STOP_COPY],
];
const WITHOUT_P2P: typeof ARCS = [
  [RUNNING, STOP],
  [STOP, RUNNING],
];
const SAVING: readonly number[] = [STOP_COPY, PRE_COPY, PRE_COPY_P2P];

/** States in which the device's state can be read from one data fd. */
export function isSaving(state: number): boolean {
  return SAVING.includes(state);
}
/** Can the device be in it? */
export function isSupported(state: number, { p2p, preCopy }: MigrationSupport): boolean {
  if (state === PRE_COPY) return preCopy;
  if (state === PRE_COPY_P2P) return preCopy && p2p;
  if (state === RUNNING_P2P) return p2p;
  return state < STATE_NAMES.length;
}

/**
 * States to go through after `from`, `to` at the end; none if that is where it is. EINVAL: there is no way.
 * @kernel vfio_mig_get_next_state
 */
export function pathBetween(
  from: number,
  to: number,
  support: MigrationSupport,
): Result<readonly number[], 'EINVAL'> {
  const isBackwards = from === STOP_COPY && isSaving(to) && to !== STOP_COPY;
  if (!isSupported(to, support) || to === ERROR || from === ERROR || isBackwards) {
    return refuse(EINVAL, 'the device cannot be brought there', about(from, to));
  }
  const seen = new Set([from]);
  let paths: readonly (readonly number[])[] = [[]];
  while (paths.length > 0) {
    const there = paths.find((path) => (path.at(-1) ?? from) === to);
    if (there) return there;
    paths = paths.flatMap((path) => longer(path, from, support, seen));
  }
  throw new Bug(`no way of migration from ${from} to ${to}`);
}

function longer(
  path: readonly number[],
  from: number,
  support: MigrationSupport,
  seen: Set<number>,
): (readonly number[])[] {
  const at = path.at(-1);
  if (at !== undefined && isSaving(at)) return [];
  const out = neighbours(at ?? from, support).filter((state) => !seen.has(state));
  for (const state of out) if (!isSaving(state)) seen.add(state);
  return out.map((state) => [...path, state]);
}
function neighbours(from: number, support: MigrationSupport): number[] {
  const arcs = support.p2p ? ARCS : [...ARCS, ...WITHOUT_P2P];
  return arcs.flatMap(([a, b]) => (a === from && isSupported(b, support) ? [b] : []));
}
function about(from: number, to: number) {
  return { from: STATE_NAMES[from] ?? from, to: STATE_NAMES[to] ?? to };
}
