/**
 * Can this machine exist? Addresses, buses, slots, BARs, drivers and IOMMUs of a description are checked against each
 * other and against the device models. Hardware that PCI could not wire up is refused with the place and the reason.
 */
import type { HostBackings } from '../../devices/host-services.ts';
import type { IommuTypes } from '../../drivers/types.ts';
import { withDefaults } from '../../base/options.ts';
import { parseShape, type MachineDescription } from './description.ts';
import {
  entriesOf,
  iommuNames,
  isBridge,
  parseAddress,
  type Address,
  type DeviceEntry,
  type HardwareTypes,
} from './entries.ts';
import { BRIDGE_TYPES, type BridgeType } from './names.ts';
import { optionProblems } from './options.ts';
import { blockProblems, blockNames } from './blocks.ts';
import { identityProblems, sriovPlaceProblem } from './identity-check.ts';
import { barProblem, barsOf } from './bar-wishes.ts';
import {
  backingNames,
  missingBackings,
  sharedBackings,
  wireOf,
  type BackingNames,
} from './host-needs.ts';
import { contradictionsOf } from './releases.ts';
import type { Problem } from './shape-problems.ts';
import { wireProblems } from './wires.ts';
import { given } from './wording.ts';

/** Check a description completely. The result is the description with its defaults, or every problem found. */
export function parseDescription(
  value: unknown,
  types: HardwareTypes,
  host: HostBackings = {},
): { readonly description: MachineDescription } | { readonly problems: readonly Problem[] } {
  const shape = parseShape(value, types.iommus);
  if ('problems' in shape) return shape;
  const problems = checkDescription(shape.description, types, host);
  return problems.length > 0 ? { problems } : shape;
}

interface Check {
  readonly description: MachineDescription;
  readonly types: HardwareTypes;
  readonly host: HostBackings;
  readonly entries: readonly DeviceEntry[];
  readonly byAddress: ReadonlyMap<string, DeviceEntry>;
  /** The name of the wire each is plugged into, of those that are; the first at each name; and all there is to be plugged into. */
  readonly wires: ReadonlyMap<DeviceEntry, string>;
  readonly firstAt: ReadonlyMap<string, DeviceEntry>;
  readonly backings: BackingNames;
  report(entry: DeviceEntry, key: string | readonly string[], message: string): void;
}

type Rule = (check: Check, entry: DeviceEntry) => void;

/** Each rule looks at one entry; all are asked, so a person sees every problem at once. */
const RULES: readonly Rule[] = [
  addressIsFree,
  typeIsKnown,
  iommuIsKnown,
  busIsTheParents,
  portStandsRight,
  slotHasFunction0,
  virtualFunctionHasItsPf,
  functionCanExist,
  migrationIsPossible,
  barsAreThere,
  wireHasTwoEnds,
  directRegionsAreRanges,
  driverFits,
];

function checkDescription(
  description: MachineDescription,
  types: HardwareTypes,
  host: HostBackings,
): Problem[] {
  const problems = [...checkKernel(description), ...checkIommus(description, types.iommus)];
  const entries = entriesOf(description);
  const byAddress = new Map<string, DeviceEntry>();
  for (const entry of entries) {
    if (!byAddress.has(entry.device.at)) byAddress.set(entry.device.at, entry);
  }
  const wires = wiresOf(entries, types);
  const check: Check = {
    ...{ description, types, host, entries, byAddress, wires },
    firstAt: new Map([...wires].reverse().map(([entry, name]) => [name, entry])),
    backings: backingNames({
      host,
      blocks: blockNames(description.blocks, host),
      wires: Object.keys(description.wires),
      devices: [...wires.keys()].map(({ device }) => device.at),
    }),
    report: (entry, key, message) => problems.push({ path: entry.path.concat(key), message }),
  };
  for (const entry of entries) for (const rule of RULES) rule(check, entry);
  problems.push(
    ...blockProblems(description.blocks),
    ...wireProblems(description.wires),
    ...sharedBackings(entries, types.devices, ({ kind, name }) => {
      return kind === 'block' || (kind === 'wire' && Object.hasOwn(description.wires, name));
    }),
  );
  return problems;
}

function checkKernel({ kernel }: MachineDescription): Problem[] {
  return contradictionsOf(kernel).map((message) => ({ path: ['kernel', 'with'], message }));
}

function checkIommus(description: MachineDescription, types: IommuTypes): Problem[] {
  const names = iommuNames(description, types);
  return names.flatMap((name, n) => {
    const problems: Problem[] = [];
    if (names.indexOf(name) < n) {
      problems.push({ path: ['iommus', n, 'name'], message: `two IOMMUs are called ${name}` });
    }
    if (name === 'none') {
      problems.push({ path: ['iommus', n, 'name'], message: `'none' means no IOMMU at all` });
    }
    return problems;
  });
}

