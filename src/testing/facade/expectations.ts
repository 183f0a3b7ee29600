/**
 * What tests expect of a machine: that something faults, that something is refused. As assertions for any test runner,
 * and as what the matchers of vitest and jest are made of.
 */
import { isErrno, type Errno, type ErrnoName } from '../../base/errno.ts';
import type { FaultEvent } from '../../base/events.ts';
import { listening, type Facts, type Refusal } from '../../base/refuse.ts';
import { hex } from '../../base/u64.ts';
import { SoftIommuError } from '../../facade/error.ts';
import type { Machine } from '../../facade/machine.ts';
import type { TestMachine } from './test-machine.ts';

/** Which fault: every part that is given must be so. */
export interface WantedFault {
  /** First address that was refused, or any address inside of its page of 4096 bytes. */
  readonly iova?: bigint;
  /** In the words of the hardware: a part of them, or a pattern. */
  readonly reason?: string | RegExp;
  /** Code of the fault record. */
  readonly code?: number;
  readonly write?: boolean;
  readonly pasid?: number;
  /** Address of the device: '0000:00:04.0'. */
  readonly device?: string;
  /** Name of the IOMMU: 'dmar0'. */
  readonly unit?: string;
}

/** Which refusal: every part that is given must be so. */
export interface WantedRefusal {
  /** The rule that was broken: a part of the sentence, or a pattern. */
  readonly rule?: string | RegExp;
  /** Values the rule was about. */
  readonly facts?: Facts;
}

/** What was looked for, and how it went. */
export interface Judgement<T> {
  readonly pass: boolean;
  /** For people, of either result. */
  readonly message: string;
  readonly found: T | undefined;
}

/** A refusal, however it was told: by an exception, or by an errno. */
export interface SeenRefusal {
  readonly code: ErrnoName;
  readonly rule: string;
  readonly facts: Facts;
}

type Faulting = Machine | TestMachine;

/** Run it, and look at the faults of the machine meanwhile. What it throws of SoftIommuErrors is passed over. */
export function faultOutcome(
  run: () => unknown,
  machine: Faulting,
  wanted: WantedFault = {},
): Judgement<FaultEvent> {
  const faults: FaultEvent[] = [];
  const kernel = 'machine' in machine ? machine.machine : machine;
  const trace = kernel.trace(({ event }) => {
    if (event.kind === 'fault') faults.push(event);
  });
  try {
    run();
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
  } finally {
    trace[Symbol.dispose]();
  }
  const found = faults.find((fault) => isFault(fault, wanted));
  const seen = faults.map(faultText).join('\n  ') || 'none';
  const message = found
    ? `a fault like this was not expected:\n  ${faultText(found)}`
    : `a fault was expected (${wantedText(wanted)}); there were:\n  ${seen}`;
  return { pass: found !== undefined, message, found };
}

/** Run it: it throws a SoftIommuError or answers with an errno, this one, because of this rule. */
export function refusalOutcome(
  run: () => unknown,
  errno?: ErrnoName,
  wanted: WantedRefusal = {},
): Judgement<SeenRefusal> {
  const refusals: Refusal[] = [];
  const seen = refusalOf(() => listening((refusal) => refusals.push(refusal), run), refusals);
  const pass =
    seen !== undefined &&
    (errno === undefined || seen.code === errno) &&
    isText(seen.rule, wanted.rule) &&
    Object.entries(wanted.facts ?? {}).every(([key, value]) => seen.facts[key] === value);
  const was = seen ? refusalText(seen) : 'nothing was refused';
  const message = pass
    ? `this was not to be refused: ${was}`
    : `a refusal was expected (${[errno, wantedText(wanted)].filter(Boolean).join(', ')}); but: ${was}`;
  return { pass, message, found: pass ? seen : undefined };
}

/** The fault, for more questions. Throws where there was none like it. */
export function assertFault(
  run: () => unknown,
  machine: Faulting,
  wanted: WantedFault = {},
): FaultEvent {
  return foundBy(faultOutcome(run, machine, wanted));
}
/** The refusal, for more questions. Throws where nothing was refused, or otherwise. */
export function assertRefused(
  run: () => unknown,
  errno?: ErrnoName,
  wanted: WantedRefusal = {},
): SeenRefusal {
  return foundBy(refusalOutcome(run, errno, wanted));
}

function foundBy<T>({ found, message }: Judgement<T>): T {
  if (found === undefined) throw new Error(message);
  return found;
}

function isFault(fault: FaultEvent, wanted: WantedFault): boolean {
  const { iova, code, write, pasid, device, unit } = wanted;
  const page = (at: bigint): bigint => at >> 12n;
  return (
    isText(fault.reason, wanted.reason) &&
    (iova === undefined || page(iova) === page(fault.iova)) &&
    [
      [code, fault.code],
      [write, fault.write],
      [pasid, fault.pasid],
      [device, fault.device.id],
      [unit, fault.unit],
    ].every(([want, is]) => want === undefined || want === is)
  );
}
function isText(text: string, wanted: string | RegExp | undefined): boolean {
  if (wanted === undefined) return true;
  return typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
}

function refusalOf(run: () => unknown, refusals: readonly Refusal[]): SeenRefusal | undefined {
  try {
    const value = run();
    return isErrno(value) ? refusalBy(value, refusals) : undefined;
  } catch (error) {
    if (!(error instanceof SoftIommuError)) throw error;
    return { code: error.code, rule: error.reason, facts: error.facts };
  }
}
function refusalBy(errno: Errno, refusals: readonly Refusal[]): SeenRefusal {
  const { rule = '', facts = {} } = refusals.findLast((each) => each.errno === errno) ?? {};
  return { code: errno.name, rule, facts };
}

function faultText({ unit, device, write, iova, pasid, code, reason }: FaultEvent): string {
  const by = pasid === undefined ? device.id : `${device.id} pasid ${pasid}`;
  return `${unit}: ${by} ${write ? 'write' : 'read'} ${hex(iova)}: fault ${hex(code)}, ${reason}`;
}
function refusalText({ code, rule, facts }: SeenRefusal): string {
  const values = Object.entries(facts).map(([key, value]) => `${key}=${valueText(value)}`);
  return [`${code}: ${rule}`, ...values].join(', ');
}
function wantedText(wanted: WantedFault | WantedRefusal): string {
  const parts = Object.entries(wanted).map(
    ([key, value]) => `${key}: ${valueText(value as string | bigint | RegExp | Facts)}`,
  );
  return parts.join(', ') || 'any';
}
function valueText(value: string | bigint | number | boolean | RegExp | Facts): string {
  if (typeof value === 'bigint') return hex(value);
  const isPlain = typeof value !== 'object' || value instanceof RegExp;
  if (isPlain) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, one]) => `${key}: ${valueText(one)}`)
    .join(', ')} }`;
}
