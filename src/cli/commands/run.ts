/** `softiommu run -- PROGRAM ARGS…`: an unmodified program on the simulated machine. */
import { Command, InvalidArgumentError, Option } from '@commander-js/extra-typings';
import { U64_MAX } from '../../base/u64.ts';
import {
  blockOption,
  deviceOption,
  iommuOption,
  machineOption,
  pluginOption,
  wireOption,
} from '../machine-options.ts';
import type { MachineChoice } from '../machine-file.ts';
import { complain, print } from '../output.ts';
import { withUsage } from '../usage.ts';

const MODES = ['namespace', 'traps'] as const;
const PINS = ['copy', 'exact'] as const;
const IO_URINGS = ['refuse', 'allow'] as const;
const WAITS = ['all', 'program'] as const;

/** A bare `--trace` takes nothing from the words that follow: they are the program. */
const TRACE = '--trace';
/** Its value then: a trace on standard error. */
const TO_STDERR = '-';

/** Commander gives an optional value the next word that is no option; here that would be the program to run. */
class RunCommand extends Command {
  override parseOptions(argv: string[]): { operands: string[]; unknown: string[] } {
    const out = [...argv];
    for (let n = 0; n < out.length; n++) {
      const word = out[n]!;
      if (word === '--' || !word.startsWith('-')) break;
      if (word === TRACE) out[n] = `${TRACE}=${TO_STDERR}`;
      const takesNext = this.options.some(({ long, required }) => required && long === word);
      if (takesNext) n++;
    }
    return super.parseOptions(out);
  }
}

const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  K: 2n ** 10n,
  M: 2n ** 20n,
  G: 2n ** 30n,
};

/** '64M', '67108864' or 'unlimited', in bytes. */
function memorySize(text: string): bigint {
  if (text === 'unlimited') return U64_MAX;
  const [, digits, unit] = /^(\d{1,15})([KMG]?)$/.exec(text) ?? [];
  if (digits === undefined) {
    throw new InvalidArgumentError('a size is a number with K, M, G or nothing, or unlimited.');
  }
  return BigInt(digits) * UNITS[unit ?? '']!;
}

/** `--device help` and its kin want no program. */
async function saysTypes(choice: MachineChoice): Promise<boolean> {
  if (![...(choice.device ?? []), ...(choice.iommu ?? [])].some((text) => text.endsWith('help'))) {
    return false;
  }
  const [{ namesWith }, { typeHelp }] = await Promise.all([
    import('../machine-file.ts'),
    import('../type-help.ts'),
  ]);
  const text = typeHelp(choice, await namesWith(choice.plugin));
  if (text !== undefined) print(text);
  return text !== undefined;
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
    .addOption(pluginOption())
    .option(
      `${TRACE} [=file]`,
      'show the calls, DMA and faults: on standard error, or with =FILE in a file; JSON lines if it ends in .jsonl',
    )
    .option('--selftest', "provide the kernel's selftest device and its mock IOMMU")
    .addOption(new Option('--mode <mode>', 'how /dev and /sys reach the program').choices(MODES))
    .addOption(
      new Option(
        '--pin <how>',
        "pinned private pages: copied when their mapping goes, or held by the host's io_uring",
      )
        .choices(PINS)
        .default('copy' as const),
    )
    .addOption(
      new Option(
        '--wait <for>',
        'when the run is over: when all its processes have ended, or with the program, which ends the others',
      )
        .choices(WAITS)
        .default('all' as const),
    )
    .addOption(
      new Option(
        '--io-uring <how>',
        "a program's io_uring: refused with EPERM, or allowed, and then its requests see the host's files",
      )
        .choices(IO_URINGS)
        .default('refuse' as const),
    )
    .addOption(
      new Option(
        '--memlock <size>',
        "what a program may pin for devices (RLIMIT_MEMLOCK): bytes, with K, M or G, or unlimited; default: the host's limit",
      ).argParser(memorySize),
    )
    .passThroughOptions()
    .action(async (argv, options) => {
      if (await saysTypes(options)) return;
      if (argv.length === 0) command.error("error: missing required argument 'program'");
      // Native code is loaded by `run` and `doctor` only.
      const { planRun } = await import('../run-plan.ts');
      const plan = await planRun(argv, options);
      const { run, endLike } = await import('../../host/launch/run.ts');
      const result = await run(plan);
      if (result.kind === 'failed') complain(result.message);
      endLike(result);
    });
  return withUsage(command);
}
