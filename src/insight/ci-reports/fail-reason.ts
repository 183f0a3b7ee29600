/** What can make a run fail, and by what it does: for the status of a run and for the checks of its reports. */
import type { TraceEvent } from '../../base/events.ts';
import { isTroubleEvent } from '../explain/journal.ts';
import type { FindingKind } from '../sanitizer/finding.ts';
import { isFinding, kindOfTrouble, type SeenKind } from './seen.ts';

/** The words of --fail-on: findings and leaks of the sanitizer, DMA that was stopped, warnings of the kernel. */
export type FailReason = 'finding' | 'leak' | 'fault' | 'warn';

/** Undefined: it explains how the program ended, and fails nothing by itself. */
const OF_TROUBLE = {
  'refused-call': undefined,
  'idle-call': undefined,
  'waiting-call': undefined,
  'register-signal': undefined,
  'pulled-out': undefined,
  'stopped-dma': 'fault',
  fault: 'fault',
  'kernel-warning': 'warn',
} as const satisfies Readonly<Record<Exclude<SeenKind, FindingKind>, FailReason | undefined>>;

/** Why a run may fail by something of this kind. */
export function failReasonOf(kind: SeenKind): FailReason | undefined {
  return isFinding(kind) ? failReasonOfFinding(kind) : OF_TROUBLE[kind];
}
/** The same of a finding, which always has one. */
export function failReasonOfFinding(kind: FindingKind): FailReason {
  return kind === 'leak' ? 'leak' : 'finding';
}
/** Why a run may fail by this event, without the sanitizer. */
export function failReasonOfEvent(event: TraceEvent): FailReason | undefined {
  return isTroubleEvent(event) ? failReasonOf(kindOfTrouble(event)) : undefined;
}
