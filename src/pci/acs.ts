/**
 * Access control services: can two functions reach each other without passing the IOMMU? (core.md 2.3; PCIe 6.12,
 * 7.7.11)
 */
import type { PciFunction, PciFunctionType } from './topology.ts';

/** Bits of the ACS capability and control registers. */
export const PCI_ACS_SV = 0x01;
export const PCI_ACS_TB = 0x02;
export const PCI_ACS_RR = 0x04;
export const PCI_ACS_CR = 0x08;
export const PCI_ACS_UF = 0x10;
export const PCI_ACS_EC = 0x20;
export const PCI_ACS_DT = 0x40;

/** What isolation asks for: source validation, request and completion redirect, upstream forwarding. */
export const REQ_ACS_FLAGS = PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF;

/** @kernel pci_acs_enabled */
export function acsEnabled(fn: PciFunction, flags: number): boolean {
  if (fn.config.acsQuirk !== undefined) return fn.config.acsQuirk === 'enabled';
  switch (ACS_RULES[fn.type]) {
    case 'never':
      return false;
    case 'register':
      return acsFlagsEnabled(fn, flags);
    case 'unless-alone':
      return !fn.multifunction || acsFlagsEnabled(fn, flags);
  }
}

/** How each kind of function answers: never isolated, by its register, or isolated when it has no sibling. */
const ACS_RULES: Readonly<Record<PciFunctionType, 'never' | 'register' | 'unless-alone'>> = {
  pci: 'never',
  'pci-bridge': 'never',
  'pcie-to-pci-bridge': 'never',
  'pci-to-pcie-bridge': 'never',
  'rc-event-collector': 'never',
  'root-port': 'register',
  'downstream-port': 'register',
  'upstream-port': 'unless-alone',
  endpoint: 'unless-alone',
  'legacy-endpoint': 'unless-alone',
  'rc-integrated': 'unless-alone',
};

/** A flag the capability does not offer counts as wired on, except egress control. */
function acsFlagsEnabled(fn: PciFunction, flags: number): boolean {
  if (fn.acs === undefined) return false;
  const asked = flags & (fn.acs.capability | PCI_ACS_EC);
  return (fn.acs.control & asked) === asked;
}

/** The function and every bridge above it up to the root bus. @kernel pci_acs_path_enabled */
export function acsPathEnabled(start: PciFunction, flags: number): boolean {
  let fn: PciFunction | undefined = start;
  for (;;) {
    if (!acsEnabled(fn, flags)) return false;
    if (fn.bus.isRoot) return true;
    fn = fn.bus.bridge ?? bridgeAbove(fn);
    if (fn === undefined) return true;
  }
}

/** A bus of VFs has no bridge of its own: the one of the nearest bus above that has one. */
function bridgeAbove(fn: PciFunction): PciFunction | undefined {
  let bus = fn.bus.parent;
  while (bus !== undefined && bus.bridge === undefined) bus = bus.parent;
  return bus?.bridge;
}
