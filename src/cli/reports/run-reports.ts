/** What `run` writes and shows of a run, besides its trace: opened before anything runs, finished when it is over. */
import type { EndFacts, RunPlan, RunResult } from '../../host/launch/run.ts';
import { endText } from '../../insight/ci-reports/run-outcome.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import type { InspectServer } from '../inspect/server.ts';
import { KeptTrace } from './kept-trace.ts';
import { refuseOneFileTwice } from './one-file-each.ts';
import { outcomeNames, wantsOutcome, type OutcomeFlags } from './outcome-options.ts';
import { complain } from '../output.ts';
import { programEnd, RunOutcomeReport } from './run-outcome-report.ts';
import { RunReport } from './run-report.ts';

/** The options that say so. */
export interface RunReportFlags extends OutcomeFlags {
  readonly report?: string;
  /** A port; bare: any. */
  readonly inspect?: number | true;
  readonly trace?: string | true;
  readonly output?: string;
}
/** The reports of one run. */
export class RunReports {
  readonly #title: string;
  readonly #trace: KeptTrace | undefined;
  readonly #page: RunReport | undefined;
  readonly #outcome: RunOutcomeReport | undefined;
  readonly #inspect: InspectServer | undefined;
  #facts: EndFacts | undefined;

  private constructor(
    argv: readonly string[],
    flags: RunReportFlags,
    trace: KeptTrace | undefined,
    inspect: InspectServer | undefined,
  ) {
    this.#title = argv.join(' ');
    this.#trace = trace;
    this.#inspect = inspect;
    this.#page = flags.report === undefined ? undefined : new RunReport(flags.report);
    this.#outcome = wantsOutcome(flags) ? new RunOutcomeReport(flags, process.env) : undefined;
  }
  /** Rejects with UserMistake when one cannot be written, or the page cannot be served. */
  static async start(argv: readonly string[], flags: RunReportFlags): Promise<RunReports> {
    refuseOneFileTwice(filesOf(flags));
    const { report, inspect: asked } = flags;
    const port = asked === true ? 0 : asked;
    if (report === undefined && port === undefined) {
      return new RunReports(argv, flags, undefined, undefined);
    }
    const trace = new KeptTrace();
    const inspect = port === undefined ? undefined : await startInspecting(argv, port, trace);
    return new RunReports(argv, flags, trace, inspect);
  }
  /** What the run has to tell. */
  get wants(): Pick<RunPlan, 'reportFd' | 'tellsSeen'> {
    return { reportFd: this.#trace?.writeFd, tellsSeen: this.#outcome !== undefined };
  }
  readonly takeFacts = (facts: EndFacts): void => {
    this.#facts = facts;
    this.#outcome?.takeFacts(facts);
  };
  /** The run is over: its result, which a report that cannot be written may change. */
  async finish(plan: RunPlan, result: RunResult): Promise<RunResult> {
    const ending = endText(programEnd(result));
    const facts: Omit<RunFacts, 'version'> = { title: this.#title, ending, ...this.#facts?.page };
    if (this.#trace) this.#page?.write(facts, this.#trace);
    await this.#inspect?.finish(facts);
    this.#trace?.[Symbol.dispose]();
    return this.#outcome?.write(plan, result) ?? result;
  }
}

/** What the run writes, by the options that name it. */
function filesOf(flags: RunReportFlags): readonly (readonly [string, string])[] {
  const { report, trace, output } = flags;
  const named: readonly (readonly [string, string | true | undefined])[] = [
    ['--report', report],
    ['--trace', trace],
    ['-o', output],
    ...outcomeNames(flags),
  ];
  return named.flatMap(([option, file]): [string, string][] =>
    typeof file === 'string' && file !== '-' ? [[option, file]] : [],
  );
}

/** Says where it is to be looked at. */
async function startInspecting(
  argv: readonly string[],
  port: number,
  trace: KeptTrace,
): Promise<InspectServer> {
  const { InspectServer } = await import('../inspect/server.ts');
  const server = await InspectServer.listen({ port, trace, title: argv.join(' ') });
  complain(`inspect this run at ${server.url}`);
  return server;
}
