/** vfio-pci as a driver of the PCI bus: probe and remove (vfio.md 4.2). */
import { EINVAL, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import type { Device } from '../../core/contract/device.ts';
import type { VfioDevice } from '../device.ts';
import { VfioPciDevice } from './core.ts';
import { VfioPciState, type VfioPciFunction } from './state.ts';
import type { VfioSubsystem } from '../vfio-core.ts';

const INTEL = 0x8086;
/** Accelerators that a user could make harm the host: refused unless disable_denylist is Y. */
const DENYLIST = [0x0435, 0x0443, 0x0b25, 0x0cfe, 0x19e2, 0x19e3, 0x37c8, 0x37c9];

/**
 * Take a PCI function: its group and nodes appear. The caller keeps the driver model's side (dev.driver, links).
 * EINVAL: denylisted, not a type 0 header, no IOMMU while noiommu mode is off, or one that is not coherent.
 * @kernel vfio_pci_probe
 */
export function bindPci(subsystem: VfioSubsystem, pci: VfioPciFunction): Result<VfioDevice> {
  const { dev, fn } = pci;
  const { vendor, device } = fn.identity;
  if (vendor === INTEL && DENYLIST.includes(device) && !subsystem.parameters.disableDenylist) {
    return refuse(EINVAL, 'the device is on the denylist of vfio-pci', { device: dev.name });
  }
  if (fn.identity.bridge)
    return refuse(EINVAL, 'a bridge is not given to a user', { device: dev.name });
  const state = new VfioPciState(subsystem, pci);
  return subsystem.registerDevice(dev, new VfioPciDevice(state, pci.sysPath));
}

/** Waits until the user let go. @kernel vfio_pci_remove */
export function unbindPci(subsystem: VfioSubsystem, dev: Device): Outcome<Status> {
  return subsystem.unregisterDevice(dev);
}
