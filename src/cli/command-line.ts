/** The command line as a whole: a table of commands. */
import { Command, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { withUsage } from './usage.ts';
import { packageVersion } from './version.ts';

/** The commands in the order of the help, each loaded when a command line names it. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandUnknownOpts>>> = {
  run: async () => (await import('./commands/run.ts')).runCommand(),
  trace: async () => (await import('./commands/trace.ts')).traceCommand(),
  explore: async () => (await import('./commands/explore.ts')).exploreCommand(),
  merge: async () => (await import('./commands/merge.ts')).mergeCommand(),
  matrix: async () => (await import('./commands/matrix.ts')).matrixCommand(),
  topology: async () => (await import('./commands/topology.ts')).topologyCommand(),
  'test-attach': async () => (await import('./commands/test-attach.ts')).testAttachCommand(),
  header: async () => (await import('./commands/header.ts')).headerCommand(),
  new: async () => (await import('./commands/new.ts')).newCommand(),
  explain: async () => (await import('./commands/explain.ts')).explainCommand(),
  inspect: async () => (await import('./commands/inspect.ts')).inspectCommand(),
  report: async () => (await import('./commands/report.ts')).reportCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
};
/** Between processes of ours; people are told nothing of it. */
const OWN: typeof COMMANDS = {
  'run-again': async () => (await import('./commands/run-again.ts')).runAgainCommand(),
};

/** `softiommu`, for these words: with the command they begin with, or, for help and mistakes, with all. */
export async function commandLine([first = '']: readonly string[]): Promise<Command> {
  const program = withUsage(
    new Command('softiommu')
      .description('The Linux IOMMU subsystem in user space')
      .version(packageVersion())
      .enablePositionalOptions(),
  );
  const known = { ...COMMANDS, ...OWN };
  const named = Object.hasOwn(known, first) ? [known[first]!] : Object.values(COMMANDS);
  for (const load of first === '--version' ? [] : named) program.addCommand(await load());
  return program;
}
