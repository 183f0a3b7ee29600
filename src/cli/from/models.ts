/** Which functions of a real machine a device model stands for: those with exactly its ids and class. */
import { withDefaults, type OptionValues } from '../../base/options.ts';
import type { HardwareTypes } from '../../machine/description/entries.ts';
import type { FoundFunction } from './found-function.ts';

/** A model with the options that make it this function. */
export interface FittingModel {
  readonly type: string;
  readonly options: OptionValues;
  /** In what it differs from the function, in words. */
  readonly remarks: readonly string[];
}

/** Undefined: no model has its vendor, device and class. */
export function fittingModel(found: FoundFunction, types: HardwareTypes): FittingModel | undefined {
  for (const [type, known] of types.devices) {
    const table = known.options;
    if (type === 'generic') continue;
    const options = Object.fromEntries(
      Object.entries(wishes(found)).filter(([key]) => Object.hasOwn(table, key)),
    );
    const pci = known.identity(withDefaults(table, options));
    const same =
      pci.vendor === found.vendor &&
      pci.device === found.device &&
      pci.classCode === found.classCode;
    if (!same) continue;
    const vfs = found.capabilities.sriov?.totalVfs ?? 0;
    const made = pci.sriov?.totalVfs ?? 0;
    const remarks = [
      ...(barKey(pci.bars) === barKey(found.bars) ? [] : ['its BARs are those of the model']),
      ...(made === vfs ? [] : [`${vfs} virtual functions are possible; here ${made}`]),
    ];
    return { type, options, remarks };
  }
  return undefined;
}

/** The igb has as many. */
const MOST_VFS = 7;

/** Options that models have for what functions with the same ids differ in. */
function wishes({ capabilities: { pcie, sriov } }: FoundFunction): OptionValues {
  return {
    ...(pcie && { pcie: true }),
    ...(sriov && sriov.totalVfs > 0 && { vfs: Math.min(sriov.totalVfs, MOST_VFS) }),
  };
}

interface Bar {
  readonly index: number;
  readonly kind: string;
  readonly size: number | undefined;
}
function barKey(bars: readonly Bar[]): string {
  return bars.map(({ index, kind, size }) => `${index}:${kind}:${size}`).join(',');
}
