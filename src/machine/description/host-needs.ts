/** Is everything there that a device uses of the host? */
import type { HostBackings } from '../../devices/host-services.ts';
import type { DeviceOptions, DeviceType } from '../../devices/port.ts';

const KINDS = { block: 'block device', chardev: 'byte stream' } as const;

/** One line for each thing that was not given, with what was. */
export function missingBackings(
  type: DeviceType,
  options: DeviceOptions,
  host: HostBackings,
): string[] {
  const given = {
    block: [...(host.blocks?.keys() ?? [])],
    chardev: [...(host.chardevs?.keys() ?? [])],
  };
  const missing = (type.needs?.(options) ?? []).filter(
    (need) => !given[need.kind].includes(need.name),
  );
  return missing.map(({ kind, name }) => {
    const names = given[kind].join(', ') || 'none';
    return `no ${KINDS[kind]} '${name}' is given to the machine; given: ${names}`;
  });
}
