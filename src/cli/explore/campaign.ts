/** All runs of an exploration: first the program as it is, then with each failure in turn, then with two. */
import {
  judge,
  keyOf,
  unsteady,
  type EndedRun,
  type TrialFinding,
} from '../../insight/explore/judge.ts';
import { trialsOf, type Trial, type TriedFaults } from '../../insight/explore/trials.ts';
import { numbered } from '../../insight/explore/run-record.ts';
import { UserMistake } from '../user-mistake.ts';
import type { DisturbedRuns } from './disturbed-run.ts';

/** What came of a trial; this is what a folder keeps of it. */
export interface TrialResult {
  readonly expressions: readonly string[];
  readonly finding?: TrialFinding;
  /** Names of the calls of the run, where a second failure may be tried. */
  readonly calls?: readonly string[];
}
/** How the runs are done. */
export interface CampaignOptions {
  readonly depth: 1 | 2;
  readonly jobs: number;
  readonly faults: readonly TriedFaults[];
  /** Which part of the trials is ours: `index` from 0. */
  readonly shard: { readonly index: number; readonly total: number };
  /** Milliseconds; undefined: found out from the undisturbed run. */
  readonly timeLimitMs: number | undefined;
  /** Of an exploration that goes on. */
  readonly known: readonly TrialResult[];
  readonly onResult: (result: TrialResult) => void;
  readonly onProgress: (done: number, of: number) => void;
}
/** What was found. */
export interface CampaignEnd {
  readonly calls: number;
  readonly results: readonly TrialResult[];
  /** Trials that were planned and not made. */
  readonly left: number;
}

const FIRST_LIMIT_MS = 120_000;
const LEAST_LIMIT_MS = 10_000;
const SLOWER = 10;

/** Undisturbed, twice: how the program is known. */
interface Base {
  readonly ended: EndedRun;
  readonly limitMs: number;
}
async function learn(runs: DisturbedRuns, limitMs: number | undefined): Promise<Base | undefined> {
  const begin = performance.now();
  const one = await runs.run([], limitMs ?? FIRST_LIMIT_MS);
  const tookMs = performance.now() - begin;
  const other = one && (await runs.run([], limitMs ?? FIRST_LIMIT_MS));
  if (!one || !other) return undefined;
  const obstacle = obstacleOf(one) ?? differenceOf(one, other);
  if (obstacle !== undefined) throw new UserMistake(obstacle);
  return { ended: one, limitMs: limitMs ?? Math.max(LEAST_LIMIT_MS, tookMs * SLOWER) };
}
/** Why nothing can be learnt of a program that ends so. */
function obstacleOf({ record, hung, signal, status, check }: EndedRun): string | undefined {
  if (hung) return 'the program does not end by itself: nothing can be learnt';
  if (signal !== undefined) return `undisturbed, the program ends by ${signal}: mend that first`;
  if (record.calls.length === 0) {
    return `the program makes no call that could fail, and ends with ${status}`;
  }
  return (check ?? 0) === 0
    ? undefined
    : `undisturbed, the check ends with ${check}: mend that first`;
}
function differenceOf(one: EndedRun, other: EndedRun): string | undefined {
  const differs = unsteady(one, other);
  return differs && `two undisturbed runs differ in ${differs}: no failure can be told from chance`;
}

/** Explore. What is known already is not run again. */
export async function explore(runs: DisturbedRuns, options: CampaignOptions): Promise<CampaignEnd> {
  const base = await learn(runs, options.timeLimitMs);
  if (!base) return { calls: 0, results: options.known, left: 0 };
  const campaign = new Campaign(runs, options, base);
  const { index, total } = options.shard;
  const all = trialsOf(base.ended.record, options.faults);
  const singles = all.filter((_, n) => n % total === index);
  let left = await campaign.all(singles.map((trial) => [trial]));
  if (options.depth === 2) left += await campaign.all(campaign.pairs(singles));
  return { calls: base.ended.record.calls.length, results: campaign.results, left };
}

class Campaign {
  readonly #runs: DisturbedRuns;
  readonly #options: CampaignOptions;
  readonly #base: Base;
  /** By their expressions. */
  readonly #results = new Map<string, TrialResult>();
  readonly #keys = new Set<string>();
  #done = 0;
  #planned = 0;

  constructor(runs: DisturbedRuns, options: CampaignOptions, base: Base) {
    this.#runs = runs;
    this.#options = options;
    this.#base = base;
    for (const result of options.known) this.#note(result);
  }
  get results(): readonly TrialResult[] {
    return [...this.#results.values()];
  }

  /** Make these trials, several at once. How many were not made. */
  async all(trials: readonly (readonly Trial[])[]): Promise<number> {
    const queue = trials.filter((trial) => !this.#results.has(nameOf(trial)));
    this.#planned += queue.length;
    const next = queue.values();
    const worker = async (): Promise<void> => {
      for (const trial of next) {
        if (this.#runs.isOver) return;
        const result = await this.#try(trial);
        if (!result) return;
        this.#note(result);
        this.#options.onResult(result);
        this.#options.onProgress(++this.#done, this.#planned);
      }
    };
    await Promise.all(Array.from({ length: this.#options.jobs }, worker));
    return queue.filter((trial) => !this.#results.has(nameOf(trial))).length;
  }
  /** A second failure behind each that was survived. */
  pairs(singles: readonly Trial[]): readonly (readonly Trial[])[] {
    return singles.flatMap((first) => {
      const result = this.#results.get(nameOf([first]));
      if (!result?.calls || result.finding || first.place === undefined) return [];
      const record = { ...this.#base.ended.record, calls: numbered(result.calls) };
      return trialsOf(record, ['calls'], first.place + 1).map((second) => [first, second]);
    });
  }

  #note(result: TrialResult): void {
    this.#results.set(result.expressions.join(' '), result);
    if (result.finding) this.#keys.add(keyOf(result.finding));
  }
  async #try(trial: readonly Trial[]): Promise<TrialResult | undefined> {
    const expressions = trial.map(({ expression }) => expression);
    const targets = trial.map(({ target }) => target);
    const ended = await this.#runs.run(expressions, this.#base.limitMs);
    if (!ended) return undefined;
    const calls = ended.record.calls.map(({ name }) => name);
    const finding = judge(this.#base.ended, ended, targets);
    if (!finding) return { expressions, calls };
    if (this.#keys.has(keyOf(finding))) return { expressions, finding };
    // One failure that does it alone is the shorter token, and was found before.
    const alone = trial.length > 1 && targets.some((one) => this.#isKnown(finding, one));
    if (alone) return { expressions };
    const again = await this.#runs.run(expressions, this.#base.limitMs);
    if (!again) return undefined;
    const same = judge(this.#base.ended, again, targets);
    if (same && keyOf(same) === keyOf(finding)) return { expressions, finding };
    const text = `it ends differently each time: ${finding.text}, or ${same?.text ?? 'well'}`;
    return { expressions, finding: { kind: 'unsteady', text, targets } };
  }
  #isKnown(finding: TrialFinding, target: string): boolean {
    return this.#keys.has(keyOf({ ...finding, targets: [target] }));
  }
}

function nameOf(trial: readonly Trial[]): string {
  return trial.map(({ expression }) => expression).join(' ');
}
