/** Reports for machines of a run: from its end and what was noticed to their files. */
import { constants } from 'node:os';
import type { EndFacts, RunPlan, RunResult } from '../../host/launch/run.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import type { ProgramEnd } from '../../insight/ci-reports/run-outcome.ts';
import { OutcomeFiles, seenFrom } from './outcome-files.ts';
import type { OutcomeFlags } from './outcome-options.ts';
import { complain } from '../output.ts';
import { packageVersion } from '../version.ts';

/** From the opening of the files, before anything runs, to the end. */
export class RunOutcomeReport {
  readonly #files: OutcomeFiles;
  readonly #beganMs = performance.now();
  readonly #root: string;
  #facts: EndFacts | undefined;

  /** Throws UserMistake when a file cannot be written. */
  constructor(flags: OutcomeFlags, env: Readonly<Record<string, string | undefined>>) {
    this.#files = new OutcomeFiles(flags, env);
    this.#root = env['GITHUB_WORKSPACE'] ?? process.cwd();
  }
  readonly takeFacts = (facts: EndFacts): void => {
    this.#facts = facts;
  };
  /** The result of the run: one that went well did not do what was asked when a report cannot be written. */
  write({ argv, sanitize }: RunPlan, result: RunResult): RunResult {
    const problems = this.#files.write({
      program: argv,
      version: packageVersion(),
      end: programEnd(this.#facts?.ended ?? result),
      seconds: Math.round(performance.now() - this.#beganMs) / 1000,
      seen: seenFrom(this.#root, this.#facts?.seen ?? []),
      failsOn: sanitize?.failOn ?? [],
      sought: sanitize?.kinds,
    });
    for (const problem of problems) complain(problem);
    const isLost = problems.length > 0 && result.kind === 'exit' && result.status === 0;
    return isLost ? { kind: 'exit', status: STATUS_FAILED } : result;
  }
}

/** Signals by their names. */
export function programEnd(result: RunResult): ProgramEnd {
  if (result.kind === 'exit') return { status: result.status };
  if (result.kind === 'failed') return { failed: result.message };
  const name = Object.entries(constants.signals).find(([, number]) => number === result.signal);
  return { signal: name?.[0] ?? `signal ${result.signal}` };
}
