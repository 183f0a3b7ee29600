/**
 * What the flags --bar say: how users of vfio reach the BARs of all devices, of one, or one BAR. It stands above what the
 * machine says. Mistakes are UserMistakes.
 */
import {
  BAR_ACCESS,
  barAccessOf,
  barProblem,
  barsOf,
  hasPlain,
  type Bars,
  type BarChoice,
  type BarWish,
} from '../machine/description/bar-wishes.ts';
import type { DeviceDescription, MachineDescription } from '../machine/description/description.ts';
import { entriesOf, type DeviceTypes } from '../machine/description/entries.ts';
import { given, printable } from '../machine/description/wording.ts';
import { UserMistake } from './user-mistake.ts';

const FORM = /^(?:([^=/]+)(?:\/([^=]*))?=)?([^=]*)$/;

interface BarFlag {
  readonly text: string;
  /** Undefined: of every device. */
  readonly at: string | undefined;
  /** Undefined: of every memory BAR. */
  readonly index: string | undefined;
  readonly access: BarChoice;
}

/** The machine as the flags want it: 'plain', '0000:01:00.0=none', '0000:01:00.0/2=trap'. The narrower one counts. */
export function withBarFlags(
  machine: MachineDescription,
  texts: readonly string[],
  types: DeviceTypes,
): MachineDescription {
  if (texts.length === 0) return machine;
  const flags = texts.map(parsed);
  const places = new Set<string>();
  for (const { text, at = '', index = '' } of flags) {
    const place = `${at}/${index}`;
    if (places.has(place)) throw mistake(text, 'the same is said a second time');
    places.add(place);
  }
  const known = new Set(entriesOf(machine).map(({ device }) => device.at));
  for (const { text, at } of flags) {
    if (at === undefined || known.has(at)) continue;
    throw mistake(
      text,
      `there is no device ${given(at)} in the machine (virtual functions that are switched on later are as their physical one)`,
    );
  }
  const narrower = flags.toSorted((a, b) => breadth(b) - breadth(a));
  const changed = (device: DeviceDescription): DeviceDescription => {
    const devices = device.devices.map(changed);
    const bars = barsOf(device, types);
    const bar = narrower.reduce((wish, flag) => applied(device, { wish, flag, bars }), device.bar);
    return { ...device, devices, ...(bar !== undefined && { bar }) };
  };
  return { ...machine, devices: machine.devices.map(changed) };
}

function parsed(text: string): BarFlag {
  const [, at, index, word = ''] = FORM.exec(text) ?? [];
  const access = BAR_ACCESS.find((one) => one === word);
  if (access !== undefined) return { text, at, index, access };
  throw mistake(
    text,
    `must be HOW, DDDD:BB:DD.F=HOW or DDDD:BB:DD.F/INDEX=HOW, where HOW is ${BAR_ACCESS.join(', ')}`,
  );
}
function breadth({ at, index }: BarFlag): number {
  if (at === undefined) return 2;
  return index === undefined ? 1 : 0;
}

interface Wished {
  readonly wish: BarWish | undefined;
  readonly flag: BarFlag;
  readonly bars: Bars;
}
function applied(device: DeviceDescription, { wish, flag, bars }: Wished): BarWish | undefined {
  const { at, index, access, text } = flag;
  if (at === undefined) {
    // Of every device that has what is wished.
    const isPossible = bars.some((bar) => access !== 'plain' || hasPlain(bar));
    return isPossible ? access : wish;
  }
  if (at !== device.at) return wish;
  const asked = index === undefined ? access : { [index]: access };
  const problem = barProblem(device.type, bars, asked);
  if (problem !== undefined) throw mistake(text, problem);
  if (typeof asked !== 'object') return asked;
  return { ...each(wish, bars), ...asked };
}
/** Said of all, as said of each. */
function each(wish: BarWish | undefined, bars: Bars): Partial<Record<string, BarChoice>> {
  const memory = bars.filter((bar) => bar.kind !== 'io' && (wish !== 'plain' || hasPlain(bar)));
  const said = memory.map(({ index }) => [String(index), barAccessOf(wish, index)] as const);
  return Object.fromEntries(said.filter(([, access]) => access !== undefined));
}

function mistake(text: string, problem: string): UserMistake {
  return new UserMistake(`--bar ${printable(text)}: ${problem}`);
}
