/** From the options of `run` to a plan the kernel thread can follow. */
import { launchOptions } from '../host/launch/launch-options.ts';
import type { Explain, RunPlan } from '../host/launch/run.ts';
import type { MachineDescription } from '../machine/description/description.ts';
import { DEFAULT_MACHINE } from '../machine/description/default-machine.ts';
import type { SanitizeFlags } from './sanitize-flags.ts';
import { sanitizePlan } from './sanitize-plan.ts';
import { saysNothing } from './machine-choice.ts';
import type { MachineChoice } from './machine-file.ts';
import { asksForTrace, isFault, traceChoiceOf, type TraceFlags } from './trace-options.ts';
import { UserMistake } from './user-mistake.ts';

/** The options of `run` as the command line gives them. */
export interface RunFlags extends MachineChoice, TraceFlags, SanitizeFlags {
  readonly trace?: string | true;
  readonly output?: string;
  readonly explain?: Explain | 'off' | true;
  readonly selftest?: true;
  readonly mode?: 'namespace' | 'traps';
  readonly pin?: 'copy' | 'exact';
  readonly wait?: 'all' | 'program';
  readonly ioUring?: 'refuse' | 'allow';
  readonly barBuffers?: 'mapped' | 'all';
  readonly memlock?: bigint;
  readonly injectToken?: string;
}

/** The plan of a run, without reports. Rejects with a message for people when the machine or an option cannot be. */
export async function planRun(argv: readonly string[], flags: RunFlags): Promise<RunPlan> {
  const sanitize = await sanitizePlan(flags, process.env['SOFTIOMMU_OPTIONS']);
  const { machine, blockFiles, wireEnds, plugins } = await machineOf(flags);
  return {
    blockFiles,
    wireEnds,
    plugins,
    argv,
    machine: flags.selftest ? withSelftest(machine) : machine,
    ...traceOf(flags),
    explain: explainOf(flags),
    pin: flags.pin,
    memlock: flags.memlock,
    faults: await faultsOf(flags),
    sanitize,
    wait: flags.wait ?? 'all',
    launch: {
      ...launchOptions(flags.mode),
      capabilities: flags.selftest === true,
      memlock: flags.memlock !== undefined,
      // Only the selftest's devices report page faults and events.
      events: flags.selftest === true,
      barBuffers: flags.barBuffers === 'all',
      ioUring: flags.ioUring === 'allow',
    },
  };
}

function explainOf({ explain = 'failed' }: RunFlags): Explain {
  if (explain === true) return 'always';
  return explain === 'off' ? 'never' : explain;
}
/** Of a plan that is not carried out nothing stays behind: sockets of wires have files. */
export async function abandon({ wireEnds }: RunPlan): Promise<void> {
  if (wireEnds.length === 0) return;
  const { closeWireEnds } = await import('../host/launch/wire-ends.ts');
  closeWireEnds(wireEnds);
}

/** What is to go wrong, checked: expressions of -e, those of a token first. */
async function faultsOf(flags: RunFlags): Promise<readonly string[]> {
  const { injectToken } = flags;
  const expression = (flags.expression ?? []).filter(isFault);
  if (expression.length === 0 && injectToken === undefined) return [];
  const [{ expressionsOf }, { parseFaultPlan }] = await Promise.all([
    import('../insight/inject/token.ts'),
    import('../insight/inject/parse.ts'),
  ]);
  const all: string[] = [];
  const tokens = injectToken === undefined ? [] : [`token=${injectToken}`];
  for (const text of [...tokens, ...expression]) {
    const said = text.startsWith('token=') ? expressionsOf(text.slice('token='.length)) : [text];
    if ('problem' in said) throw new UserMistake(said.problem);
    all.push(...said);
  }
  const plan = parseFaultPlan(all);
  if ('problem' in plan) throw new UserMistake(plan.problem);
  return all;
}

/** Whoever says what of a trace is shown wants one: on standard error, if no file is named. */
function traceOf(all: RunFlags): Pick<RunPlan, 'trace' | 'traceChoice'> {
  const { output, trace, expression, ...others } = all;
  const selecting = expression?.filter((each) => !isFault(each)) ?? [];
  const flags = { ...others, ...(selecting.length > 0 && { expression: selecting }) };
  if (output !== undefined && trace !== undefined) {
    throw new UserMistake('-o and --trace both say where the trace goes; one is enough');
  }
  const traceChoice = traceChoiceOf(flags);
  const file = output ?? (trace === true ? '-' : trace);
  return { trace: file ?? (asksForTrace(flags) ? '-' : undefined), traceChoice };
}

type OpenedMachine = Pick<RunPlan, 'machine' | 'blockFiles' | 'wireEnds' | 'plugins'>;

/** Readers of machine files and checkers of what they say are loaded for a run that says something. */
async function machineOf(choice: MachineChoice): Promise<OpenedMachine> {
  if (saysNothing(choice)) {
    return { machine: DEFAULT_MACHINE, blockFiles: [], wireEnds: [], plugins: [] };
  }
  const { openChoice, resolveSource } = await import('./machine-file.ts');
  const opened = await openChoice(choice);
  const { plugin: plugins } = opened;
  const source = resolveSource(opened, opened.known);
  const { machine, folder } = source;
  const [{ openBlockFiles }, { closeWireEnds, openWireEnds }] = await Promise.all([
    import('../host/launch/block-files.ts'),
    import('../host/launch/wire-ends.ts'),
  ]);
  const wires = openWireEnds(machine.wires, folder);
  const disks = openBlockFiles(machine.blocks, folder);
  if ('files' in disks && 'ends' in wires) {
    return { machine, blockFiles: disks.files, wireEnds: wires.ends, plugins };
  }
  if ('ends' in wires) closeWireEnds(wires.ends);
  const { problemsText } = await import('./user-yaml.ts');
  const problems = [disks, wires].flatMap((opened) =>
    'problems' in opened ? opened.problems : [],
  );
  throw new UserMistake(problemsText(problems, source));
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
