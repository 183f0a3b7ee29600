/**
 * From what a person writes to a machine description: a YAML file, a preset, and the flags --device and --iommu.
 *
 * Every mistake is reported with its place (file and line, or flag) and what would be allowed.
 */
import { existsSync } from 'node:fs';
import {
  type IommuDescription,
  type MachineDescription,
  type MachineInput,
} from '../machine/description/description.ts';
import { parseDescription } from '../machine/description/description-check.ts';
import type { Problem } from '../machine/description/shape-problems.ts';
import { given, printable } from '../machine/description/wording.ts';
import { versionNote } from '../machine/description/releases.ts';
import { KNOWN_TYPES, Machine } from '../machine/machine.ts';
import { PRESETS } from '../machine/description/presets.ts';
import { complain } from './output.ts';
import { parseYaml, problemsText, readUserFile, type Places } from './user-file.ts';
import { UserMistake } from './user-mistake.ts';

/** How a command line says which machine: a file or preset, and what is added to it. */
export interface MachineChoice {
  /** A file name or `preset:NAME`; default `preset:default`. */
  readonly machine?: string | undefined;
  /** 'edu,bdf=0000:00:05.0,driver=none,dma_mask_bits=40'; added to the machine's. */
  readonly device?: readonly string[] | undefined;
  /** 'intel,width=39'; the first one replaces the machine's. */
  readonly iommu?: readonly string[] | undefined;
}

/** The description only, unchecked against hardware. Throws UserMistake. */
export function describeMachine(choice: MachineChoice): Source {
  const source = readSource(choice.machine ?? 'preset:default');
  const devices = (choice.device ?? []).map(deviceFlag);
  const iommus = (choice.iommu ?? []).map(iommuFlag);
  const { input } = source;
  const own = Array.isArray(input.devices) ? input.devices : [];
  // What is no machine at all is refused as it stands in the file.
  const isKeys = typeof input === 'object' && !Array.isArray(input);
  if (!isKeys || devices.length + iommus.length === 0) return source;
  return {
    input: {
      ...input,
      ...(devices.length > 0 && { devices: [...own, ...devices] }),
      ...(iommus.length > 0 && { iommus }),
    },
    place: (path) => flagPlace(path, own.length, iommus.length > 0) ?? source.place(path),
  };
}

/**
 * The complete, checked description: plain data. Throws UserMistake with one line per problem; a kernel that is not known by
 * its version is told of.
 */
export function resolveMachine(choice: MachineChoice): MachineDescription {
  const source = describeMachine(choice);
  const checked = parseDescription(source.input, KNOWN_TYPES);
  if ('description' in checked) {
    const note = versionNote(checked.description.kernel);
    if (note !== undefined) complain(note);
    return checked.description;
  }
  throw new UserMistake(problemsText(checked.problems, source));
}

/** Build the machine. Throws as resolveMachine. */
export function loadMachine(choice: MachineChoice): Machine {
  return new Machine(resolveMachine(choice));
}

/** A machine as a person wrote it, and where each key of it stands. */
export interface Source extends Places {
  readonly input: MachineInput;
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

function readSource(name: string): Source {
  if (name.startsWith('preset:')) {
    const key = name.slice('preset:'.length);
    if (!Object.hasOwn(PRESETS, key)) {
      const names = Object.keys(PRESETS).sort().join(', ');
      throw new UserMistake(`there is no ${printable(name)}; presets: ${names}`);
    }
    return { input: PRESETS[key]!.machine, place: () => name };
  }
  if (Object.hasOwn(PRESETS, name) && !existsSync(name)) {
    throw new UserMistake(`there is no machine file ${name}; the preset is preset:${name}`);
  }
  return parseMachineText(readUserFile(name, 'machine file'), name);
}

/** YAML text as a description with the lines of its keys. Throws UserMistake for what is no YAML. */
export function parseMachineText(text: string, name: string): Source {
  const file = parseYaml(text, name);
  // cast: Machine.create checks what it is given
  return { input: file.value as MachineInput, place: (path) => file.place(path) };
}

/** Keys of a device entry that a flag may set beside the options of the model. */
const DEVICE_FLAG_KEYS = ['bdf', 'driver', 'iommu'] as const;

function deviceFlag(text: string): NonNullable<MachineInput['devices']>[number] {
  const { head: type, pairs } = splitFlag('--device', text);
  const known = KNOWN_TYPES.devices.get(type);
  const allowed = [...DEVICE_FLAG_KEYS, ...Object.keys(known?.options ?? {})];
  if (known) knownKeys('--device', text, pairs, allowed);
  const bdf = pairs.get('bdf');
  if (bdf === undefined) {
    throw new UserMistake(
      `--device ${printable(text)}: bdf= is missing, such as ${known?.type ?? 'edu'},bdf=0000:00:05.0; ` +
        `other keys: ${allowed.join(', ')}`,
    );
  }
  const [driver, iommu] = [pairs.get('driver'), pairs.get('iommu')];
  const options = [...pairs].filter(([key]) => !DEVICE_FLAG_KEYS.some((own) => own === key));
  return {
    type,
    at: bdf,
    options: Object.fromEntries(options.map(([key, value]) => [key, scalar(value)])),
    ...(driver !== undefined && { driver }),
    ...(iommu !== undefined && { iommu }),
  };
}

function iommuFlag(text: string): IommuDescription {
  const { head: type, pairs } = splitFlag('--iommu', text);
  const known = KNOWN_TYPES.iommus.get(type);
  if (!known) {
    const types = [...KNOWN_TYPES.iommus.keys()].join(', ');
    throw new UserMistake(
      `--iommu ${printable(text)}: unknown type ${given(type)}; allowed: ${types}`,
    );
  }
  knownKeys('--iommu', text, pairs, ['name', ...Object.keys(known.options)]);
  const values = [...pairs].map(([k, v]) => [k, k === 'name' ? v : scalar(v)] as const);
  return { type, ...Object.fromEntries(values) };
}

function knownKeys(flag: string, text: string, pairs: Pairs, allowed: readonly string[]): void {
  const unknown = [...pairs.keys()].find((key) => !allowed.includes(key));
  if (unknown === undefined) return;
  throw new UserMistake(
    `${flag} ${printable(text)}: unknown key ${given(unknown)}; allowed: ${allowed.join(', ')}`,
  );
}

type Pairs = ReadonlyMap<string, string>;

function splitFlag(flag: string, text: string): { head: string; pairs: Pairs } {
  const [head = '', ...rest] = text.split(',');
  const pairs = new Map<string, string>();
  for (const part of rest) {
    const at = part.indexOf('=');
    const key = part.slice(0, at);
    const problem = at <= 0 ? 'is not KEY=VALUE' : pairs.has(key) && 'gives its key a second time';
    if (problem) throw new UserMistake(`${flag} ${printable(text)}: ${given(part)} ${problem}`);
    pairs.set(key, part.slice(at + 1));
  }
  return { head, pairs };
}

/** 'true', '39', '0x1000' and words. */
function scalar(text: string): number | string | boolean {
  if (text === 'true') return true;
  if (text === 'false') return false;
  return /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : text;
}
