/**
 * From what a person writes to a machine description: a YAML file, a preset, and the flags --device and --iommu.
 *
 * Every mistake is reported with its place (file and line, or flag) and what would be allowed.
 */
import { readFileSync } from 'node:fs';
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import {
  IOMMU_OPTIONS,
  type MachineDescription,
  type MachineInput,
  type Problem,
} from '../machine/description.ts';
import { parseDescription } from '../machine/description-check.ts';
import { KNOWN_DEVICE_TYPES, Machine } from '../machine/machine.ts';
import { PRESETS } from '../machine/presets/index.ts';

export interface MachineChoice {
  /** A file name or `preset:NAME`; default `preset:default`. */
  readonly machine?: string | undefined;
  /** 'edu,bdf=0000:00:05.0,driver=none,dma_mask_bits=40'; added to the machine's. */
  readonly device?: readonly string[] | undefined;
  /** 'intel,width=39'; the first one replaces the machine's. */
  readonly iommu?: readonly string[] | undefined;
}

/** A mistake of the person at the keyboard: the message is all there is to say. */
export class MachineFileError extends Error {
  override name = 'MachineFileError';
}

/** The description only, unchecked against hardware. Throws MachineFileError. */
export function describeMachine(choice: MachineChoice): Source {
  const source = readSource(choice.machine ?? 'preset:default');
  const devices = (choice.device ?? []).map(deviceFlag);
  const iommus = (choice.iommu ?? []).map(iommuFlag);
  const { input } = source;
  const given = Array.isArray(input.devices) ? input.devices : [];
  return {
    input: {
      ...input,
      ...(devices.length > 0 && { devices: [...given, ...devices] }),
      ...(iommus.length > 0 && { iommus }),
    },
    place: (path) => flagPlace(path, given.length, iommus.length > 0) ?? source.place(path),
  };
}

/** The complete, checked description: plain data. Throws MachineFileError with one line per problem. */
export function resolveMachine(choice: MachineChoice): MachineDescription {
  const source = describeMachine(choice);
  const checked = parseDescription(source.input, KNOWN_DEVICE_TYPES);
  if ('description' in checked) return checked.description;
  throw new MachineFileError(checked.problems.map((p) => problemText(p, source)).join('\n'));
}

/** Build the machine. Throws as resolveMachine. */
export function loadMachine(choice: MachineChoice): Machine {
  return new Machine(resolveMachine(choice));
}

export interface Source {
  readonly input: MachineInput;
  /** Where a key stands: 'machine.yaml:7', '--device', 'preset default'. */
  place(path: Problem['path']): string;
}

function problemText(problem: Problem, source: Source): string {
  const path = problem.path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${key}` : key),
    '',
  );
  const key = path ? `${path}: ` : '';
  return `${source.place(problem.path)}: ${key}${problem.message}`;
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
    const preset = PRESETS[name.slice('preset:'.length)];
    if (!preset) {
      const names = Object.keys(PRESETS).sort().join(', ');
      throw new MachineFileError(`there is no ${name}; presets: ${names}`);
    }
    return { input: preset.machine, place: () => name };
  }
  let text: string;
  try {
    text = readFileSync(name, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new MachineFileError(`machine file ${name} cannot be read (${reason})`);
  }
  return parseMachineText(text, name);
}

/** YAML text as a description with the lines of its keys. Throws MachineFileError for what is no YAML. */
export function parseMachineText(text: string, name: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) {
    throw new MachineFileError(`${name}:${lines.linePos(broken.pos[0]).line}: ${broken.message}`);
  }
  const input: unknown = document.toJS() ?? {};
  return {
    input: input as MachineInput,
    place: (path) => `${name}:${lineOf(document, lines, path)}`,
  };
}

/** Line of the deepest part of the path that is there. */
function lineOf(document: Document, lines: LineCounter, path: Problem['path']): number {
  for (let depth = path.length; depth > 0; depth--) {
    const at = startOf(document, path.slice(0, depth));
    if (at !== undefined) return lines.linePos(at).line;
  }
  return 1;
}

/** Offset of a key (its name, not its value), or of an element of a list. */
function startOf(document: Document, path: Problem['path']): number | undefined {
  const parent = path.length > 1 ? document.getIn(path.slice(0, -1), true) : document.contents;
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find(
      (item) => isPair(item) && isScalar(item.key) && item.key.value === last,
    );
    const key = pair?.key;
    return isNode(key) ? key.range?.[0] : undefined;
  }
  const node = document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

/** Keys of a device entry that a flag may set beside the options of the model. */
const DEVICE_FLAG_KEYS = ['bdf', 'driver', 'iommu'] as const;

function deviceFlag(text: string): NonNullable<MachineInput['devices']>[number] {
  const { head: type, pairs } = splitFlag('--device', text);
  const known = KNOWN_DEVICE_TYPES.get(type);
  const { bdf, driver, iommu, ...options } = pairs;
  if (bdf === undefined) {
    throw new MachineFileError(
      `--device ${text}: bdf= is missing, such as ${type},bdf=0000:00:05.0; ` +
        `other keys: ${[...DEVICE_FLAG_KEYS, ...Object.keys(known?.options ?? {})].join(', ')}`,
    );
  }
  return {
    type,
    at: bdf,
    options: Object.fromEntries(Object.entries(options).map(([k, v]) => [k, scalar(v)])),
    ...(driver !== undefined && { driver }),
    ...(iommu !== undefined && { iommu }),
  };
}

function iommuFlag(text: string): NonNullable<MachineInput['iommus']>[number] {
  const { head: type, pairs } = splitFlag('--iommu', text);
  if (!Object.hasOwn(IOMMU_OPTIONS, type)) {
    const types = Object.keys(IOMMU_OPTIONS).join(', ');
    throw new MachineFileError(`--iommu ${text}: unknown type '${type}'; allowed: ${types}`);
  }
  const allowed = IOMMU_OPTIONS[type as keyof typeof IOMMU_OPTIONS];
  const unknown = Object.keys(pairs).find((key) => !allowed.includes(key));
  if (unknown !== undefined) {
    throw new MachineFileError(
      `--iommu ${text}: unknown key '${unknown}'; allowed: ${allowed.join(', ')}`,
    );
  }
  const values = Object.entries(pairs).map(([k, v]) => [k, k === 'name' ? v : scalar(v)]);
  return { type, ...Object.fromEntries(values) } as NonNullable<MachineInput['iommus']>[number];
}

function splitFlag(flag: string, text: string): { head: string; pairs: Record<string, string> } {
  const [head = '', ...rest] = text.split(',');
  const pairs: Record<string, string> = {};
  for (const part of rest) {
    const at = part.indexOf('=');
    if (at <= 0) throw new MachineFileError(`${flag} ${text}: '${part}' is not KEY=VALUE`);
    pairs[part.slice(0, at)] = part.slice(at + 1);
  }
  return { head, pairs };
}

/** 'true', '39', '0x1000' and words. */
function scalar(text: string): number | string | boolean {
  if (text === 'true') return true;
  if (text === 'false') return false;
  return /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : text;
}
