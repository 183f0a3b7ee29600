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
  runJsonOption,
  runJunitOption,
  sarifOption,
} from '../reports/outcome-options.ts';
import { countRepeated, withCounts } from '../counted-options.ts';
import { inspectOption } from '../inspect/inspect-option.ts';
import { complain, print } from '../output.ts';
import {
  errorExitcodeOption,
  EXPLAIN_WORDS,
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
import { wantsReports, type RunReportFlags } from '../reports/report-flags.ts';
import type { RunReports } from '../reports/run-reports.ts';
import {
  constantsOption,
  failedOption,
  hexOption,
  noAbbrevOption,
  outputOption,
  pathOption,
  quietOption,
  relativeOption,
  separatelyOption,
  runExpressionOption,
  sortOption,
  spentOption,
  stringLimitOption,
  stackOption,
  successfulOption,
  summaryOnlyOption,
  summaryOption,
  timestampsOption,
  wallClockOption,
} from '../trace-options.ts';
import { withUsage } from '../usage.ts';

const TRACE = '--trace';
const SANITIZE = '--sanitize';
const INSPECT = '--inspect';
const EXPLAIN = '--explain';
/** Options that take nothing from the words that follow when they are bare, for these are the program; and their value then. */
const BARE: Readonly<Record<string, string>> = {
  [TRACE]: '-', // on standard error
  [SANITIZE]: 'default',
  [INSPECT]: '0', // any port
  [EXPLAIN]: 'always',
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
      if (word === EXPLAIN && EXPLAIN_WORDS.some((when) => when === out[n + 1])) {
        n++;
        continue;
      }
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

/** From the options to the end of this process, which is the program's. */
export async function runAsAsked(
  argv: readonly string[],
  options: RunFlags & RunReportFlags,
): Promise<void> {
  // Native code is loaded by `run` and `doctor` only.
  const { abandon, planRun } = await import('../run-plan.ts');
  const planned = await planRun(argv, options);
  // Files that reports overwrite are touched when no option is wrong any more.
  const reports = await startReports(argv, options).catch(async (error: unknown) => {
    await abandon(planned);
    throw error;
  });
  const plan = { ...planned, ...reports?.wants };
  const { run, endLike } = await import('../../host/launch/run.ts');
  const result = await run(plan, reports?.takeFacts);
  if (result.kind === 'failed') complain(result.message);
  endLike((await reports?.finish(plan, result)) ?? result);
}
/** Undefined: none is wanted, and nothing of them is loaded. */
async function startReports(
  argv: readonly string[],
  options: RunReportFlags,
): Promise<RunReports | undefined> {
  if (!wantsReports(options)) return undefined;
  const { RunReports } = await import('../reports/run-reports.ts');
  return RunReports.start(argv, options);
}

/** What is done with the words and options of a run. */
export type RunAction = (
  argv: readonly string[],
  options: RunFlags & RunReportFlags,
) => Promise<void>;

/** The command `run`; its status is the program's. */
export function runCommand(act: RunAction = runAsAsked) {
  return withUsage(commandOfRuns('run', 'run an unmodified program on the simulated machine', act));
}
/** A command with the words and options of `run`. */
// eslint-disable-next-line max-lines-per-function -- a table of options, one a line, whose types are those of one chain
export function commandOfRuns(name: string, description: string, act: RunAction) {
  const command = new RunCommand(name)
    .description(description)
    .argument('[program...]', 'the program and its arguments, after --')
    .optionsGroup('The machine:')
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
    .option('--selftest', "provide the kernel's selftest device and its mock IOMMU")
    .optionsGroup('What is shown while it runs:')
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
    .addOption(stringLimitOption())
    .addOption(noAbbrevOption())
    .addOption(hexOption())
    .addOption(constantsOption())
    .addOption(quietOption())
    .addOption(separatelyOption())
    .addOption(summaryOnlyOption())
    .addOption(summaryOption())
    .addOption(sortOption())
    .addOption(wallClockOption())
    .optionsGroup('What is said at the end:')
    .option('--report <file>', 'at the end a page of what happened: one file of HTML')
    .addOption(inspectOption())
    .addOption(runJunitOption())
    .addOption(ktapOption())
    .addOption(sarifOption())
    .addOption(runJsonOption())
    .addOption(githubOption())
    .addOption(explainOption())
    .optionsGroup('What is looked for, and what goes wrong:')
    .addOption(injectTokenOption())
    .addOption(sanitizeOption())
    .addOption(errorExitcodeOption())
    .addOption(failOnOption())
    .addOption(suppressionsOption())
    .addOption(findingsOption())
    .option('--gen-suppressions', 'say with each finding the line that suppresses it')
    .optionsGroup('How the program runs:')
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
      await act(argv, withCounts(command, options));
    });
  countRepeated(command);
  return command;
}
