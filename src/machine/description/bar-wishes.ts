/** How users of vfio are to reach the memory BARs of a device, and whether that can be. */
import { withDefaults, type OptionValues } from '../../base/options.ts';
import type { DeviceType } from '../../devices/port.ts';
import type { BarSpec } from '../../pci/identity.ts';

/** How users reach a memory BAR. */
export const BAR_ACCESS = ['trap', 'plain', 'none'] as const;
/** One of them. */
export type BarChoice = (typeof BAR_ACCESS)[number];
/** Of all memory BARs of a device, or of some by their index. */
export type BarWish = BarChoice | Readonly<Partial<Record<string, BarChoice>>>;

/** What a device says of one of its BARs. */
export function barAccessOf(wish: BarWish | undefined, index: number): BarChoice | undefined {
  return typeof wish === 'object' ? wish[String(index)] : wish;
}

/** Those of a function. */
export type Bars = readonly BarSpec[];

/** As a description says it. */
interface PluggedDevice {
  readonly type: string;
  readonly options: OptionValues;
  readonly vfOf?: string | undefined;
}

/** What there is of a device with options that are right; a bridge has none. */
export function barsOf(
  { type, options, vfOf }: PluggedDevice,
  types: ReadonlyMap<string, DeviceType>,
): Bars {
  const known = types.get(type);
  const pci = known?.identity(withDefaults(known.options, options));
  return (vfOf === undefined ? pci?.bars : (pci?.sriov?.bars ?? pci?.bars)) ?? [];
}

/** Why it cannot be, in words. */
export function barProblem(type: string, bars: Bars, wish: BarWish): string | undefined {
  if (typeof wish !== 'object') {
    return wish !== 'plain' || bars.some(hasPlain)
      ? undefined
      : `${type} has no BAR with plain pages`;
  }
  const memory = bars.filter(({ kind }) => kind !== 'io');
  for (const [index, access] of Object.entries(wish)) {
    const bar = memory.find((one) => String(one.index) === index);
    if (!bar) {
      const there = memory.map((one) => one.index).join(', ') || 'none';
      return `BAR ${index} is no memory BAR of ${type}; those are: ${there}`;
    }
    if (access === 'plain' && !hasPlain(bar)) return `BAR ${index} of ${type} has no plain pages`;
  }
  return undefined;
}
/** Are there pages of it that users can have as memory? */
export function hasPlain({ plain = [] }: BarSpec): boolean {
  return plain.length > 0;
}
