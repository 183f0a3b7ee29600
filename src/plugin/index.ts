/**
 * A plugin: types of devices and IOMMUs, page-table formats, and machines, of somebody's own, for `softiommu run --plugin FILE` and the other
 * commands (entry `softiommu/plugin`).
 *
 * A plugin is code of the user who starts the run, and runs inside softiommu with all the rights of that user.
 */
import type { DeviceType } from '../devices/port.ts';
import type { IommuType } from '../drivers/iommu-type.ts';
import type { PtFormat } from '../pt/format.ts';
import type { Preset } from '../machine/description/presets.ts';

/** What a plugin adds. Names that are taken, by softiommu or by another plugin, are refused. */
export interface Plugin {
  /** For people. */
  readonly name: string;
  /** Types for `--device` and for the devices of machine files. */
  readonly devices?: readonly DeviceType[];
  /** Types for `--iommu` and for the IOMMUs of machine files. */
  readonly iommus?: readonly IommuType[];
  /** Page-table formats for IOMMUs that ask for one by name: `formats` of the world of createDriver(). */
  readonly formats?: readonly PtFormat[];
  /** Machines for `--machine preset:NAME`, by name. */
  readonly presets?: Readonly<Record<string, Preset>>;
}

/** The default export of a plugin's file: the same value, its type checked. */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}

export type { DeviceType } from '../devices/port.ts';
export type { IommuType } from '../drivers/iommu-type.ts';
export type { PtFormat } from '../pt/format.ts';
export type { Preset } from '../machine/description/presets.ts';
