/** `softiommu explore -- PROGRAM`: every failure the program should survive, one after the other. */
import { availableParallelism } from 'node:os';
import { Command, Option } from '@commander-js/extra-typings';
import { lawfulErrnos } from '../../insight/explore/lawful.ts';
import { TRIED_FAULTS, type Failures } from '../../insight/explore/trials.ts';
import { explore } from '../explore/campaign.ts';
import { DisturbedRuns } from '../explore/disturbed-run.ts';
import {
  foundText,
  baselineOption,
  htmlOption,
  junitOption,
  Reports,
  trialsJsonOption,
  writeBaselineOption,
  type ReportFlags,
} from '../explore/options.ts';
import { contentOf } from '../explore/identity.ts';
import { ResultsFolder } from '../explore/results-folder.ts';
import { shardOf, WHOLE } from '../explore/shard.ts';
import { ALONE } from '../explore/trial-source.ts';
import { knownRefusals } from '../known-refusals.ts';
import { withManyRuns } from '../many-runs.ts';
import { positive } from '../option-values.ts';
import { UserMistake } from '../user-mistake.ts';
import { packageVersion } from '../version.ts';
import { deviceOption, iommuOption, machineOption, nodefaultsOption } from '../machine-options.ts';
import { STATUS_FOUND, STATUS_STOPPED } from '../../host/sys/exit-status.ts';
import { STDERR, writeAll } from '../../host/sys/write-all.ts';
import { modeOption } from '../run-options.ts';
import { withUsage } from '../usage.ts';

interface ExploreFlags extends ReportFlags {
  readonly depth: '1' | '2';
  readonly jobs?: number;
  readonly faults: (typeof TRIED_FAULTS)[number] | 'all';
  readonly timeLimit?: number;
  readonly check?: string;
  readonly resume?: string;
  readonly shard?: string;
  readonly queue?: string;
  readonly machine?: string;
  readonly device?: string[];
  readonly iommu?: string[];
  readonly nodefaults?: true;
  readonly mode?: string;
}

/** Options of the machine, as `run` takes them. */
function runFlags({ machine, device = [], iommu = [], nodefaults, mode }: ExploreFlags): string[] {
  return [
    ...(machine === undefined ? [] : ['--machine', machine]),
    ...device.flatMap((spec) => ['--device', spec]),
    ...iommu.flatMap((spec) => ['--iommu', spec]),
    ...(nodefaults ? ['--nodefaults'] : []),
    ...(mode === undefined ? [] : ['--mode', mode]),
  ];
}

/** Which calls can fail how is what the refusals say. */
function failuresOf({ faults }: ExploreFlags): Failures {
  const kinds = faults === 'all' ? TRIED_FAULTS : [faults];
  return { kinds, lawful: lawfulErrnos(knownRefusals()) };
}

/** One line that is written over, on a terminal only. */
function progress(begin: number): (done: number, of: number) => void {
  if (!process.stderr.isTTY) return () => undefined;
  return (done, of) => {
    const left = Math.ceil((((performance.now() - begin) / done) * (of - done)) / 1000);
    const end = done === of ? '\n' : '';
    writeAll(STDERR, `\r\x1b[K${done} of ${of} failures tried, ${left} s left${end}`);
  };
}

async function exploreProgram(argv: string[], flags: ExploreFlags): Promise<void> {
  const { queue } = flags;
  if (queue !== undefined && flags.shard !== undefined) {
    throw new UserMistake('--queue and --shard both part the failures; one is enough');
  }
  const shard = queue === undefined ? shardOf(flags.shard, process.env) : WHOLE;
  // What stands behind `run`.
  const words = [...runFlags(flags), '--', ...argv];
  const reports = new Reports(flags);
  const folder = flags.resume === undefined ? undefined : ResultsFolder.open(flags.resume, words);
  const source = queue === undefined ? ALONE : await queueOf(queue, words, flags);
  const end = await withManyRuns(async (many) => {
    const runs = new DisturbedRuns({ words, check: flags.check }, many);
    const explored = await explore(runs, {
      depth: flags.depth === '2' ? 2 : 1,
      jobs: flags.jobs ?? availableParallelism(),
      failures: failuresOf(flags),
      shard,
      source,
      timeLimitMs: flags.timeLimit && flags.timeLimit * 1000,
      known: folder?.known ?? [],
      onResult: (result) => folder?.add(result),
      onProgress: progress(performance.now()),
    });
    return { ...explored, wasAsked: runs.isOver() };
  });
  const { calls, results, left, gone, wasAsked } = end;
  const isStopped = wasAsked || gone !== undefined;
  const stopped = isStopped ? `, stopped with ${left} not tried` : '';
  const tried = results.length;
  const fresh = reports.tell({
    words,
    results,
    counts: {
      text: (found) => `${calls} calls, ${tried} failures tried${stopped}: ${foundText(found)}`,
      data: { calls, tried, left, stopped: isStopped },
    },
  });
  if (fresh > 0) process.exitCode = STATUS_FOUND;
  if (wasAsked) process.exitCode = STATUS_STOPPED;
  if (gone !== undefined) throw new UserMistake(`${gone}; what was found until then is told`);
}
/** What all who take from one queue have in common: the options, the files they name as they are now, and our version. */
async function queueOf(address: string, words: readonly string[], flags: ExploreFlags) {
  const { TrialQueue } = await import('../explore/trial-queue.ts');
  const { faults, check = '', timeLimit = 0 } = flags;
  const content = contentOf(words, process.env['PATH']);
  const options = [faults, check, String(timeLimit)];
  return TrialQueue.open(address, [packageVersion(), content, ...options, ...words]);
}
/** The command `explore`; its status is 1 when something was found that no baseline has. */
export function exploreCommand() {
  const command = new Command('explore')
    .description(
      'run a program again and again, each time with another failure that it should survive',
    )
    .argument('<program...>', 'the program and its arguments, after --')
    .addOption(
      new Option('--depth <failures>', 'how many failures there are in one run')
        .choices(['1', '2'] as const)
        .default('1' as const),
    )
    .addOption(
      new Option('--faults <kind>', 'what goes wrong: calls that fail, devices, or both')
        .choices([...TRIED_FAULTS, 'all'] as const)
        .default('all' as const),
    )
    .addOption(
      new Option('--jobs <n>', 'runs at once; default: one a processor').argParser(positive),
    )
    .addOption(
      new Option(
        '--time-limit <seconds>',
        'a run that lasts longer hangs; default: ten times the undisturbed one, at least 10',
      ).argParser(positive),
    )
    .option('--check <command>', 'shell command after each run; another status than 0 is a finding')
    .option('--resume <folder>', 'keep the results there, and go on with those that are there')
    .option('--shard <i/n>', 'only this part of the failures, such as 2/5')
    .option('--queue <address>', 'share the failures with others: redis://HOST[:PORT][/DB][#NAME]')
    .addOption(baselineOption())
    .addOption(writeBaselineOption())
    .addOption(junitOption())
    .addOption(htmlOption())
    .addOption(trialsJsonOption())
    .addOption(machineOption())
    .addOption(deviceOption())
    .addOption(iommuOption())
    .addOption(nodefaultsOption())
    .addOption(modeOption())
    .passThroughOptions()
    .action((argv, options) => exploreProgram(argv, options));
  return withUsage(command);
}
