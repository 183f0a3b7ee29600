/**
 * From what a person writes to a machine description: a YAML file, a preset, and the flags that add to it.
 *
 * Every mistake is reported with its place (file and line, or flag) and what would be allowed.
 */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { type MachineDescription, type MachineInput } from '../machine/description/description.ts';
import { parseDescription } from '../machine/description/description-check.ts';
import { valueAt, type Problem } from '../machine/description/shape-problems.ts';
import { printable } from '../machine/description/wording.ts';
import type { BackendName } from '../machine/description/backend-names.ts';
import { withBackend } from '../machine/description/backends.ts';
import { contradictionsOf, versionNote } from '../machine/description/releases.ts';
import { KNOWN_TYPES, Machine } from '../machine/machine.ts';
import { PRESETS } from '../machine/description/presets.ts';
import type { KnownNames } from '../plugin/shape.ts';
import { withBarFlags } from './bar-flags.ts';
import { complain } from './output.ts';
import { blockFlags, deviceFlags, iommuFlag, wireFlags } from './machine-flags.ts';
import { readUserFile } from './user-file.ts';
import { parseYaml, problemsText, type Places } from './user-yaml.ts';
import { UserMistake } from './user-mistake.ts';

/** How a command line says which machine: a file or preset, and what is added to it. */
export interface MachineChoice {
  /** A file name or `preset:NAME`; default `preset:default`. */
  readonly machine?: string | undefined;
  /** 'edu,bdf=0000:00:05.0,driver=none,dma_mask_bits=40'; added to the machine's. */
  readonly device?: readonly string[] | undefined;
  /** 'intel,width=39'; the first one replaces the machine's. */
  readonly iommu?: readonly string[] | undefined;
  /** 'disk0,file=a.raw,mode=read-only'; added to the machine's. */
  readonly block?: readonly string[] | undefined;
  /** 'lan,tap=tap0'; added to the machine's. */
  readonly wire?: readonly string[] | undefined;
  /** 'plain', '0000:01:00.0=none', '0000:01:00.0/2=trap'; above what the machine says. */
  readonly bar?: readonly string[] | undefined;
  /** Files of plugins. */
  readonly plugin?: readonly string[] | undefined;
  /** An empty machine, with what the other flags add, in place of the preset. */
  readonly nodefaults?: boolean | undefined;
  /** A version of Linux in place of the machine's. */
  readonly kernel?: string | undefined;
  /** The only way its kernel offers devices. */
  readonly backend?: BackendName | undefined;
}

/** A choice whose file was read and whose plugins were loaded. */
export interface OpenedChoice extends MachineChoice {
  readonly source: Source;
  readonly known: KnownNames;
  /** Files of all its plugins: of the flags, and of the machine file. */
  readonly plugin: readonly string[];
}

/** What comes with softiommu. */
export const KNOWN: KnownNames = { ...KNOWN_TYPES, presets: PRESETS };

/** The description only, unchecked against hardware. Throws UserMistake. */
export function describeMachine(choice: MachineChoice | OpenedChoice, known: KnownNames): Source {
  const source = 'source' in choice ? choice.source : readSource(choice, known);
  const { input } = source;
  const iommus = (choice.iommu ?? []).map((text) => iommuFlag(text, known));
  const blocks = blockFlags(choice.block ?? []);
  const wires = wireFlags(choice.wire ?? []);
  const devices = deviceFlags(choice.device ?? [], valueAt(input, ['devices']), known);
  const isAdded = [iommus, blocks, wires, devices].some((entries) => entries.length > 0);
  // What is no machine at all is refused as it stands in the file.
  const isKeys = typeof input === 'object' && !Array.isArray(input);
  if (!isKeys || !isAdded) return source;
  const own = Array.isArray(input.devices) ? input.devices : [];
  const named = { blocks, wires };
  const added: MachineInput = {
    devices: [...own, ...devices],
    iommus,
    blocks: { ...input.blocks, ...Object.fromEntries(blocks) },
    wires: { ...input.wires, ...Object.fromEntries(wires) },
  };
  const flagged = Object.entries({ devices, iommus, ...named }).filter(([, own]) => own.length > 0);
  return {
    // What no flag speaks of stays as it was written.
    input: {
      ...input,
      ...Object.fromEntries(flagged.map(([key]) => [key, valueAt(added, [key])])),
    },
    place: (path) =>
      flagPlace(path, own.length, iommus.length > 0) ??
      namedPlace(path, named) ??
      source.place(path),
    folder: (path) => (namedPlace(path, named) === undefined ? source.folder(path) : '.'),
  };
}

/**
 * The complete, checked description: plain data. Throws UserMistake with one line per problem; a kernel that is not known by
 * its version is told of.
 */
export function resolveMachine(
  choice: MachineChoice | OpenedChoice,
  known?: KnownNames,
): MachineDescription {
  return resolveSource(choice, known).machine;
}
/** The same, and where each key of it stands. */
export function resolveSource(
  choice: MachineChoice | OpenedChoice,
  known: KnownNames = KNOWN,
): Omit<Source, 'input'> & { machine: MachineDescription } {
  const source = describeMachine(choice, known);
  const checked = parseDescription(source.input, known);
  if ('problems' in checked) throw new UserMistake(problemsText(checked.problems, source));
  const machine = withKernelFlags(
    withBarFlags(checked.description, choice.bar ?? [], known.devices),
    choice,
  );
  const note = versionNote(machine.kernel);
  if (note !== undefined) complain(note);
  return { machine, place: (path) => source.place(path), folder: (path) => source.folder(path) };
}

