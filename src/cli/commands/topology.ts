/** `softiommu topology`: check a machine description and show what comes of it. */
import { Command } from '@commander-js/extra-typings';
import { describeTree } from '../../insight/views/tree.ts';
import { PRESETS } from '../../machine/description/presets/index.ts';
import { loadMachine, type MachineChoice } from '../machine-file.ts';
import { withUsage } from '../usage.ts';

/** The text of the command; throws UserMistake for a machine that cannot be. */
export function topologyText(choice: MachineChoice): string {
  return describeTree(loadMachine(choice));
}

export function presetList(): string {
  const width = Math.max(...Object.keys(PRESETS).map((name) => name.length));
  const lines = Object.entries(PRESETS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { summary }]) => `preset:${name.padEnd(width)}  ${summary}`);
  return lines.join('\n') + '\n';
}

export function topologyCommand() {
  const collect = (value: string, before: string[] | undefined): string[] => [
    ...(before ?? []),
    value,
  ];
  const command = new Command('topology')
    .description('check a machine description and show its devices, groups and IOMMUs')
    .option('--machine <file>', 'YAML file or preset:NAME', 'preset:default')
    .option('--device <spec>', 'add a device: TYPE,bdf=DDDD:BB:DD.F[,OPTION=VALUE…]', collect)
    .option('--iommu <spec>', "IOMMU in place of the machine's: TYPE[,OPTION=VALUE…]", collect)
    .option('--presets', 'list the presets')
    .action((options) => {
      process.stdout.write(options.presets ? presetList() : topologyText(options));
    });
  return withUsage(command);
}
