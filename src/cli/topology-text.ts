/** What `softiommu topology` prints of a machine that is described: its tree, its file, the presets. */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { PACKAGE } from '../host/sys/package-files.ts';
import { describeTree } from '../insight/views/tree.ts';
import type { KnownNames } from '../plugin/shape.ts';
import { KNOWN, loadMachine, resolveMachine, type MachineChoice } from './machine-file.ts';
import { machineText } from './machine-text.ts';

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

/** As a file in this directory names the schema of the package: relative if the package is below. */
export function schemaPath(directory: string): string {
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
