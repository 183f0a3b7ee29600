/**
 * Alternative routing-ID: behind a port that can, the device number of the link is a part of the function number, so that
 * one device has up to 256 functions (PCIe 6.13).
 */
import {
  PCI_CAP_ID_EXP,
  PCI_EXP_DEVCAP2,
  PCI_EXP_DEVCAP2_ARI,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVCTL2_ARI,
  PCI_EXT_CAP_ID_ARI,
} from '../../uapi/pci-regs.ts';
import type { PciDev } from './pci-dev.ts';

/** Function 0 of a link was found: the port above forwards by function number if both can. @kernel pci_configure_ari */
export function configureAri(pci: PciDev, port: PciDev | undefined): void {
  if (!port || pci.fn.devfn !== 0 || !pci.fn.identity.pcie) return;
  const express = port.fn.config.capability(PCI_CAP_ID_EXP);
  if (express === 0) return;
  const can = port.fn.readConfig(express + PCI_EXP_DEVCAP2, 4) & PCI_EXP_DEVCAP2_ARI;
  const wanted = can !== 0 && pci.fn.config.extendedCapability(PCI_EXT_CAP_ID_ARI) !== 0;
  const at = express + PCI_EXP_DEVCTL2;
  const others = port.fn.readConfig(at, 2) & ~PCI_EXP_DEVCTL2_ARI;
  port.fn.writeConfig(at, 2, wanted ? others | PCI_EXP_DEVCTL2_ARI : others);
}

/** Is the bus behind this port one of functions alone? Root buses are not. @kernel pci_ari_enabled */
export function ariEnabled(port: PciDev | undefined): boolean {
  const express = port?.fn.config.capability(PCI_CAP_ID_EXP) ?? 0;
  return (
    express !== 0 && (port!.fn.readConfig(express + PCI_EXP_DEVCTL2, 2) & PCI_EXP_DEVCTL2_ARI) !== 0
  );
}
