/** The drivers of the simulated kernel: vfio-pci, the passive ones, and host drivers that use the DMA API (vfio.md 1.3). */
import { ENOENT, isErrno, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../uapi/pci-regs.ts';
import { bindPci, carryVfs, tellError, unbindPci } from '../../vfio/pci/driver.ts';
import type { VfioSubsystem } from '../../vfio/vfio-core.ts';
import { HOST_DRIVERS } from '../description/names.ts';
import { KernelDriver } from './driver-core.ts';
import type { PciDev } from './pci-dev.ts';
import { disableSriov, enableSriov, type VirtualDevices } from './sriov.ts';

/** Those of HOST_DRIVERS that show virtual functions when asked to. */
const SRIOV_DRIVERS: readonly string[] = ['igb', 'nvme'];

/** Every driver of the simulated kernel, in the order in which they register. */
export function hostDrivers(vfio: VfioSubsystem, devices: VirtualDevices): KernelDriver[] {
  return [
    vfioPci(vfio, devices),
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
    ...HOST_DRIVERS.map((name) => hostDriver(name, devices)),
  ];
}

/** It matches by driver_override and new_id only. */
function vfioPci(vfio: VfioSubsystem, devices: VirtualDevices): KernelDriver {
  return new KernelDriver({
    name: 'vfio-pci',
    driverManagedDma: true,
    hooks: {
      probe(pci): Status {
        const bound = bindPci(vfio, pci);
        return isErrno(bound) ? bound : undefined;
      },
      remove(pci) {
        return disableSriov(devices, pci) ?? unbindPci(vfio, pci.dev);
      },
      gone: (pci) => tellError(vfio, pci.dev),
      sriovConfigure(pci, count) {
        if (!vfio.env.has('vfio-sriov')) {
          return refuse(ENOENT, 'enable_sriov of vfio_pci is N', { device: pci.name });
        }
        if (count === 0) return disableSriov(devices, pci);
        // Marked before the first of them is bound: their open wants the token of this function.
        carryVfs(vfio, pci.dev);
        return enableSriov(devices, pci, count, (vf) => {
          vf.driverOverride = 'vfio-pci';
        });
      },
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
function hostDriver(name: string, devices: VirtualDevices): KernelDriver {
  const takesVfs = SRIOV_DRIVERS.includes(name);
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
      remove(pci): Outcome<Status> {
        const rc = disableSriov(devices, pci);
        if (rc) return rc;
        pci.fn.writeConfig(PCI_COMMAND, 2, pci.fn.command & ~PCI_COMMAND_MASTER);
        return undefined;
      },
      ...(takesVfs && {
        sriovConfigure: (pci: PciDev, count: number) =>
          count === 0 ? disableSriov(devices, pci) : enableSriov(devices, pci, count),
      }),
    },
  });
}
