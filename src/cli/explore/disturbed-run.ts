/** One run of a program, as `softiommu run`, and what came of it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_FINDINGS } from '../../insight/sanitizer/finding.ts';
import { kindsIn } from '../../insight/sanitizer/report.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import type { EndedRun } from '../../insight/explore/judge.ts';
import { recordOf } from '../../insight/explore/run-record.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import type { ChildEnd } from '../children.ts';
import { traceLines, type ManyRuns } from '../many-runs.ts';
import { UserMistake } from '../user-mistake.ts';
import { WarmRuns } from './warm-runs.ts';

/** How a program is run. */
export interface Exploration {
  /** What stands behind `run`: options that make the machine, `--`, the program and its arguments. */
  readonly words: readonly string[];
  /** A shell command that says by its status whether all is well; its environment has SOFTIOMMU_STATUS. */
  readonly check: string | undefined;
}

/** So long a check may take. */
const CHECK_MS = 60_000;

/** In the folder of a run. */
const TRACE = 'trace.jsonl';
const FINDINGS = 'findings';
/** What a run is watched for: an unmap that removes nothing is one of the failures that are tried. */
const SANITIZED = DEFAULT_FINDINGS.filter((kind) => kind !== 'unmap-short');

/** Runs of one exploration. */
export class DisturbedRuns {
  readonly #exploration: Exploration;
  readonly #runs: ManyRuns;
  readonly #warm: WarmRuns;

  constructor(exploration: Exploration, runs: ManyRuns) {
    this.#exploration = exploration;
    this.#runs = runs;
    this.#warm = new WarmRuns(runs.children);
  }
  /** It was stopped. */
  isOver(): boolean {
    return this.#runs.children.isOver();
  }

  /**
   * Run the program once, with what goes wrong, at most so long. Undefined: it was stopped on the way. Rejects with
   * UserMistake when softiommu could not run it.
   */
  async run(expressions: readonly string[], limitMs: number): Promise<EndedRun | undefined> {
    if (this.isOver()) return undefined;
    return this.#runs.withFolder(async (folder) => {
      const { status, signal, hung, said } = await this.#softiommu(folder, expressions, limitMs);
      if (this.isOver()) return undefined;
      if (status === STATUS_FAILED && said.startsWith('softiommu: ')) {
        throw new UserMistake(said.slice('softiommu: '.length).trimEnd());
      }
      const check = hung ? undefined : await this.#check(status);
      if (this.isOver()) return undefined;
      const record = recordOf(traceLines(join(folder, TRACE)));
      const itsSignal = hung ? undefined : (signal ?? undefined);
      const sanitizer = foundIn(folder);
      return { status: status ?? undefined, signal: itsSignal, hung, check, record, sanitizer };
    });
  }

  #softiommu(folder: string, expressions: readonly string[], limitMs: number): Promise<ChildEnd> {
    const { words } = this.#exploration;
    const token = expressions.length > 0 ? ['--inject-token', tokenOf(expressions)] : [];
    const flags = [
      ...['--explain', 'never', `--trace=${join(folder, TRACE)}`],
      ...[`--sanitize=${SANITIZED.join(',')}`, '--findings', join(folder, FINDINGS)],
      ...token,
    ];
    return this.#warm.run([...flags, ...words], limitMs);
  }
  async #check(status: number | null): Promise<number | undefined> {
    const { check } = this.#exploration;
    if (check === undefined) return undefined;
    const env = { ...process.env, SOFTIOMMU_STATUS: String(status ?? '') };
    const args = ['-c', check];
    const start = { program: 'sh', args, env, limitMs: CHECK_MS };
    const ended = await this.#runs.children.run(start);
    return ended.status ?? 1;
  }
}

/** Kinds of findings in the files of a run, each once. */
function foundIn(folder: string): readonly string[] {
  const files = readdirSync(folder).filter((name) => name.startsWith(`${FINDINGS}.`));
  const kinds = files.flatMap((name) => kindsIn(readFileSync(join(folder, name), 'utf8')));
  return [...new Set(kinds)].sort();
}
