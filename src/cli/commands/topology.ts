/** `softiommu topology`: check a machine description and show what comes of it, or the complete description. */
import { Command, Option } from '@commander-js/extra-typings';
import { saysNothing } from '../machine-choice.ts';
import type { MachineChoice } from '../machine-file.ts';
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
import { withUsage } from '../usage.ts';

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

/** The machine file of a real machine: of a text of lspci, or a copy of its sysfs. Rejects with UserMistake. */
async function machineFrom(file: string): Promise<string> {
  const [{ machineTextFrom }, { schemaPath }, { KNOWN }] = await Promise.all([
    import('../from/made-text.ts'),
    import('../topology-text.ts'),
    import('../machine-file.ts'),
  ]);
  return machineTextFrom(file, { schema: schemaPath(process.cwd()), types: KNOWN });
}

/** What is shown of a machine. */
interface Shown {
  readonly json?: true | undefined;
  readonly print?: true | undefined;
  readonly presets?: true | undefined;
}

/** The machine of whoever says nothing is ready: no reader of files is loaded for it. */
async function showDefault({ json }: Shown): Promise<void> {
  const [{ Machine }, { DEFAULT_MACHINE }] = await Promise.all([
    import('../../machine/machine.ts'),
    import('../../machine/description/default-machine.ts'),
  ]);
  const machine = new Machine(DEFAULT_MACHINE);
  if (json) {
    const { topologyData } = await import('../../insight/views/topology-data.ts');
    printJson(topologyData(machine));
    return;
  }
  const { describeTree } = await import('../../insight/views/tree.ts');
  print(describeTree(machine));
}
async function show(options: MachineChoice & Shown): Promise<void> {
  const [{ openChoice, loadMachine }, { topologyData }, { typeHelp }, text] = await Promise.all([
    import('../machine-file.ts'),
    import('../../insight/views/topology-data.ts'),
    import('../type-help.ts'),
    import('../topology-text.ts'),
  ]);
  const choice = await openChoice(options);
  const { known } = choice;
  const help = typeHelp(options, known);
  if (help !== undefined) print(help);
  else if (options.json) printJson(topologyData(loadMachine(choice, known)));
  else if (options.presets) print(text.presetList(known));
  else if (options.print) print(text.printedMachine(choice, known));
  else print(text.topologyText(choice, known));
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
        print(await machineFrom(options.from));
      } else if (saysNothing(options) && !options.print && !options.presets) {
        await showDefault(options);
      } else await show(options);
    });
  return withUsage(command);
}
