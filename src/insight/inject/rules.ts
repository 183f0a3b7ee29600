/** What is to go wrong, as the expressions of -e say it. */
import type { Errno } from '../../base/errno.ts';
import type { FailPoint } from '../../base/fail-points.ts';
import type { CallSet } from './call-set.ts';
import type { When } from './values.ts';

/** What calls are counted by: each thread's as strace does, each process's, or all. */
export type CountedBy = 'thread' | 'process' | 'run';

interface Rule {
  /** As it was written. */
  readonly text: string;
  readonly when: When;
}
/** -e inject= */
export interface CallRule extends Rule {
  readonly kind: 'call';
  readonly calls: CallSet;
  readonly result: Errno | number | undefined;
  readonly after: boolean;
  /** What a field of the ioctl's struct says behind it; only of a call whose result is not its own. */
  readonly field: readonly [name: string, value: bigint] | undefined;
  readonly signal: number | undefined;
  /** Nanoseconds. */
  readonly delayEnterNs: number;
  readonly delayExitNs: number;
  readonly per: CountedBy;
  /** Only on files of this name or path. */
  readonly path: string | undefined;
  /** Only on the files of this device, '0000:00:04.0'. */
  readonly device: string | undefined;
  /** Only where an argument is this id: of an object, or of an IOAS. */
  readonly object: number | undefined;
  readonly ioas: number | undefined;
}
/** -e fail= */
export interface PointRule extends Rule {
  readonly kind: 'point';
  /** Undefined: any. */
  readonly point: FailPoint | undefined;
  readonly per: CountedBy;
}
/** What a device may do wrong. */
export type DeviceFaultKind =
  | 'drop'
  | 'delay'
  | 'corrupt'
  | 'duplicate'
  | 'torn'
  | 'wild'
  | 'unplug'
  | 'page-requests'
  | 'irq-drop'
  | 'irq-delay'
  | 'irq-duplicate';
/** -e device= */
export interface DeviceRule extends Rule {
  readonly kind: 'device';
  /** '0000:00:04.0'; undefined: any, each counted for itself. */
  readonly device: string | undefined;
  readonly fault: DeviceFaultKind;
  /** Nanoseconds, of what happens later. */
  readonly ns: number;
  /** Of one that goes wild; undefined: one that the seed says. */
  readonly at: bigint | undefined;
  /** Pages that are asked for. */
  readonly count: number;
  /** Only transfers in this direction. */
  readonly write: boolean | undefined;
}
export type FaultRule = CallRule | PointRule | DeviceRule;

/** Everything that is to go wrong in a run. */
export interface FaultPlan {
  readonly rules: readonly FaultRule[];
  /** Of what is left to chance: bits and wild addresses. */
  readonly seed: number;
}
