/** What `run` writes and shows of a run, besides its trace: opened before anything runs, finished when it is over. */
import type { EndFacts, RunPlan, RunResult } from '../../host/launch/run.ts';
import { endText } from '../../insight/ci-reports/run-outcome.ts';
import type { RunFacts } from '../../insight/report/run-facts.ts';
import type { InspectServer } from '../inspect/server.ts';
import { KeptTrace } from './kept-trace.ts';
import { refuseOneFileTwice } from './one-file-each.ts';
import { outcomeNames, wantsOutcome } from './outcome-options.ts';
import type { RunReportFlags } from './report-flags.ts';
import { complain } from '../output.ts';
import { programEnd, RunOutcomeReport } from './run-outcome-report.ts';
import { RunReport } from './run-report.ts';

/** The reports of one run. */
export class RunReports {
  readonly #title: string;
  readonly #trace: KeptTrace | undefined;
  readonly #page: RunReport | undefined;
  readonly #outcome: RunOutcomeReport | undefined;
  #inspect: InspectServer | undefined;
  #facts: EndFacts | undefined;

  private constructor(argv: readonly string[], flags: RunReportFlags) {
    refuseOneFileTwice(filesOf(flags));
    const { report, inspect } = flags;
    this.#title = argv.join(' ');
    this.#page = report === undefined ? undefined : new RunReport(report);
    this.#outcome = wantsOutcome(flags) ? new RunOutcomeReport(flags, process.env) : undefined;
    this.#trace = report === undefined && inspect === undefined ? undefined : new KeptTrace();
  }
  /** Rejects with UserMistake when one cannot be written, or the page cannot be served: that is begun when nothing else is wrong. */
  static async start(argv: readonly string[], flags: RunReportFlags): Promise<RunReports> {
    const reports = new RunReports(argv, flags);
    await reports.#startInspecting(flags.inspect);
    return reports;
  }
  /** Says where it is to be looked at. */
  async #startInspecting(asked: RunReportFlags['inspect']): Promise<void> {
    const trace = this.#trace;
    if (asked === undefined || !trace) return;
    const { InspectServer } = await import('../inspect/server.ts');
    const port = asked === true ? 0 : asked;
    this.#inspect = await InspectServer.listen({ port, trace, title: this.#title });
    complain(`inspect this run at ${this.#inspect.url}`);
  }
  /** What the run has to tell. */
  get wants(): Pick<RunPlan, 'reportFd' | 'tellsSeen'> {
    return { reportFd: this.#trace?.writeFd, tellsSeen: this.#outcome !== undefined };
  }
  readonly takeFacts = (facts: EndFacts): void => {
    this.#facts = facts;
  };
  /** The run is over: its result, which a report that cannot be written may change. */
  async finish(plan: RunPlan, result: RunResult): Promise<RunResult> {
    const { page, seen = [], ended = result } = this.#facts ?? {};
    const end = programEnd(ended);
    const facts: Omit<RunFacts, 'version'> = { title: this.#title, ending: endText(end), ...page };
    // What a status may hang on comes first: neither a page nor its readers can keep it back.
    const status = this.#outcome?.write(plan, result, { end, seen }) ?? result;
    if (this.#trace) this.#page?.write(facts, this.#trace);
    await this.#inspect?.finish(facts);
    this.#trace?.[Symbol.dispose]();
    return status;
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
