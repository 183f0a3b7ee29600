/** `softiommu run -- PROGRAM ARGS…`: an unmodified program on the simulated machine. */
import { Command, Option } from '@commander-js/extra-typings';
import {
  backendOption,
  barOption,
  blockOption,
  deviceOption,
  iommuOption,
  kernelOption,
  machineOption,
  nodefaultsOption,
  pluginOption,
  wireOption,
} from '../machine-options.ts';
import type { MachineChoice } from '../machine-file.ts';
import {
  githubOption,
  ktapOption,
  outcomeNames,
  runJsonOption,
  runJunitOption,
  sarifOption,
  wantsOutcome,
  type OutcomeFlags,
} from '../outcome-options.ts';
import { complain, print } from '../output.ts';
import {
  errorExitcodeOption,
  explainOption,
  findingsOption,
  failOnOption,
  injectTokenOption,
  barBuffersOption,
  ioUringOption,
  memlockOption,
  modeOption,
  pinOption,
  suppressionsOption,
  waitOption,
} from '../run-options.ts';
import type { RunFlags } from '../run-plan.ts';
import type { RunOutcomeReport } from '../run-outcome-report.ts';
import type { RunReport } from '../run-report.ts';
import {
  countTimestamps,
  failedOption,
  outputOption,
  pathOption,
  relativeOption,
  runExpressionOption,
  sortOption,
  spentOption,
  stackOption,
  successfulOption,
  summaryOnlyOption,
  summaryOption,
  timestampsOption,
  withTimestamps,
} from '../trace-options.ts';
import { withUsage } from '../usage.ts';

const TRACE = '--trace';
const SANITIZE = '--sanitize';
const SANITIZE_TEXT =
  'watch how the program uses its DMA mappings and say what is wrong: the default kinds, or those named, with commas';
/** Options that take nothing from the words that follow when they are bare, for these are the program; and their value then. */
const BARE: Readonly<Record<string, string>> = {
  [TRACE]: '-', // on standard error
  [SANITIZE]: 'default',
};

const traceOption = () =>
  new Option(
    `${TRACE} [=file]`,
    'show the calls, DMA and faults: on standard error, or with =FILE in a file; JSON lines if it ends in .jsonl',
  );
const sanitizeOption = () =>
  new Option(
    `${SANITIZE} [=kinds]`,
    'watch how the program uses its DMA mappings and say what is wrong: the default kinds, or those named, with commas',
  );

/** Commander gives an optional value the next word that is no option; here that would be the program to run. */
class RunCommand extends Command {
  override parseOptions(argv: string[]): { operands: string[]; unknown: string[] } {
    const out = [...argv];
    for (let n = 0; n < out.length; n++) {
      const word = out[n]!;
      if (word === '--' || !word.startsWith('-')) break;
      if (word === '-nodefaults') out[n] = '--nodefaults'; // as QEMU has it
      const bare = BARE[word];
      if (bare !== undefined) out[n] = `${word}=${bare}`;
      if (this.#takesNext(word)) n++;
    }
    return super.parseOptions(out);
  }
  /** Is the word behind this one its value? Of short options in one word the last can have one: `-te trace=ioctl`. */
  #takesNext(word: string): boolean {
    const withValue = this.options.filter(({ required }) => required);
    if (word.startsWith('--')) return withValue.some(({ long }) => long === word);
    const shorts = withValue.map(({ short }) => short?.slice(1));
    const first = Array.from(word).findIndex((letter, n) => n > 0 && shorts.includes(letter));
    return first === word.length - 1;
  }
}

/** `--device help` and its kin want no program. */
async function saysTypes(choice: MachineChoice): Promise<boolean> {
  if (![...(choice.device ?? []), ...(choice.iommu ?? [])].some((text) => text.endsWith('help'))) {
    return false;
  }
  const [{ openChoice }, { typeHelp }] = await Promise.all([
    import('../machine-file.ts'),
    import('../type-help.ts'),
  ]);
  const text = typeHelp(choice, (await openChoice(choice)).known);
  if (text !== undefined) print(text);
  return text !== undefined;
}