function addressIsFree(check: Check, entry: DeviceEntry): void {
  if (check.byAddress.get(entry.device.at) === entry) return;
  check.report(entry, 'at', `two functions are at ${entry.device.at}`);
}

function typeIsKnown(check: Check, entry: DeviceEntry): void {
  const { type, options, devices } = entry.device;
  if (isBridge(type)) {
    if (devices.length === 0) check.report(entry, 'devices', 'a bridge has devices behind it');
    for (const key of Object.keys(options)) {
      check.report(entry, ['options', key], `a bridge has no options; ${given(key)} is given`);
    }
    return;
  }
  const known = check.types.devices.get(type);
  if (!known) {
    const allowed = [...check.types.devices.keys(), ...BRIDGE_TYPES].sort().join(', ');
    check.report(entry, 'type', `unknown device type ${given(type)}; allowed: ${allowed}`);
    return;
  }
  if (devices.length > 0) {
    check.report(entry, 'devices', `only bridges have devices behind them, and ${type} is none`);
  }
  for (const { option, message } of optionProblems(known, options)) {
    check.report(entry, ['options', option], message);
  }
}

function iommuIsKnown(check: Check, entry: DeviceEntry): void {
  const { iommu } = entry.device;
  if (iommu === undefined || iommu === 'none') return;
  const names = iommuNames(check.description, check.types.iommus);
  if (names.includes(iommu)) return;
  check.report(
    entry,
    'iommu',
    `unknown IOMMU ${given(iommu)}; allowed: ${[...names, 'none'].join(', ')}`,
  );
}

/** A bridge's secondary bus is the bus of its first child; all children are on it, and nobody else is. */
function busIsTheParents(check: Check, entry: DeviceEntry): void {
  const { parent, device } = entry;
  if (device.vfOf !== undefined) return;
  const at = parseAddress(device.at);
  const first = parent?.device.devices[0];
  if (!parent || !first) {
    const owner = check.entries.find(
      (other) => isBridge(other.device.type) && secondaryOf(other) === busKey(at),
    );
    if (owner) {
      check.report(entry, 'at', `bus ${busKey(at)} is the one behind ${owner.device.at}`);
    }
    return;
  }
  const above = parseAddress(parent.device.at);
  if (at.segment !== above.segment || at.bus <= above.bus) {
    check.report(
      entry,
      'at',
      `a bus behind ${parent.device.at} has a higher number in its segment`,
    );
  } else if (busKey(at) !== secondaryOf(parent)) {
    check.report(
      entry,
      'at',
      `the devices behind one bridge share a bus, here ${secondaryOf(parent)!}`,
    );
  } else {
    const other = check.entries.find(
      (e) => e !== parent && isBridge(e.device.type) && secondaryOf(e) === busKey(at),
    );
    if (other && check.entries.indexOf(other) < check.entries.indexOf(parent)) {
      check.report(entry, 'at', `bus ${busKey(at)} is already the one behind ${other.device.at}`);
    }
  }
}

function busKey(at: Address): string {
  return `${at.segment.toString(16).padStart(4, '0')}:${at.bus.toString(16).padStart(2, '0')}`;
}
function secondaryOf(entry: DeviceEntry): string | undefined {
  const first = entry.device.devices[0];
  return first && busKey(parseAddress(first.at));
}

const STANDS_BEHIND: Readonly<Record<BridgeType, readonly (BridgeType | undefined)[]>> = {
  'root-port': [undefined],
  'upstream-port': ['root-port', 'downstream-port'],
  'downstream-port': ['upstream-port'],
  'pcie-to-pci-bridge': [undefined, 'root-port', 'downstream-port'],
  'pci-bridge': [undefined, 'pcie-to-pci-bridge', 'pci-bridge'],
};

function portStandsRight(check: Check, entry: DeviceEntry): void {
  const { type, at } = entry.device;
  const above = entry.parent?.device.type;
  const allowed = isBridge(type) ? STANDS_BEHIND[type] : undefined;
  if (allowed && !allowed.some((place) => place === above)) {
    const places = allowed.map((place) => (place ? `behind a ${place}` : 'on a root bus'));
    check.report(entry, 'type', `a ${type} stands ${places.join(' or ')}`);
  }
  if (above === 'upstream-port' && type !== 'downstream-port') {
    check.report(entry, 'type', 'behind an upstream-port there are downstream-ports only');
  }
  const link = above === 'root-port' || above === 'downstream-port';
  if (link && entry.device.vfOf === undefined && parseAddress(at).device !== 0) {
    check.report(entry, 'at', `the device at the end of a PCIe link has device number 00`);
  }
}

function slotHasFunction0(check: Check, entry: DeviceEntry): void {
  const { at, vfOf } = entry.device;
  if (vfOf !== undefined || at.endsWith('.0')) return;
  const function0 = at.slice(0, -1) + '0';
  if (check.byAddress.has(function0)) return;
  check.report(entry, 'at', `a slot without function 0 is never looked at: add ${function0}`);
}

