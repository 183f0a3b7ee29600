/** One run of a program, as `softiommu run` in a process of its own, and what came of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_FINDINGS } from '../../insight/sanitizer/finding.ts';
import { kindsIn } from '../../insight/sanitizer/report.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import type { EndedRun } from '../../insight/explore/judge.ts';
import { recordOf } from '../../insight/explore/run-record.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import { Children, ownCommand, type ChildEnd } from '../children.ts';
import { UserMistake } from '../user-mistake.ts';

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

/** Processes of runs, to be ended when the exploration is. */
export class DisturbedRuns {
  readonly #exploration: Exploration;
  readonly #children = new Children();

  constructor(exploration: Exploration) {
    this.#exploration = exploration;
  }
  /** No more, and those that go on end. */
  stop(): void {
    this.#children.stop();
  }
  get isOver(): boolean {
    return this.#children.isOver;
  }

  /**
   * Run the program once, with what goes wrong, at most so long. Undefined: it was stopped on the way. Rejects with
   * UserMistake when softiommu could not run it.
   */
  async run(expressions: readonly string[], limitMs: number): Promise<EndedRun | undefined> {
    if (this.isOver) return undefined;
    const folder = mkdtempSync(join(tmpdir(), 'softiommu-explore-'));
    try {
      const { status, signal, hung, said } = await this.#softiommu(folder, expressions, limitMs);
      if (this.#wasStopped()) return undefined;
      if (status === STATUS_FAILED && said.startsWith('softiommu: ')) {
        throw new UserMistake(said.slice('softiommu: '.length).trimEnd());
      }
      const check = hung ? undefined : await this.#check(status);
      if (this.#wasStopped()) return undefined;
      const record = recordOf(readFileSync(join(folder, TRACE), 'utf8').split('\n'));
      const itsSignal = hung ? undefined : (signal ?? undefined);
      const sanitizer = foundIn(folder);
      return { status: status ?? undefined, signal: itsSignal, hung, check, record, sanitizer };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** While it was waited for. */
  #wasStopped(): boolean {
    return this.#children.isOver;
  }
  #softiommu(folder: string, expressions: readonly string[], limitMs: number): Promise<ChildEnd> {
    const { words } = this.#exploration;
    const token = expressions.length > 0 ? ['--inject-token', tokenOf(expressions)] : [];
    const flags = [
      ...['--explain', 'never', `--trace=${join(folder, TRACE)}`],
      ...[`--sanitize=${SANITIZED.join(',')}`, '--findings', join(folder, FINDINGS)],
      ...token,
    ];
    return this.#children.run(ownCommand(['run', ...flags, ...words], limitMs));
  }
  async #check(status: number | null): Promise<number | undefined> {
    const { check } = this.#exploration;
    if (check === undefined) return undefined;
    const env = { ...process.env, SOFTIOMMU_STATUS: String(status ?? '') };
    const ended = await this.#children.run({
      ...{ program: 'sh', args: ['-c', check], env },
      limitMs: CHECK_MS,
    });
    return ended.status ?? 1;
  }
}

/** Kinds of findings in the files of a run, each once. */
function foundIn(folder: string): readonly string[] {
  const files = readdirSync(folder).filter((name) => name.startsWith(`${FINDINGS}.`));
  const kinds = files.flatMap((name) => kindsIn(readFileSync(join(folder, name), 'utf8')));
  return [...new Set(kinds)].sort();
}
