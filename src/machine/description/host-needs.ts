/** Is everything there that a device uses of the world outside of it? */
import { withDefaults } from '../../base/options.ts';
import type { HostBackings, HostNeed } from '../../devices/host-services.ts';
import type { DeviceOptions, DeviceType } from '../../devices/port.ts';
import { PLAIN_WIRES } from '../../devices/wires.ts';
import type { Problem } from './shape-problems.ts';
import { given } from './wording.ts';

const KINDS = { block: 'block device', chardev: 'byte stream', wire: 'wire' } as const;

/** The names of all that devices may use of the world outside of them. */
export type BackingNames = Readonly<Record<HostNeed['kind'], ReadonlySet<string>>>;

/** `blocks` are all block devices there are, `wires` the description's, `devices` the addresses a wire may lead to. */
export function backingNames(there: {
  readonly host: HostBackings;
  readonly blocks: readonly string[];
  readonly wires: readonly string[];
  readonly devices: readonly string[];
}): BackingNames {
  const { chardevs, wires } = there.host;
  return {
    block: new Set(there.blocks),
    chardev: new Set(chardevs?.keys() ?? []),
    wire: new Set([...PLAIN_WIRES, ...there.wires, ...(wires?.keys() ?? []), ...there.devices]),
  };
}

/** One line for each thing that was not given, with what was. */
export function missingBackings(
  type: DeviceType,
  options: DeviceOptions,
  names: BackingNames,
): string[] {
  const missing = (type.needs?.(options) ?? []).filter((need) => !names[need.kind].has(need.name));
  return missing.map(({ kind, name }) => {
    const all = [...names[kind]].join(', ') || 'none';
    return `no ${KINDS[kind]} ${given(name)} is given to the machine; given: ${all}`;
  });
}

/** A device entry, as far as its needs are concerned. */
interface UserOfHost {
  readonly device: {
    readonly type: string;
    readonly at: string;
    readonly options: Readonly<Record<string, number | string | boolean>>;
  };
  readonly path: Problem['path'];
}

/**
 * Two devices, or one twice, cannot have the same storage, for each would take what it has written for what is there; nor
 * the same wire out of the machine, which has one end in it. `hasOneUser` says which needs that is said of.
 */
export function sharedBackings(
  entries: readonly UserOfHost[],
  types: ReadonlyMap<string, DeviceType>,
  hasOneUser: (need: HostNeed) => boolean,
): Problem[] {
  const users = new Map<string, string>();
  return entries.flatMap(({ device, path }) => {
    const type = types.get(device.type);
    const needs = type?.needs?.(withDefaults(type.options, device.options)) ?? [];
    return needs.filter(hasOneUser).flatMap(({ kind, name }) => {
      const key = `${kind} ${name}`;
      const other = users.get(key);
      users.set(key, other ?? device.at);
      if (other === undefined) return [];
      const message = `the ${KINDS[kind]} ${given(name)} is already that of ${other}`;
      return [{ path: [...path, 'options'], message }];
    });
  });
}

/** The wire a device with these options is plugged into; undefined: it has no plug. */
export function wireOf(type: DeviceType | undefined, options: DeviceOptions): string | undefined {
  const needs = type?.needs?.(withDefaults(type.options, options)) ?? [];
  return needs.find(({ kind }) => kind === 'wire')?.name;
}
