/**
 * A machine description of the functions that were found in a real machine: its IOMMUs where they are said, else one of
 * Intel, bridges, models where their ids are those of a function, and `generic` for the others. What a description cannot have is left out, with the reason.
 */
import type { OptionValues } from '../../base/options.ts';
import { parseDescription } from '../../machine/description/description-check.ts';
import type { MachineDescription } from '../../machine/description/description.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import { DRIVER_NAMES } from '../../machine/description/names.ts';
import { valueAt } from '../../machine/description/shape-problems.ts';
import { UserMistake } from '../user-mistake.ts';
import { busesOf, type LeftOut, type FoundPlace } from './buses.ts';
import type { FoundFunction, FoundRegion } from './found-function.ts';
import { FoundIommus } from './found-iommus.ts';
import { genericLook } from './generic-options.ts';
import { isolates, type FoundNeighbours } from './isolation.ts';
import { fittingModel } from './models.ts';

/** A description with what to tell its reader. */
export interface MadeMachine {
  readonly machine: MachineDescription;
  /** Lines about the whole. */
  readonly remarks: readonly string[];
  /** Lines about a device, by its address. */
  readonly about: ReadonlyMap<string, readonly string[]>;
  readonly leftOut: readonly LeftOut[];
}

/** A device as a description has it. */
interface Wish {
  readonly type: string;
  readonly at: string;
  readonly driver?: string;
  readonly iommu?: string;
  readonly directRegions?: readonly FoundRegion[];
  readonly acs?: boolean;
  readonly options?: OptionValues;
  readonly devices?: Wish[];
}

/** Throws UserMistake where there is nothing that a description can have, or one function twice. */
export function machineOf(
  found: readonly FoundFunction[],
  types: HardwareTypes,
  name: string,
): MadeMachine {
  refuseTwice(found);
  const buses = busesOf(found);
  const maker = new Maker(found, types, [...buses.leftOut]);
  const { entries, remarks } = maker.iommus;
  const machine = maker.possible({
    name: 'machine',
    ...(entries.length > 0 && { iommus: entries }),
    devices: maker.devices(buses.roots, NOTHING_ABOVE),
  });
  if (machine.devices.length === 0)
    throw new UserMistake(`${name}: nothing here can be in a machine file`);
  return { machine, remarks, about: maker.about, leftOut: maker.leftOut };
}

function refuseTwice(found: readonly FoundFunction[]): void {
  const seen = new Map<string, FoundFunction>();
  for (const each of found) {
    const first = seen.get(each.at);
    if (first) {
      throw new UserMistake(`${each.place}: ${each.at} is there twice, also at ${first.place}`);
    }
    seen.set(each.at, each);
  }
}

/** Bridges that a description has, by their PCIe capability. */
const BRIDGES: Readonly<Record<string, string>> = {
  'root-port': 'root-port',
  'upstream-port': 'upstream-port',
  'downstream-port': 'downstream-port',
  'pcie-to-pci-bridge': 'pcie-to-pci-bridge',
};
/** What a bridge is whose capabilities were not shown, by what is above it. */
const GUESSES: Readonly<Record<string, string>> = {
  'root-port': 'upstream-port',
  'upstream-port': 'downstream-port',
  'downstream-port': 'upstream-port',
};

/** What a place on a bus has from the bridge above it. */
interface Above {
  readonly type: string | undefined;
  /** Of its IOMMU. */
  readonly iommu: string | undefined;
}
const NOTHING_ABOVE: Above = { type: undefined, iommu: undefined };

class Maker {
  readonly iommus: FoundIommus;
  readonly about = new Map<string, readonly string[]>();
  readonly leftOut: LeftOut[];
  readonly #byAddress: ReadonlyMap<string, FoundFunction>;
  readonly #neighbours: FoundNeighbours;
  readonly #namesDrivers: boolean;
  readonly #types: HardwareTypes;

  constructor(found: readonly FoundFunction[], types: HardwareTypes, leftOut: LeftOut[]) {
    this.#byAddress = new Map(found.map((each) => [each.at, each]));
    this.#neighbours = { all: found };
    this.#namesDrivers = found.some(({ driver }) => driver !== undefined);
    this.#types = types;
    this.iommus = new FoundIommus(found, types);
    this.leftOut = leftOut;
  }