function virtualFunctionHasItsPf(check: Check, entry: DeviceEntry): void {
  const { vfOf } = entry.device;
  if (vfOf === undefined) return;
  const pf = check.byAddress.get(vfOf);
  if (!pf) check.report(entry, 'vfOf', `there is no physical function at ${vfOf}`);
  else if (pf.device.vfOf !== undefined || isBridge(pf.device.type)) {
    check.report(entry, 'vfOf', `${vfOf} is no physical function`);
  } else if (pf.parent !== entry.parent) {
    check.report(entry, 'vfOf', `a virtual function stands beside its physical function ${vfOf}`);
  }
}

function functionCanExist(check: Check, entry: DeviceEntry): void {
  const type = check.types.devices.get(entry.device.type);
  if (!type || optionProblems(type, entry.device.options).length > 0) return;
  const options = withDefaults(type.options, entry.device.options);
  const pci = type.identity(options);
  const { device, fn } = parseAddress(entry.device.at);
  const beyond = sriovPlaceProblem(pci, (device << 3) | fn);
  const problems = [
    ...identityProblems(pci),
    ...missingBackings(type, options, check.backings),
    ...(beyond === undefined ? [] : [beyond]),
  ];
  for (const problem of problems) check.report(entry, 'options', problem);
  const above = entry.parent?.device.type ?? '';
  if (pci.pcie && ['pci-bridge', 'pcie-to-pci-bridge'].includes(above)) {
    check.report(entry, 'type', `no PCIe function stands on the conventional bus of a ${above}`);
  }
}

function migrationIsPossible(check: Check, entry: DeviceEntry): void {
  const { migration = 'none', type, vfOf, options } = entry.device;
  if (migration === 'none') return;
  const known = check.types.devices.get(type);
  if (vfOf !== undefined) {
    check.report(entry, 'migration', 'a virtual function is a part of its physical one');
  } else if (!known?.migratable) {
    check.report(
      entry,
      'migration',
      `${given(type)} is nothing whose state can be taken elsewhere`,
    );
  } else if (
    optionProblems(known, options).length === 0 &&
    known.identity(withDefaults(known.options, options)).sriov
  ) {
    check.report(entry, 'migration', 'a function with SR-IOV does not migrate');
  }
}

/** Whoever wants pages as memory wants a model that has such. */
function barsAreThere(check: Check, entry: DeviceEntry): void {
  const { bar: wish, type, options } = entry.device;
  const known = check.types.devices.get(type);
  if (wish === undefined || !known || optionProblems(known, options).length > 0) return;
  const problem = barProblem(type, barsOf(entry.device, check.types.devices), wish);
  if (problem !== undefined) check.report(entry, 'bar', problem);
}

function wiresOf(
  entries: readonly DeviceEntry[],
  { devices }: HardwareTypes,
): Map<DeviceEntry, string> {
  const wires = new Map<DeviceEntry, string>();
  for (const entry of entries) {
    const { options, type: name } = entry.device;
    const type = devices.get(name);
    if (!type || optionProblems(type, options).length > 0) continue;
    const wire = wireOf(type, options);
    if (wire !== undefined) wires.set(entry, wire);
  }
  return wires;
}

/** A plug whose name is 'sink' is joined to whoever names its device; there can be one. */
function wireHasTwoEnds(check: Check, entry: DeviceEntry): void {
  const { at } = entry.device;
  const name = check.wires.get(entry);
  const other = name === undefined ? undefined : check.byAddress.get(name);
  if (!other || name === undefined) return;
  const back = check.wires.get(other);
  const first = check.firstAt.get(name);
  if (other === entry) check.report(entry, 'options', `a wire from ${at} to itself is 'self'`);
  else if (back !== undefined && back !== at && back !== 'sink') {
    check.report(entry, 'options', `the wire of ${name} leads to ${given(back)}, and not here`);
  } else if (first && first !== entry) {
    check.report(entry, 'options', `${first.device.at} is wired to ${name} already`);
  }
}

function directRegionsAreRanges(check: Check, entry: DeviceEntry): void {
  for (const region of entry.device.directRegions) {
    const start = BigInt(region.start);
    const last = BigInt(region.last);
    if (start % 4096n !== 0n || (last + 1n) % 4096n !== 0n || last < start) {
      const words = `${given(region.start)} to ${given(region.last)} is no region: it covers whole pages of 4 KiB, last inclusive`;
      check.report(entry, 'directRegions', words);
    }
  }
}

function driverFits(check: Check, entry: DeviceEntry): void {
  const { driver, type } = entry.device;
  if (driver === undefined || driver === 'none') return;
  if (isBridge(type) !== (driver === 'pcieport')) {
    const allowed = isBridge(type) ? 'pcieport, none' : 'any but pcieport';
    check.report(entry, 'driver', `${driver} does not drive a ${type}; allowed: ${allowed}`);
  }
}
