/** What the flags --device, --iommu, --block and --wire say, as entries of a machine file. Mistakes are UserMistakes. */
import type { Option, OptionTable } from '../base/options.ts';
import { BLOCK_KEYS, type BlockDescription } from '../machine/description/blocks.ts';
import type { HardwareTypes } from '../machine/description/entries.ts';
import type { IommuDescription, MachineInput } from '../machine/description/description.ts';
import { WIRE_KEYS, type WireDescription } from '../machine/description/wires.ts';
import { valueAt } from '../machine/description/shape-problems.ts';
import { given, printable } from '../machine/description/wording.ts';
import { UserMistake } from './user-mistake.ts';

type DeviceEntry = NonNullable<MachineInput['devices']>[number];

/** Keys of a device entry that a flag may set beside the options of the model. */
const DEVICE_FLAG_KEYS = ['bdf', 'driver', 'iommu', 'bar', 'migration'] as const;

/** Each as the entry of a machine file it stands for; `devices`: what the file has, whatever that is. */
export function deviceFlags(
  texts: readonly string[],
  devices: unknown,
  types: HardwareTypes,
): DeviceEntry[] {
  const asked = texts.flatMap((text) => /,bdf=([^,]*)/.exec(text)?.[1] ?? []);
  const taken = new Set([...addressesIn(devices), ...asked]);
  return texts.map((text) => deviceFlag(text, taken, types));
}
/** Name and description of each. */
export function blockFlags(texts: readonly string[]): [string, BlockDescription][] {
  return namedFlags('--block', texts, BLOCK_KEYS);
}
/** Name and description of each. */
export function wireFlags(texts: readonly string[]): [string, WireDescription][] {
  return namedFlags('--wire', texts, WIRE_KEYS);
}

/** `taken`: addresses that other devices have. */
function deviceFlag(text: string, taken: Set<string>, types: HardwareTypes): DeviceEntry {
  const known = types.devices.get(text.split(',')[0]!);
  const table: OptionTable = known?.options ?? {};
  const { head: type, pairs } = splitFlag('--device', text, (key) => isList(table[key]));
  const allowed = [...DEVICE_FLAG_KEYS, ...Object.keys(table)];
  if (known) knownKeys('--device', text, pairs, allowed);
  const at = pairs.get('bdf') ?? freeSlot(taken);
  if (at === undefined) {
    throw new UserMistake(
      `--device ${printable(text)}: bdf= is missing, and every slot of bus 0000:00 is taken`,
    );
  }
  taken.add(at);
  const options = [...pairs].filter(([key]) => !DEVICE_FLAG_KEYS.some((own) => own === key));
  const isText = (key: string): boolean => table[key]?.kind === 'text';
  const keys = DEVICE_FLAG_KEYS.filter((key) => key !== 'bdf' && pairs.has(key));
  return {
    type,
    at,
    options: Object.fromEntries(
      options.map(([key, value]) => [key, isText(key) ? value : scalar(value)]),
    ),
    ...Object.fromEntries(keys.map((key) => [key, pairs.get(key)])),
  };
}
function isList(option: Option | undefined): boolean {
  return option?.kind === 'text' && option.list === true;
}

/** Where a device stands that says nothing of it: the first slot of the root bus with a number from 4 on. */
function freeSlot(taken: ReadonlySet<string>): string | undefined {
  const slots = Array.from({ length: 28 }, (_, n) => (n + 4).toString(16).padStart(2, '0'));
  const isTaken = (slot: string): boolean =>
    [...taken].some((at) => at.startsWith(`0000:00:${slot}.`));
  const free = slots.find((slot) => !isTaken(slot));
  return free && `0000:00:${free}.0`;
}
/** Addresses in what somebody wrote, whatever that is. */
function addressesIn(devices: unknown): string[] {
  if (!Array.isArray(devices)) return [];
  return devices.flatMap((device: unknown) => {
    const at = valueAt(device, ['at']);
    return [...(typeof at === 'string' ? [at] : []), ...addressesIn(valueAt(device, ['devices']))];
  });
}

/** Keys whose value may be a number; of others it is text, whatever it looks like. */
const SIZES: readonly string[] = ['memory', 'size'];

/** 'NAME,KEY=VALUE…', each name once; the values are checked with the description. */
function namedFlags(
  flag: string,
  texts: readonly string[],
  keys: readonly string[],
): [string, object][] {
  const names = new Set<string>();
  return texts.map((text) => {
    const { head: name, pairs } = splitFlag(flag, text);
    knownKeys(flag, text, pairs, keys);
    // No object of a description has it as a key.
    if (name === '__proto__') {
      throw new UserMistake(`${flag} ${printable(text)}: nothing can be called __proto__`);
    }
    if (names.has(name)) {
      throw new UserMistake(`${flag} ${printable(text)}: ${given(name)} is there a second time`);
    }
    names.add(name);
    const values = [...pairs].map(([key, value]) => [
      key,
      SIZES.includes(key) ? scalar(value) : value,
    ]);
    return [name, Object.fromEntries(values) as object]; // cast: of the pairs above
  });
}

/** 'intel,width=39' */
export function iommuFlag(text: string, types: HardwareTypes): IommuDescription {
  const { head: type, pairs } = splitFlag('--iommu', text);
  const known = types.iommus.get(type);
  if (!known) {
    const allowed = [...types.iommus.keys()].join(', ');
    throw new UserMistake(
      `--iommu ${printable(text)}: unknown type ${given(type)}; allowed: ${allowed}`,
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

/** `isList`: a part without a key goes on with what the key before it says. */
function splitFlag(
  flag: string,
  text: string,
  isList: (key: string) => boolean = () => false,
): { head: string; pairs: Pairs } {
  const [head = '', ...rest] = text.split(',');
  const pairs = new Map<string, string>();
  let last = '';
  for (const part of rest) {
    const at = part.indexOf('=');
    if (at < 0 && part !== '' && isList(last)) {
      pairs.set(last, `${pairs.get(last)!},${part}`);
      continue;
    }
    const key = part.slice(0, at);
    const problem = at <= 0 ? 'is not KEY=VALUE' : pairs.has(key) && 'gives its key a second time';
    if (problem) throw new UserMistake(`${flag} ${printable(text)}: ${given(part)} ${problem}`);
    pairs.set(key, part.slice(at + 1));
    last = key;
  }
  return { head, pairs };
}

/** 'true', '39', '0x1000' and words. */
function scalar(text: string): number | string | boolean {
  if (text === 'true') return true;
  if (text === 'false') return false;
  return /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : text;
}
