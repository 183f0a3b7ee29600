/** From the options of `run` to a plan the kernel thread can follow. */
import { launchOptions } from '../host/launch/launch-options.ts';
import type { RunPlan } from '../host/launch/run.ts';
import type { MachineDescription } from '../machine/description/description.ts';
import { DEFAULT_MACHINE } from '../machine/description/default-machine.ts';
import type { MachineChoice } from './machine-file.ts';

/** The options of `run` as the command line gives them. */
export interface RunFlags {
  readonly machine?: string;
  readonly device?: string[];
  readonly iommu?: string[];
  readonly block?: string[];
  readonly plugin?: string[];
  readonly trace?: string | true;
  readonly selftest?: true;
  readonly mode?: 'namespace' | 'traps';
  readonly pin?: 'copy' | 'exact';
  readonly wait?: 'all' | 'program';
  readonly ioUring?: 'refuse' | 'allow';
  readonly memlock?: bigint;
}

/** The plan of a run. Rejects with a message for people when the machine or an option cannot be. */
export async function planRun(argv: readonly string[], flags: RunFlags): Promise<RunPlan> {
  const { machine, blockFiles } = await machineOf(flags);
  return {
    blockFiles,
    plugins: flags.plugin ?? [],
    argv,
    machine: flags.selftest ? withSelftest(machine) : machine,
    trace: flags.trace === true ? '-' : flags.trace,
    pin: flags.pin,
    memlock: flags.memlock,
    wait: flags.wait ?? 'all',
    launch: {
      ...launchOptions(flags.mode),
      capabilities: flags.selftest === true,
      memlock: flags.memlock !== undefined,
      // Only the selftest's devices report page faults and events.
      events: flags.selftest === true,
      ioUring: flags.ioUring === 'allow',
    },
  };
}

/** Readers of machine files and checkers of what they say are loaded for a run that says something. */
async function machineOf(choice: MachineChoice): Promise<Pick<RunPlan, 'machine' | 'blockFiles'>> {
  const { machine: file, device = [], iommu = [], block = [], plugin = [] } = choice;
  const saysNothing = device.length + iommu.length + block.length + plugin.length === 0;
  if (file === undefined && saysNothing) return { machine: DEFAULT_MACHINE, blockFiles: [] };
  const { namesWith, resolveSource } = await import('./machine-file.ts');
  const { machine, place } = resolveSource(choice, await namesWith(plugin));
  const { openBlockFiles } = await import('../host/launch/block-files.ts');
  const opened = openBlockFiles(machine.blocks);
  if ('files' in opened) return { machine, blockFiles: opened.files };
  const [{ problemsText }, { UserMistake }] = await Promise.all([
    import('./user-file.ts'),
    import('./user-mistake.ts'),
  ]);
  throw new UserMistake(problemsText(opened.problems, { place }));
}

/** IOMMU_TEST_CMD and its mock IOMMU, as a kernel built with IOMMUFD_TEST has them; its tests are run by root. */
function withSelftest(machine: MachineDescription): MachineDescription {
  const { kernel } = machine;
  return {
    ...machine,
    kernel: {
      ...kernel,
      with: [...kernel.with, 'iommufd-selftest', 'fault-injection'],
    },
  };
}
