/** The DMA sanitizer over a run: what it finds is said at once, each finding once, and may change the status of the run. */
import type { Stamped } from '../../base/events.ts';
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
import type { FailReason, RunResult, SanitizePlan } from '../launch/run.ts';

/** What the sanitizer of a run works with. */
export interface SanitizedRun {
  readonly machine: Machine;
  readonly sites: CallSites;
  /** To the user, as it stands. */
  readonly print: (lines: readonly string[]) => void;
}

/** One run under the sanitizer. */
export class Sanitizing {
  readonly #plan: SanitizePlan;
  readonly #run: SanitizedRun;
  readonly #suppressions: Suppression[];
  readonly #seen = new Map<string, { readonly finding: Finding; count: number }>();
  readonly #happened = new Set<FailReason>();

  constructor(plan: SanitizePlan, run: SanitizedRun) {
    this.#plan = plan;
    this.#run = run;
    this.#suppressions = plan.suppressions.map((one) => ({ ...one, used: 0 }));
    const sanitizer = new DmaSanitizer({
      kinds: new Set(plan.kinds),
      sites: run.sites,
      found: (finding) => this.#found(finding),
    });
    run.machine.env.trace.listen((stamped) => {
      sanitizer.take(stamped);
      this.#note(stamped);
    });
  }
  #note({ event }: Stamped): void {
    if (event.kind === 'fault' || event.kind === 'warn') this.#happened.add(event.kind);
  }
  #found(finding: Finding): void {
    if (isSuppressed(finding, this.#suppressions)) return;
    this.#happened.add(finding.kind === 'leak' ? 'leak' : 'finding');
    const key = findingKey(finding);
    const seen = this.#seen.get(key);
    if (seen) {
      seen.count++;
      return;
    }
    const lines = findingLines(finding);
    this.#seen.set(key, { finding, count: 1 });
    const suppression = this.#plan.generate ? [suppressionOf(finding)] : [];
    this.#run.print([...lines, ...suppression]);
  }

  /** Each finding once, for reports. */
  get seen(): Seen[] {
    return [...this.#seen.values()].map(({ finding, count }) => seenFinding(finding, count));
  }

  /** The run is over: what is left to say, and its status. */
  end(result: RunResult): RunResult {
    const often = [...this.#seen.values()].filter(({ count }) => count > 1);
    const unused = this.#suppressions.filter(({ used }) => used === 0);
    this.#run.print([
      ...often.map(({ finding, count }) => `${findingLines(finding).at(-1)}: ${count} times`),
      ...unused.map(({ text }) => `softiommu: the suppression ${text} has matched nothing`),
    ]);
    const { exitcode, failOn } = this.#plan;
    const fails = failOn.some((reason) => this.#happened.has(reason));
    if (exitcode === undefined || !fails || result.kind === 'failed') return result;
    return { kind: 'exit', status: exitcode };
  }
}
