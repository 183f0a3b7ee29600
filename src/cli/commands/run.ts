/** `softiommu run -- PROGRAM ARGS…`: an unmodified program on the simulated machine. */
import { Command, Option } from '@commander-js/extra-typings';
import { writeSync } from 'node:fs';
import { withUsage } from '../usage.ts';

const MODES = ['namespace', 'traps'] as const;
const PINS = ['copy', 'exact'] as const;

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** The command `run`; its status is the program's. */
export function runCommand() {
  const command = new Command('run')
    .description('run an unmodified program on the simulated machine')
    .argument('<program...>', 'the program and its arguments, after --')
    .option('--machine <file>', 'machine description: a YAML file, or preset:NAME')
    .option('--device <spec>', 'add a device, e.g. edu,bdf=0000:00:04.0', collect)
    .option('--iommu <spec>', 'use this IOMMU, e.g. intel', collect)
    .option(
      '--trace [file]',
      'show the calls, DMA and faults: on standard error, or in a file; JSON lines if it ends in .jsonl',
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
    .passThroughOptions()
    .action(async (argv, options) => {
      // Native code is loaded by `run` and `doctor` only.
      const { planRun } = await import('../run-plan.ts');
      const plan = planRun(argv, options);
      const { run, endLike } = await import('../../host/launch/run.ts');
      const result = await run(plan);
      if (result.kind === 'failed') writeSync(2, `softiommu: ${result.message}\n`);
      endLike(result);
    });
  return withUsage(command);
}
