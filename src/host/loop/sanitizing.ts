/** The DMA sanitizer over a run: what it finds is said at once, each finding once, and may change the status of the run. */
import { closeSync, openSync } from 'node:fs';
import type { Stamped } from '../../base/events.ts';
import {
  failReasonOfEvent,
  failReasonOfFinding,
  type FailReason,
} from '../../insight/ci-reports/fail-reason.ts';
import { seenFinding, type Seen } from '../../insight/ci-reports/seen.ts';
import type { CallSites } from '../../insight/sites/call-site.ts';
import type { Finding } from '../../insight/sanitizer/finding.ts';
import { findingKey, findingLines } from '../../insight/sanitizer/report.ts';
import { DmaSanitizer } from '../../insight/sanitizer/sanitizer.ts';
import {
  isSuppressed,
  suppressionOf,
  type Suppression,
} from '../../insight/sanitizer/suppressions.ts';
import type { Machine } from '../../machine/machine.ts';
import { printable } from '../../machine/description/wording.ts';
import type { RunResult, SanitizePlan } from '../launch/run.ts';
import { HostError } from '../sys/ffi.ts';
import { systemReason } from '../sys/system-reason.ts';
import { writeAll } from '../sys/write-all.ts';

/** What the sanitizer of a run works with. */
export interface SanitizedRun {
  readonly machine: Machine;
  readonly sites: CallSites;
  /** To standard error, which may take it later. */
  readonly say: (text: string) => void;
}

/** One run under the sanitizer. */
export class Sanitizing {
  readonly #plan: SanitizePlan;
  /** Of the file for findings. */
  readonly #fd: number | undefined;
  readonly #say: (text: string) => void;
  readonly #suppressions: Suppression[];
  readonly #seen = new Map<string, { readonly finding: Finding; count: number }>();
  readonly #happened = new Set<FailReason>();

  /** Throws HostError: the file for findings cannot be written. */
  constructor(plan: SanitizePlan, run: SanitizedRun) {
    this.#plan = plan;
    this.#fd = plan.findings === undefined ? undefined : openFindings(plan.findings);
    this.#say = run.say;
    this.#suppressions = plan.suppressions.map((one) => ({ ...one, used: 0 }));
    const sanitizer = new DmaSanitizer({
      kinds: new Set(plan.kinds),
      sites: run.sites,
      core: run.machine.core,
      found: (finding) => this.#found(finding),
    });
    run.machine.env.trace.listenTo(sanitizer.choice, (stamped) => {
      sanitizer.take(stamped);
      this.#note(stamped);
    });
  }
  #note({ event }: Stamped): void {
    const reason = failReasonOfEvent(event);
    if (reason !== undefined) this.#happened.add(reason);
  }
  #found(finding: Finding): void {
    if (isSuppressed(finding, this.#suppressions)) return;
    this.#happened.add(failReasonOfFinding(finding.kind));
    const key = findingKey(finding);
    const seen = this.#seen.get(key);
    if (seen) {
      seen.count++;
      return;
    }
    const lines = findingLines(finding);
    this.#seen.set(key, { finding, count: 1 });
    const suppression = this.#plan.generate ? [suppressionOf(finding)] : [];
    this.#print([...lines, ...suppression]);
  }
  #print(lines: readonly string[]): void {
    if (lines.length === 0) return;
    const text = `${lines.join('\n')}\n`;
    if (this.#fd === undefined) this.#say(text);
    else writeAll(this.#fd, text);
  }

  /** Each finding once, for reports. */
  get seen(): Seen[] {
    return [...this.#seen.values()].map(({ finding, count }) => seenFinding(finding, count));
  }

  /** The run is over: what is left to say, and its status. */
  end(result: RunResult): RunResult {
    const often = [...this.#seen.values()].filter(({ count }) => count > 1);
    const unused = this.#suppressions.filter(({ used }) => used === 0);
    this.#print([
      ...often.map(({ finding, count }) => `${findingLines(finding).at(-1)}: ${count} times`),
      ...unused.map(({ text }) => `softiommu: the suppression ${text} has matched nothing`),
    ]);
    if (this.#fd !== undefined) closeSync(this.#fd);
    const { exitcode, failOn } = this.#plan;
    const fails = failOn.some((reason) => this.#happened.has(reason));
    if (exitcode === undefined || !fails || result.kind === 'failed') return result;
    return { kind: 'exit', status: exitcode };
  }
}

/** One file a run: it is there also when nothing is found, and nothing that was there is lost. */
function openFindings(file: string): number {
  const own = `${file}.${process.pid}`;
  try {
    return openSync(own, 'a');
  } catch (error) {
    throw new HostError(
      `the findings cannot be written to ${printable(own)}: ${systemReason(error)}`,
    );
  }
}
