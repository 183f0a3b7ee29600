/** Is everything there that a device uses of the world outside of it? */
import { withDefaults } from '../../base/options.ts';
import type { HostBackings } from '../../devices/host-services.ts';
import type { DeviceOptions, DeviceType } from '../../devices/port.ts';
import { PLAIN_WIRES } from '../../devices/wires.ts';

const KINDS = { block: 'block device', chardev: 'byte stream', wire: 'wire' } as const;

/** One line for each thing that was not given, with what was. `blocks` are all block devices there are, `devices` the addresses a wire may lead to. */
export function missingBackings(
  type: DeviceType,
  options: DeviceOptions,
  given: {
    readonly host: HostBackings;
    readonly blocks: readonly string[];
    readonly devices: readonly string[];
  },
): string[] {
  const { chardevs, wires } = given.host;
  const names = {
    block: given.blocks,
    chardev: [...(chardevs?.keys() ?? [])],
    wire: [...PLAIN_WIRES, ...(wires?.keys() ?? []), ...given.devices],
  };
  const missing = (type.needs?.(options) ?? []).filter(
    (need) => !names[need.kind].includes(need.name),
  );
  return missing.map(({ kind, name }) => {
    const there = names[kind].join(', ') || 'none';
    return `no ${KINDS[kind]} '${name}' is given to the machine; given: ${there}`;
  });
}

/** The wire a device with these options is plugged into; undefined: it has no plug. */
export function wireOf(type: DeviceType | undefined, options: DeviceOptions): string | undefined {
  const needs = type?.needs?.(withDefaults(type.options, options)) ?? [];
  return needs.find(({ kind }) => kind === 'wire')?.name;
}