/** Throws UserMistake: there is no such version, or no such kernel. */
function withKernelFlags(
  machine: MachineDescription,
  { kernel: version, backend }: Pick<MachineChoice, 'kernel' | 'backend'>,
): MachineDescription {
  if (version === undefined && backend === undefined) return machine;
  const kernel = { ...machine.kernel, ...(version !== undefined && { version }) };
  const [contradiction] = backend === undefined ? contradictionsOf(kernel) : [];
  if (contradiction !== undefined) throw new UserMistake(`--kernel ${version}: ${contradiction}`);
  if (backend === undefined) return { ...machine, kernel };
  const changed = withBackend({ ...machine, kernel }, backend);
  if ('problem' in changed) throw new UserMistake(`--backend ${backend}: ${changed.problem}`);
  return changed;
}

/** Build the machine. Throws as resolveMachine. */
export function loadMachine(
  choice: MachineChoice | OpenedChoice,
  known: KnownNames = KNOWN,
): Machine {
  const { devices, iommus, formats } = known;
  return new Machine(resolveMachine(choice, known), {
    deviceTypes: devices,
    iommuTypes: iommus,
    ...(formats && { formats }),
  });
}

/**
 * Read the machine file and load all plugins: those of the flags first, then those that the file names. Rejects with
 * UserMistake for what is no plugin, and for a file that is no YAML.
 */
export async function openChoice(choice: MachineChoice): Promise<OpenedChoice> {
  const flags = (choice.plugin ?? []).map((file) => ({ file, place: '' }));
  const known = await namesWith(flags, KNOWN);
  const source = readSource(choice, known);
  const have = new Set(flags.map(({ file }) => resolve(file)));
  const more = pluginsOf(source).filter(({ file }) => !have.has(resolve(file)));
  return {
    ...choice,
    source,
    known: await namesWith(more, known),
    plugin: [...flags, ...more].map(({ file }) => file),
  };
}

interface PluginFile {
  readonly file: string;
  /** Where it is named: 'machine.yaml:3: '; empty: by a flag. */
  readonly place: string;
}
async function namesWith(plugins: readonly PluginFile[], known: KnownNames): Promise<KnownNames> {
  if (plugins.length === 0) return known;
  const { loadPlugins } = await import('../host/launch/plugins.ts');
  let all = known;
  for (const { file, place } of plugins) {
    const loaded = await loadPlugins([file], all, complain);
    if ('problem' in loaded) throw new UserMistake(place + loaded.problem);
    all = loaded.known;
  }
  return all;
}
/** What stands under `plugins`, where that is a list of texts; else the check of the whole says what it should be. */
function pluginsOf(source: Source): PluginFile[] {
  const files = valueAt(source.input, ['plugins']);
  if (!Array.isArray(files)) return [];
  return files.flatMap((file: unknown, n) =>
    typeof file === 'string' && file !== ''
      ? [
          {
            file: isAbsolute(file) ? file : join(source.folder(['plugins', n]), file),
            place: `${source.place(['plugins', n])}: `,
          },
        ]
      : [],
  );
}
/** A machine as a person wrote it, and where each key of it stands. */
export interface Source extends Places {
  readonly input: MachineInput;
  /** The directory that names of files under a key are relative to: a machine file's own, or of flags the current one. */
  readonly folder: (path: Problem['path']) => string;
}

function flagPlace(
  path: Problem['path'],
  ownDevices: number,
  iommusFromFlags: boolean,
): string | undefined {
  const [list, index] = path;
  if (list === 'devices' && typeof index === 'number' && index >= ownDevices) {
    return `--device (number ${index - ownDevices + 1})`;
  }
  if (list === 'iommus' && iommusFromFlags) {
    return typeof index === 'number' ? `--iommu (number ${index + 1})` : '--iommu';
  }
  return undefined;
}

type NamedFlags = readonly (readonly [name: string, entry: object])[];

function namedPlace(
  [list, name]: Problem['path'],
  { blocks, wires }: { readonly blocks: NamedFlags; readonly wires: NamedFlags },
): string | undefined {
  const [flag, entries] = list === 'wires' ? ['--wire', wires] : ['--block', blocks];
  const isNamed = list === 'wires' || list === 'blocks';
  const n = isNamed ? entries.findIndex(([own]) => own === name) : -1;
  return n < 0 ? undefined : `${flag} (number ${n + 1})`;
}

function readSource({ machine, nodefaults }: MachineChoice, { presets }: KnownNames): Source {
  if (nodefaults) {
    if (machine === undefined)
      return { input: { devices: [] }, place: () => '--nodefaults', folder: () => '.' };
    throw new UserMistake(
      `--nodefaults is a machine without devices, and --machine another: give one`,
    );
  }
  const name = machine ?? 'preset:default';
  if (name.startsWith('preset:')) {
    const key = name.slice('preset:'.length);
    if (!Object.hasOwn(presets, key)) {
      const names = Object.keys(presets).sort().join(', ');
      throw new UserMistake(`there is no ${printable(name)}; presets: ${names}`);
    }
    return { input: presets[key]!.machine, place: () => name, folder: () => '.' };
  }
  if (Object.hasOwn(presets, name) && !existsSync(name)) {
    throw new UserMistake(`there is no machine file ${name}; the preset is preset:${name}`);
  }
  return parseMachineText(readUserFile(name, 'machine file'), name);
}

/** YAML text as a description with the lines of its keys. Throws UserMistake for what is no YAML. */
export function parseMachineText(text: string, name: string): Source {
  const file = parseYaml(text, name);
  // cast: Machine.create checks what it is given
  const input = file.value as MachineInput;
  // What is read through a descriptor stands nowhere.
  const folder = /^\/(?:dev|proc)\//.test(name) ? '.' : dirname(name);
  return { input, place: (path) => file.place(path), folder: () => folder };
}
