/** Of a file of VFIO or a device that cannot be opened: which ones can. */
import type { Machine } from '../../machine/machine.ts';
import { isFailedCall, type TroubleEvent } from './trouble.ts';

const VFIO_DRIVER = 'vfio-pci';

/** In a sentence; undefined: it is no such file. */
export function missingFile(
  event: TroubleEvent,
  { machine }: { readonly machine: Machine },
): readonly string[] | undefined {
  if (!isFailedCall(event) || event.result.name !== 'ENOENT' || event.command) return undefined;
  const { file = '' } = event;
  const [, what] = /^\/dev\/vfio\/((?:noiommu-)?\d+|devices\/.*)$/.exec(file) ?? [];
  if (what !== undefined) return [filesText(machine, what.startsWith('devices/'))];
  if (/\/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](\/|$)/.test(file))
    return [devicesText(machine)];
  return undefined;
}
function filesText(machine: Machine, wantsCdev: boolean): string {
  const usable = machine.pci.devices().filter(({ driver }) => driver?.name === VFIO_DRIVER);
  if (usable.length === 0)
    return `no device is bound to ${VFIO_DRIVER}, so there is no file of VFIO`;
  const list = usable.map(({ name, dev }) => {
    const device = machine.vfio.deviceOf(dev);
    return wantsCdev && device && machine.vfio.hasCdev(device)
      ? `${name} is /dev/vfio/devices/${device.cdevName}`
      : `${name} in group ${dev.iommuGroup?.id ?? 'none'}`;
  });
  return `bound to ${VFIO_DRIVER}: ${list.join(', ')}`;
}
/** All there are. */
export function devicesText(machine: Machine): string {
  const names = machine.pci.devices().map(({ name }) => name);
  return `the devices of this machine: ${names.join(', ')}`;
}
