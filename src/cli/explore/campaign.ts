/** All runs of an exploration: first the program as it is, then with each failure in turn, then with two. */
import {
  judge,
  keyOf,
  unsteady,
  type EndedRun,
  type TrialFinding,
} from '../../insight/explore/judge.ts';
import { trialsOf, type Failures, type Trial } from '../../insight/explore/trials.ts';
import { numbered } from '../../insight/explore/run-record.ts';
import { UserMistake } from '../user-mistake.ts';
import type { DisturbedRuns } from './disturbed-run.ts';
import { SourceGone, trialName, type TrialResult, type TrialSource } from './trial-source.ts';

/** How the runs are done. */
export interface CampaignOptions {
  readonly depth: 1 | 2;
  readonly jobs: number;
  /** Who shares the trials with us. */
  readonly source: TrialSource;
  readonly failures: Failures;
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
  /** Why it came to its end before: those who were to share it are gone. */
  readonly gone?: string;
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
  const all = trialsOf(base.ended.record, options.failures);
  const singles = all.filter((_, n) => n % total === index);
  const gone = await goneOf(async () => {
    await campaign.all(singles.map((trial) => [trial]));
    if (options.depth === 2) await campaign.all(campaign.pairs(singles));
  });
  const { results, left } = campaign;
  const calls = base.ended.record.calls.length;
  return { calls, results, left, ...(gone !== undefined && { gone }) };
}
/** Why a part could not be shared to its end; undefined: it was. */
async function goneOf(run: () => Promise<void>): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (error instanceof SourceGone) return error.message;
    throw error;
  }
}

class Campaign {
  readonly #runs: DisturbedRuns;
  readonly #options: CampaignOptions;
  readonly #base: Base;
  /** By their expressions. */
  readonly #results = new Map<string, TrialResult>();
  readonly #keys = new Set<string>();
  #done = 0;
  readonly #planned = new Set<string>();

  constructor(runs: DisturbedRuns, options: CampaignOptions, base: Base) {
    this.#runs = runs;
    this.#options = options;
    this.#base = base;
    for (const result of options.known) this.#note(result);
  }
  /** Trials that were to be made and were not. */
  get left(): number {
    return [...this.#planned].filter((name) => !this.#results.has(name)).length;
  }
  /** In the order of the trials, whoever was first to make them. */
  get results(): readonly TrialResult[] {
    const known = [...this.#results.keys()].filter((name) => !this.#planned.has(name));
    return [...known, ...this.#planned].flatMap((name) => this.#results.get(name) ?? []);
  }

  /** Make these trials, several at once. Rejects with SourceGone. */
  async all(trials: readonly (readonly Trial[])[]): Promise<void> {
    const byName = new Map(trials.map((trial) => [nameOf(trial), trial]));
    const wanted = [...byName.keys()].filter((name) => !this.#results.has(name));
    for (const name of wanted) this.#planned.add(name);
    await this.#options.source.share(wanted, {
      jobs: this.#options.jobs,
      make: async (name) => this.#results.get(name) ?? this.#try(asked(name, byName)),
      made: (name, result) => {
        if (this.#results.has(name)) return;
        this.#note(result);
        this.#options.onResult(result);
        this.#options.onProgress(++this.#done, this.#planned.size);
      },
      isOver: () => this.#runs.isOver(),
    });
  }
  /** A second failure behind each that was survived. */
  pairs(singles: readonly Trial[]): readonly (readonly Trial[])[] {
    return singles.flatMap((first) => {
      const result = this.#results.get(nameOf([first]));
      if (!result?.calls || result.finding || first.place === undefined) return [];
      const record = { ...this.#base.ended.record, calls: numbered(result.calls) };
      const failures = { ...this.#options.failures, kinds: ['calls'] as const };
      return trialsOf(record, failures, first.place + 1).map((second) => [first, second]);
    });
  }

  #note(result: TrialResult): void {
    this.#results.set(trialName(result.expressions), result);
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

/** Others who share the trials may ask for what we know already, but not for what the program does not do here. */
function asked(name: string, trials: ReadonlyMap<string, readonly Trial[]>): readonly Trial[] {
  const trial = trials.get(name);
  if (trial) return trial;
  throw new UserMistake(`somebody else tries ${name}, which this program gives no place for`);
}
function nameOf(trial: readonly Trial[]): string {
  return trialName(trial.map(({ expression }) => expression));
}
