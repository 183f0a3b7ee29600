/**
 * SR-IOV as the kernel does it: virtual functions appear and go when somebody writes how many there shall be (vfio.md
 * 2.12, 4.1).
 */
import {
  EBUSY,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSYS,
  ERANGE,
  isErrno,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Outcome } from '../../base/wait-queue.ts';
import {
  PCI_SRIOV_CTRL,
  PCI_SRIOV_CTRL_ARI,
  PCI_SRIOV_CTRL_MSE,
  PCI_SRIOV_CTRL_VFE,
  PCI_SRIOV_NUM_VF,
} from '../../uapi/pci-regs.ts';
import { ariEnabled } from './ari.ts';
import type { KernelDriver } from './driver-core.ts';
import { parseUnsigned } from './parameters.ts';
import type { PciDev } from './pci-dev.ts';

/** What it needs of the kernel's list of functions (PciDevices). */
export interface VirtualDevices {
  addVirtualFunctions(pf: PciDev, found: (pci: PciDev) => void): void;
  vfsOf(pf: PciDev): PciDev[];
  takenByOthers(pf: PciDev, count: number): string | undefined;
  remove(pci: PciDev): Outcome<Status>;
  bridgeAbove(pci: PciDev): PciDev | undefined;
}

const ON = PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE;

/**
 * Show `count` virtual functions, which `found` hears of before a driver does. For drivers.
 * ENOSYS: no SR-IOV; EINVAL: more than there can be, or there are some; EEXIST: another function is in the way.
 * @kernel pci_enable_sriov
 */
export function enableSriov(
  devices: VirtualDevices,
  pf: PciDev,
  count: number,
  found: (pci: PciDev) => void = () => undefined,
): Status {
  const { sriov } = pf;
  if (!sriov) return refuse(ENOSYS, 'the function has no SR-IOV', { device: pf.name });
  if (sriov.numVfs > 0 || count > sriov.totalVfs) {
    return refuse(EINVAL, 'virtual functions are there already, or too many are wanted', {
      wanted: count,
      there: sriov.numVfs,
      total: sriov.totalVfs,
    });
  }
  const taken = devices.takenByOthers(pf, count);
  if (taken !== undefined) {
    return refuse(EEXIST, 'another function answers where a virtual one would', { at: taken });
  }
  const { at } = sriov.hardware;
  const control = pf.fn.readConfig(at + PCI_SRIOV_CTRL, 2);
  pf.fn.writeConfig(at + PCI_SRIOV_NUM_VF, 2, count);
  const ari = ariEnabled(devices.bridgeAbove(pf)) ? PCI_SRIOV_CTRL_ARI : 0;
  pf.fn.writeConfig(at + PCI_SRIOV_CTRL, 2, control | ON | ari);
  sriov.numVfs = count;
  devices.addVirtualFunctions(pf, found);
  return undefined;
}

/**
 * They go. A WaitQueue: somebody still uses one; run again when woken.
 * @kernel pci_disable_sriov
 */
export function disableSriov(devices: VirtualDevices, pf: PciDev): Outcome<Status> {
  const { sriov } = pf;
  if (!sriov || sriov.numVfs === 0) return undefined;
  for (const vf of devices.vfsOf(pf)) {
    const rc = devices.remove(vf);
    if (rc) return rc;
  }
  const { at } = sriov.hardware;
  const control = pf.fn.readConfig(at + PCI_SRIOV_CTRL, 2);
  pf.fn.writeConfig(at + PCI_SRIOV_CTRL, 2, control & ~ON);
  pf.fn.writeConfig(at + PCI_SRIOV_NUM_VF, 2, 0);
  sriov.numVfs = 0;
  return undefined;
}

/**
 * Write to sriov_numvfs. EINVAL: no number; ERANGE: more than sriov_totalvfs; ENOENT: no driver that can do it; EBUSY:
 * another number of them is there; else what the driver says.
 * @kernel sriov_numvfs_store
 */
export function setNumVfs(
  pf: PciDev,
  driver: KernelDriver | undefined,
  text: string,
): Outcome<Status> {
  const wanted = parseUnsigned(text, 0xffff);
  if (isErrno(wanted)) return wanted;
  const { sriov, numVfs } = pf;
  const totalVfs = sriov?.totalVfs ?? 0;
  if (wanted > totalVfs) {
    return refuse(ERANGE, 'the function has fewer virtual ones', { wanted, totalVfs });
  }
  if (wanted === numVfs) return undefined;
  if (!driver?.hooks.sriovConfigure) {
    return refuse(ENOENT, 'no driver is bound that configures SR-IOV', { device: pf.name });
  }
  if (wanted > 0 && numVfs > 0) {
    return refuse(EBUSY, 'other virtual functions are there: write 0 first', { wanted, numVfs });
  }
  return driver.hooks.sriovConfigure(pf, wanted);
}
