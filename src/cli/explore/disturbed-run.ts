/** One run of a program, as `softiommu run` in a process of its own, and what came of it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_FINDINGS } from '../../insight/sanitizer/finding.ts';
import { kindsIn } from '../../insight/sanitizer/report.ts';
import { tokenOf } from '../../insight/inject/token.ts';
import type { EndedRun } from '../../insight/explore/judge.ts';
import { recordOf } from '../../insight/explore/run-record.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import { UserMistake } from '../user-mistake.ts';

/** How a program is run. */
export interface Exploration {
  /** What stands behind `run`: options that make the machine, `--`, the program and its arguments. */
  readonly words: readonly string[];
  /** A shell command that says by its status whether all is well; its environment has SOFTIOMMU_STATUS. */
  readonly check: string | undefined;
}

/** So long a run that was asked to end may take to, and a check to be done. */
const GRACE_MS = 3000;
const CHECK_MS = 60_000;
/** Of what a run says only the end is kept. */
const KEPT = 4096;

/** In the folder of a run. */
const TRACE = 'trace.jsonl';
const FINDINGS = 'findings';
/** What a run is watched for: an unmap that removes nothing is one of the failures that are tried. */
const SANITIZED = DEFAULT_FINDINGS.filter((kind) => kind !== 'unmap-short');

interface ChildEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly hung: boolean;
  /** The end of its standard error. */
  readonly said: string;
}
interface ChildStart {
  readonly program: string;
  readonly args: readonly string[];
  readonly limitMs: number;
  readonly env: NodeJS.ProcessEnv;
}

/** Processes of runs, to be ended when the exploration is. */
export class DisturbedRuns {
  readonly #exploration: Exploration;
  /** What ends those that go on. */
  readonly #stops = new Set<() => void>();
  #isOver = false;

  constructor(exploration: Exploration) {
    this.#exploration = exploration;
  }
  /** No more, and those that go on end. */
  stop(): void {
    this.#isOver = true;
    for (const stop of this.#stops) stop();
  }
  get isOver(): boolean {
    return this.#isOver;
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
    return this.#isOver;
  }
  #softiommu(folder: string, expressions: readonly string[], limitMs: number): Promise<ChildEnd> {
    const { words } = this.#exploration;
    const token = expressions.length > 0 ? ['--inject-token', tokenOf(expressions)] : [];
    const flags = [
      ...['--explain', 'never', `--trace=${join(folder, TRACE)}`],
      ...[`--sanitize=${SANITIZED.join(',')}`, '--findings', join(folder, FINDINGS)],
      ...token,
    ];
    // As this process was started: from the sources as well.
    const self = [...process.execArgv, process.argv[1] ?? '', 'run', ...flags, ...words];
    return this.#child({ program: process.execPath, args: self, limitMs, env: process.env });
  }
  async #check(status: number | null): Promise<number | undefined> {
    const { check } = this.#exploration;
    if (check === undefined) return undefined;
    const env = { ...process.env, SOFTIOMMU_STATUS: String(status ?? '') };
    const ended = await this.#child({
      ...{ program: 'sh', args: ['-c', check], env },
      limitMs: CHECK_MS,
    });
    return ended.status ?? 1;
  }
  /** In a process group of its own: what a terminal sends to ours is not for it. */
  #child({ program, args, limitMs, env }: ChildStart): Promise<ChildEnd> {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env,
    });
    let [hung, said] = [false, ''];
    let last: NodeJS.Timeout | undefined;
    const stop = (): void => {
      child.kill('SIGTERM');
      last ??= setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    };
    const limit = setTimeout(() => {
      hung = true;
      stop();
    }, limitMs);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-KEPT);
    });
    this.#stops.add(stop);
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (status, signal) => {
        clearTimeout(limit);
        clearTimeout(last);
        this.#stops.delete(stop);
        // What it leaves running may hold the pipe open.
        setImmediate(() => {
          child.stderr.destroy();
          resolve({ status, signal, hung, said });
        });
      });
    });
  }
}

/** Kinds of findings in the files of a run, each once. */
function foundIn(folder: string): readonly string[] {
  const files = readdirSync(folder).filter((name) => name.startsWith(`${FINDINGS}.`));
  const kinds = files.flatMap((name) => kindsIn(readFileSync(join(folder, name), 'utf8')));
  return [...new Set(kinds)].sort();
}
