/**
 * A machine description as the file a person would write: every key that was given, and in comments the others with
 * the value they have. What is printed is read back as the same machine.
 */
import { Document, isMap, isScalar } from 'yaml';
import { driverOf, iommuNames, type HardwareTypes } from '../machine/description/entries.ts';
import type { OptionTable } from '../base/options.ts';
import { defaultText } from '../machine/description/options.ts';
import type {
  DeviceDescription,
  IommuDescription,
  MachineDescription,
} from '../machine/description/description.ts';

/** What the text of a machine refers to. */
export interface MachineTextContext {
  /** Where the machine comes from: 'preset:default', a file. */
  readonly source: string;
  /** Where an editor finds the JSON Schema. */
  readonly schema: string;
  readonly types: HardwareTypes;
  /** More lines for the head. */
  readonly head?: readonly string[];
  /** Lines above a device, by its address. */
  readonly about?: ReadonlyMap<string, readonly string[]>;
}

/** The complete machine file. */
export function machineText(machine: MachineDescription, context: MachineTextContext): string {
  const document = new Document({
    ...machine,
    iommus: machine.iommus.map(given),
    devices: machine.devices.map(deviceKeys),
    plugins: machine.plugins.length > 0 ? machine.plugins : undefined,
  });
  document.commentBefore = [
    ` yaml-language-server: $schema=${context.schema}`,
    ` The machine of ${context.source}. A key in a comment has the value shown; docs/machine-file.md explains each.`,
    ...(context.head ?? []).map((line) => ` ${line}`),
  ].join('\n');
  const explained = new Set<string>();
  const names = iommuNames(machine, context.types.iommus);
  for (const [n, iommu] of machine.iommus.entries()) {
    const name = iommu.name === undefined ? [`name: ${names[n]!}`] : [];
    comment(document, ['iommus', n], [...name, ...moreIommuKeys(iommu, { ...context, explained })]);
  }
  for (const [path, device] of deviceEntries(machine.devices, ['devices'])) {
    explainDevice(document, path, device, { ...context, explained });
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** Types that have been explained are not explained again. */
interface Explaining extends MachineTextContext {
  readonly explained: Set<string>;
}
type Path = readonly (string | number)[];

function* deviceEntries(
  devices: readonly DeviceDescription[],
  path: Path,
): Generator<[Path, DeviceDescription]> {
  for (const [n, device] of devices.entries()) {
    yield [[...path, n], device];
    yield* deviceEntries(device.devices, [...path, n, 'devices']);
  }
}

/** What differs from the default; what is behind a bridge comes last, below everything about the bridge. */
function deviceKeys(device: DeviceDescription): object {
  const { type, at, options, acs, directRegions, aliases, devices, ...rest } = device;
  return given({
    type,
    at,
    ...rest,
    acs: acs ? undefined : acs,
    options: Object.keys(options).length > 0 ? options : undefined,
    directRegions: directRegions.length > 0 ? directRegions.map(given) : undefined,
    aliases: aliases.length > 0 ? aliases : undefined,
    devices: devices.length > 0 ? devices.map(deviceKeys) : undefined,
  });
}

/** Of the first IOMMU of a type: what else could be said, and what holds as nothing is said. */
function moreIommuKeys(iommu: IommuDescription, { types, explained }: Explaining): string[] {
  const known = types.iommus.get(iommu.type);
  if (!known || explained.has(iommu.type)) return [];
  explained.add(iommu.type);
  return ['more keys:', ...optionLines(known.options, iommu).map((line) => `  ${line}`)];
}

/** What was not given, with its default. */
function optionLines(table: OptionTable, given: object): string[] {
  const rest = Object.entries(table).filter(([key]) => !(key in given));
  return rest.map(([key, option]) =>
    [`${key}:`, defaultText(option), '#', option.help].filter(Boolean).join(' '),
  );
}

function given(keys: object): object {
  return Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined));
}

/** Say of the first device of a type what the type is and which options it has; of the others only what was given. */
function explainDevice(
  document: Document,
  path: Path,
  device: DeviceDescription,
  context: Explaining,
): void {
  quoteAddresses(document, path);
  remark(document, path, context.about?.get(device.at) ?? []);
  const known = context.types.devices.get(device.type);
  writeHex(document, [...path, 'options'], known?.options ?? {});
  if (!known || context.explained.has(device.type)) return;
  context.explained.add(device.type);
  const type = document.getIn([...path, 'type'], true);
  if (isScalar(type)) type.comment = ` ${known.summary}`;
  const options = optionLines(known.options, device.options);
  const inside = isMap(document.getIn([...path, 'options'], true));
  if (inside) comment(document, [...path, 'options'], options);
  comment(document, path, [
    ...(device.driver === undefined ? [`driver: ${driverOf(device)}`] : []),
    ...(inside || options.length === 0 ? [] : ['options:', ...options.map((line) => `  ${line}`)]),
  ]);
}

/** Lines above a device. */
function remark(document: Document, path: Path, lines: readonly string[]): void {
  const node = document.getIn(path, true);
  if (isMap(node) && lines.length > 0) {
    node.commentBefore = lines.map((line) => ` ${line}`).join('\n');
  }
}

/** Ids and sizes as people write them. */
function writeHex(document: Document, path: Path, table: OptionTable): void {
  for (const [key, option] of Object.entries(table)) {
    const value = document.getIn([...path, key], true);
    if (option.kind === 'integer' && option.hex && isScalar(value)) value.format = 'HEX';
  }
}

/** To YAML 1.1 an address is a number of base 60. */
function quoteAddresses(document: Document, path: Path): void {
  for (const key of ['at', 'vfOf']) {
    const node = document.getIn([...path, key], true);
    if (isScalar(node)) node.type = 'QUOTE_DOUBLE';
  }
}

function comment(document: Document, path: Path, lines: readonly string[]): void {
  const node = document.getIn(path, true);
  if (isMap(node)) node.comment = lines.map((line) => ` ${line}`).join('\n');
}
