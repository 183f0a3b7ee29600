/** `softiommu topology`: check a machine description and show what comes of it, or the complete description. */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { Command, Option } from '@commander-js/extra-typings';
import { PACKAGE } from '../../host/sys/package-files.ts';
import { topologyData } from '../../insight/views/topology-data.ts';
import { describeTree } from '../../insight/views/tree.ts';
import type { KnownNames } from '../../plugin/shape.ts';
import { machineTextFrom } from '../from/made-text.ts';
import {
  KNOWN,
  loadMachine,
  openChoice,
  resolveMachine,
  type MachineChoice,
} from '../machine-file.ts';
import { machineText } from '../machine-text.ts';
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
import { print, printJson } from '../output.ts';
import { UserMistake } from '../user-mistake.ts';
import { typeHelp } from '../type-help.ts';
import { withUsage } from '../usage.ts';

/** The text of the command; throws UserMistake for a machine that cannot be. */
export function topologyText(choice: MachineChoice, known?: KnownNames): string {
  return describeTree(loadMachine(choice, known));
}

/** Options that make a machine, besides the one that names it. */
const FLAGS = ['device', 'iommu', 'block', 'wire', 'bar', 'plugin', 'kernel', 'backend'] as const;
/** The machine file that makes this machine; throws as topologyText. */
export function printedMachine(choice: MachineChoice, known: KnownNames = KNOWN): string {
  const flags = FLAGS.flatMap((name) =>
    [choice[name] ?? []].flat().map((value) => ` --${name} ${value}`),
  );
  const machine = resolveMachine(choice, known);
  // Read back from this directory, it has all it needs.
  const plugins = (choice.plugin ?? []).map((file) => relative(process.cwd(), resolve(file)));
  const base = choice.nodefaults ? '--nodefaults' : (choice.machine ?? 'preset:default');
  return machineText(
    { ...machine, plugins },
    {
      source: base + flags.join(''),
      schema: schemaPath(process.cwd()),
      types: known,
    },
  );
}

/** The machine file of a real machine: of a text of lspci, or a copy of its sysfs. Throws UserMistake. */
export function machineFrom(file: string): string {
  return machineTextFrom(file, { schema: schemaPath(process.cwd()), types: KNOWN });
}

/** Options beside `--from` would be taken for a part of the machine that is read. */
function refuseBesideFrom(options: object): void {
  const others = Object.entries(options).filter(
    ([key, value]) => key !== 'from' && value !== undefined && value !== false,
  );
  if (others.length === 0) return;
  const names = others.map(([key]) => `--${key}`).join(', ');
  throw new UserMistake(
    `--from makes a machine file of a real machine and goes with no other option, such as ${names}; ` +
      'write the file first, and give it to --machine',
  );
}

/** As a file in this directory names the schema of the package: relative if the package is below. */
function schemaPath(directory: string): string {
  const schema = join(PACKAGE, 'schema/machine.schema.json');
  const path = relative(directory, schema);
  return path.startsWith('..') || isAbsolute(path) ? schema : `./${path}`;
}

/** The presets with their summaries, one a line, sorted by name. */
export function presetList({ presets }: KnownNames = KNOWN): string {
  const width = Math.max(...Object.keys(presets).map((name) => name.length));
  const lines = Object.entries(presets)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { summary }]) => `preset:${name.padEnd(width)}  ${summary}`);
  return lines.join('\n') + '\n';
}

/** The command `topology`. */
export function topologyCommand() {
  const command = new Command('topology')
    .description('check a machine description and show its devices, groups and IOMMUs')
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
    .option('--print', 'print the machine file that makes this machine')
    .option('--presets', 'list the presets')
    .addOption(new Option('--json', 'answer as JSON').conflicts(['print', 'presets', 'from']))
    .option(
      '--from <file>',
      'print the machine file of a real machine: its lspci -vvnn or -xxxx, or a copy of its sysfs (directory or tar)',
    )
    .action(async (options) => {
      if (options.from !== undefined) {
        refuseBesideFrom(options);
        print(machineFrom(options.from));
        return;
      }
      const choice = await openChoice(options);
      const { known } = choice;
      const help = typeHelp(options, known);
      if (help !== undefined) print(help);
      else if (options.json) printJson(topologyData(loadMachine(choice, known)));
      else if (options.presets) print(presetList(known));
      else print(options.print ? printedMachine(choice, known) : topologyText(choice, known));
    });
  return withUsage(command);
}
