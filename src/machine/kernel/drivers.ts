/** The drivers of the simulated kernel: vfio-pci, the passive ones, and host drivers that use the DMA API (vfio.md 1.3). */
import { isErrno, type Status } from '../../base/errno.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../uapi/pci-regs.ts';
import { bindPci, unbindPci } from '../../vfio/pci/driver.ts';
import type { VfioSubsystem } from '../../vfio/vfio-core.ts';
import { HOST_DRIVERS } from '../description/names.ts';
import { KernelDriver } from './driver-core.ts';
import type { PciDev } from './pci-dev.ts';

/** Every driver of the simulated kernel, in the order in which they register. */
export function hostDrivers(vfio: VfioSubsystem): KernelDriver[] {
  return [
    vfioPci(vfio),
    new KernelDriver({
      name: 'pcieport',
      driverManagedDma: true,
      matches: (pci) => isPciePort(pci) && pci.slot.description.driver !== 'none',
    }),
    new KernelDriver({
      name: 'pci-stub',
      driverManagedDma: true,
      matches: isDescribedFor('pci-stub'),
    }),
    ...HOST_DRIVERS.map(hostDriver),
  ];
}

/** It matches by driver_override and new_id only. */
function vfioPci(vfio: VfioSubsystem): KernelDriver {
  return new KernelDriver({
    name: 'vfio-pci',
    driverManagedDma: true,
    hooks: {
      probe(pci): Status {
        const bound = bindPci(vfio, pci);
        return isErrno(bound) ? bound : undefined;
      },
      remove: (pci) => unbindPci(vfio, pci.dev),
    },
  });
}

function isPciePort(pci: PciDev): boolean {
  return ['root-port', 'upstream-port', 'downstream-port'].includes(pci.slot.description.type);
}
function isDescribedFor(name: string): (pci: PciDev) => boolean {
  return (pci) => pci.slot.description.driver === name;
}

/** It does nothing but hold the device as a driver does: decoding and bus mastering are on, the default domain is in use. */
function hostDriver(name: string): KernelDriver {
  const ON = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  return new KernelDriver({
    name,
    driverManagedDma: false,
    matches: isDescribedFor(name),
    hooks: {
      probe(pci): Status {
        pci.fn.writeConfig(PCI_COMMAND, 2, pci.fn.command | ON);
        return undefined;
      },
      remove(pci): Status {
        pci.fn.writeConfig(PCI_COMMAND, 2, pci.fn.command & ~PCI_COMMAND_MASTER);
        return undefined;
      },
    },
  });
}