  devices(places: readonly FoundPlace[], above: Above): Wish[] {
    return places.flatMap((place) => this.#device(place, above) ?? []);
  }

  /**
   * The description without what it cannot have, in the words of whoever reads it. Each round leaves out one function
   * at least.
   */
  possible(input: {
    readonly name: string;
    readonly iommus?: unknown;
    readonly devices: Wish[];
  }): MachineDescription {
    for (;;) {
      const checked = parseDescription(input, this.#types);
      if (!('problems' in checked)) return checked.description;
      const bad = new Map<unknown, string>();
      for (const { path, message } of checked.problems) {
        const wish = innermostDevice(input, path);
        if (wish === undefined) throw new UserMistake(message);
        if (!bad.has(wish)) bad.set(wish, message);
      }
      this.#prune(input.devices, bad);
    }
  }

  #prune(devices: Wish[], bad: ReadonlyMap<unknown, string>): void {
    for (const wish of [...devices]) {
      const why = bad.get(wish);
      if (why !== undefined) {
        devices.splice(devices.indexOf(wish), 1);
        this.#leaveOut(wish, why);
      } else if (wish.devices) this.#prune(wish.devices, bad);
    }
  }

  #leaveOut(wish: Wish, why: string): void {
    this.leftOut.push({ found: this.#byAddress.get(wish.at)!, why });
    for (const behind of wish.devices ?? []) this.#leaveOut(behind, `it is behind ${wish.at}`);
  }

  #device(place: FoundPlace, above: Above): Wish | undefined {
    const { found } = place;
    const isolated = isolates(place, this.#neighbours);
    const acs = isolated === false ? { acs: false } : {};
    const seat = { ...this.iommus.wish(found, above.iommu), ...acs };
    if (!found.bridge) return this.#endpoint(found, seat);
    const type = bridgeType(found, above.type);
    if (place.behind.length === 0 || type === undefined) {
      const why = type === undefined ? 'a bridge of another kind' : 'nothing is behind this bridge';
      this.#leaveOutAll(place, why);
      return undefined;
    }
    this.#remark(found, found.sees.capabilities ? [] : ['its kind is not said, and assumed']);
    const here = { type, iommu: this.iommus.of(found, above.iommu) };
    return { type, at: found.at, ...seat, devices: this.devices(place.behind, here) };
  }

  #leaveOutAll({ found, behind }: FoundPlace, why: string): void {
    this.leftOut.push({ found, why });
    for (const each of behind) this.#leaveOutAll(each, `it is behind ${found.at}`);
  }

  #endpoint(found: FoundFunction, seat: Partial<Wish>): Wish {
    const { at, directRegions = [] } = found;
    const regions = directRegions.length > 0 ? { directRegions } : {};
    const wish = { at, ...this.#driver(found), ...seat, ...regions };
    const model = fittingModel(found, this.#types);
    if (model) {
      this.#remark(found, model.remarks);
      const { type, options } = model;
      return { ...wish, type, ...(Object.keys(options).length > 0 && { options }) };
    }
    const { options, remarks } = genericLook(found, this.#types.devices.get('generic')!.options);
    const isNvme = found.classCode === 0x01_08_02;
    this.#remark(found, [...remarks, ...(isNvme ? ['type: nvme is a model of this class'] : [])]);
    return { ...wish, type: 'generic', options };
  }

  /** As it is bound there, where that is said; else as a description has it, but for what nobody gives to a program. */
  #driver({ driver, classCode }: FoundFunction): { readonly driver?: string } {
    if (driver !== undefined && driver !== 'pcieport' && DRIVER_NAMES.includes(driver))
      return { driver };
    const isBridgeClass = classCode >> 16 === 0x06;
    return this.#namesDrivers || isBridgeClass ? { driver: 'none' } : {};
  }

  #remark(found: FoundFunction, remarks: readonly string[]): void {
    const { words, group, driver, at } = found;
    const known = driver === undefined || DRIVER_NAMES.includes(driver);
    const facts = [
      ...(words === undefined ? [] : [words]),
      ...(group === undefined ? [] : [`IOMMU group ${group}`]),
      ...(known ? [] : [`driver in use: ${driver}`]),
    ];
    this.about.set(at, [...(facts.length > 0 ? [facts.join('; ')] : []), ...remarks]);
  }
}

/** What a bridge is; undefined: nothing that a description has. */
function bridgeType(found: FoundFunction, above: string | undefined): string | undefined {
  const { capabilities, classCode, sees } = found;
  if (classCode >> 8 !== 0x0604) return undefined;
  if (capabilities.pcie) return BRIDGES[capabilities.pcie.kind];
  if (sees.capabilities) return 'pci-bridge';
  return above === undefined ? 'root-port' : (GUESSES[above] ?? 'pci-bridge');
}

/** The device that a path of a description leads to, or goes through last. */
function innermostDevice(input: unknown, path: readonly (string | number)[]): unknown {
  let end = 0;
  while (path[end] === 'devices' && typeof path[end + 1] === 'number') end += 2;
  return end === 0 ? undefined : valueAt(input, path.slice(0, end));
}
