/** Reports for machines of a run: from its end and what was noticed to their files. */
import type { RunPlan, RunResult } from '../../host/launch/run.ts';
import { STATUS_FAILED } from '../../host/sys/exit-status.ts';
import { signalName } from '../../host/sys/signal-name.ts';
import type { ProgramEnd, RunOutcome } from '../../insight/ci-reports/run-outcome.ts';
import { OutcomeFiles, seenFrom } from './outcome-files.ts';
import type { OutcomeFlags } from './outcome-options.ts';
import { complain } from '../output.ts';
import { packageVersion } from '../version.ts';

/** How the program ended, whatever the status of the run is made, and what was noticed. */
type WhatHappened = Pick<RunOutcome, 'end' | 'seen'>;

/** From the opening of the files, before anything runs, to the end. */
export class RunOutcomeReport {
  readonly #files: OutcomeFiles;
  readonly #beganMs = performance.now();
  readonly #root: string;

  /** Throws UserMistake when a file cannot be written. */
  constructor(flags: OutcomeFlags, env: Readonly<Record<string, string | undefined>>) {
    this.#files = new OutcomeFiles(flags, env);
    this.#root = env['GITHUB_WORKSPACE'] ?? process.cwd();
  }
  /** The result of the run: one that went well did not do what was asked when a report cannot be written. */
  write({ argv, sanitize }: RunPlan, result: RunResult, { end, seen }: WhatHappened): RunResult {
    const problems = this.#files.write({
      program: argv,
      version: packageVersion(),
      end,
      seconds: Math.round(performance.now() - this.#beganMs) / 1000,
      seen: seenFrom(this.#root, seen),
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
  return { signal: signalName(result.signal) ?? `signal ${result.signal}` };
}