interface ReportedRun extends RunFlags, OutcomeFlags {
  readonly report?: string;
}
/** What is written at the end; undefined: it is not wanted. */
interface RunReports {
  readonly page: RunReport | undefined;
  readonly outcome: RunOutcomeReport | undefined;
}
async function startReports(options: ReportedRun): Promise<RunReports> {
  const { report } = options;
  const files = filesOf(options);
  if (files.length > 1) (await import('../one-file-each.ts')).refuseOneFileTwice(files);
  const page =
    report === undefined ? undefined : new (await import('../run-report.ts')).RunReport(report);
  if (!wantsOutcome(options)) return { page, outcome: undefined };
  const { RunOutcomeReport } = await import('../run-outcome-report.ts');
  return { page, outcome: new RunOutcomeReport(options, process.env) };
}
/** What the run writes, by the options that name it. */
function filesOf(options: ReportedRun): readonly (readonly [string, string])[] {
  const { report, trace, output } = options;
  const named: readonly (readonly [string, string | true | undefined])[] = [
    ['--report', report],
    ['--trace', trace],
    ['-o', output],
    ...outcomeNames(options),
  ];
  return named.flatMap(([option, file]): [string, string][] =>
    typeof file === 'string' && file !== '-' ? [[option, file]] : [],
  );
}

/** From the options to the end of this process, which is the program's. */
async function runAsAsked(argv: readonly string[], options: ReportedRun): Promise<void> {
  // Native code is loaded by `run` and `doctor` only.
  const { planRun } = await import('../run-plan.ts');
  const { page, outcome } = await startReports(options);
  const wants = { reportFd: page?.traceFd, tellsSeen: outcome !== undefined };
  const plan = await planRun(argv, options, wants);
  const { run, endLike } = await import('../../host/launch/run.ts');
  const result = await run(plan, (facts) => {
    page?.takeFacts(facts);
    outcome?.takeFacts(facts);
  });
  page?.write(argv, result);
  if (result.kind === 'failed') complain(result.message);
  endLike(outcome?.write(plan, result) ?? result);
}

/** The command `run`; its status is the program's. */
export function runCommand() {
  const command = new RunCommand('run')
    .description('run an unmodified program on the simulated machine')
    .argument('[program...]', 'the program and its arguments, after --')
    .addOption(machineOption())
    .addOption(deviceOption())
    .addOption(iommuOption())
    .addOption(blockOption())
    .addOption(wireOption())
    .addOption(barOption())
    .addOption(pluginOption())
    .addOption(nodefaultsOption())
    .addOption(kernelOption())
    .addOption(backendOption())
    .addOption(traceOption())
    .addOption(outputOption())
    .addOption(runExpressionOption())
    .addOption(pathOption())
    .addOption(successfulOption())
    .addOption(failedOption())
    .addOption(timestampsOption())
    .addOption(relativeOption())
    .addOption(spentOption())
    .addOption(stackOption())
    .addOption(summaryOnlyOption())
    .addOption(summaryOption())
    .addOption(sortOption())
    .option('--report <file>', 'at the end a page of what happened: one file of HTML')
    .addOption(runJunitOption())
    .addOption(ktapOption())
    .addOption(sarifOption())
    .addOption(runJsonOption())
    .addOption(githubOption())
    .addOption(explainOption())
    .addOption(injectTokenOption())
    .addOption(sanitizeOption())
    .addOption(errorExitcodeOption())
    .addOption(failOnOption())
    .addOption(suppressionsOption())
    .addOption(findingsOption())
    .option('--gen-suppressions', 'say with each finding the line that suppresses it')
    .option('--selftest', "provide the kernel's selftest device and its mock IOMMU")
    .addOption(modeOption())
    .addOption(pinOption())
    .addOption(waitOption())
    .addOption(ioUringOption())
    .addOption(barBuffersOption())
    .addOption(memlockOption())
    .passThroughOptions()
    .action(async (argv, options) => {
      if (await saysTypes(options)) return;
      if (argv.length === 0) command.error("error: missing required argument 'program'");
      await runAsAsked(argv, withTimestamps(command, options));
    });
  countTimestamps(command);
  return withUsage(command);
}
