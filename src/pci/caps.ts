/**
 * Capabilities as bytes with their write masks: what each one looks like at power-on, and which of its bits
 * software may change. Follows vfio.md 6.0 and the PCI registers of uapi/pci-regs.ts (PCIe 7.5.2
 * power management, 7.5.3 PCI Express, 7.7.1 MSI, 7.7.2 MSI-X, 7.9.4 vendor specific, 7.7.11 ACS, 7.8.8 ARI, 7.8.9 PASID, 9.3.3
 * SR-IOV, chapter 10 ATS and PRI).
 */
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VNDR,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_EXP_DEVCAP2,
  PCI_EXP_DEVCAP2_ARI,
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL2,
  PCI_EXP_DEVSTA,
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_ARI,
  PCI_EXT_CAP_ID_ATS,
  PCI_EXT_CAP_ID_PASID,
  PCI_EXT_CAP_ID_PRI,
  PCI_EXT_CAP_ID_SRIOV,
  PCI_EXT_CAP_SRIOV_SIZEOF,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_PM_CAP_D1,
  PCI_PM_CAP_D2,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_PME_STATUS,
  PCI_PM_PMC,
  PCI_SRIOV_BAR,
  PCI_SRIOV_CTRL,
  PCI_SRIOV_CTRL_ARI,
  PCI_SRIOV_CTRL_MSE,
  PCI_SRIOV_CTRL_VFE,
  PCI_SRIOV_INITIAL_VF,
  PCI_SRIOV_NUM_VF,
  PCI_SRIOV_SUP_PGSIZE,
  PCI_SRIOV_SYS_PGSIZE,
  PCI_SRIOV_TOTAL_VF,
  PCI_SRIOV_VF_DID,
  PCI_SRIOV_VF_OFFSET,
  PCI_SRIOV_VF_STRIDE,
} from '../uapi/pci-regs.ts';
import { barTypeBits, barWriteMask } from './bar-bits.ts';
import { WINDOW } from './config-window.ts';
import type { PciIdentity, PciePortType, SriovSpec } from './identity.ts';

/** One capability. `value`, `writable` and `clear` have the same length; a `clear` bit is reset by writing 1. */
export interface Capability {
  readonly id: number;
  /** Extended capabilities only. */
  readonly version?: number;
  readonly value: DataView;
  readonly writable: DataView;
  readonly clear: DataView;
}

function capability(id: number, length: number, version?: number): Capability {
  const blank = (): DataView => new DataView(new ArrayBuffer(length));
  return {
    id,
    ...(version === undefined ? {} : { version }),
    value: blank(),
    writable: blank(),
    clear: blank(),
  };
}

/** Capabilities of the first 256 bytes, in the order of their chain. */
export function standardCapabilities(pci: PciIdentity): Capability[] {
  const caps: Capability[] = [];
  if (pci.powerManagement) caps.push(powerManagement(pci.powerManagement));
  if (pci.msiVectors) caps.push(msi(pci.msiVectors, pci.msi64 ?? true));
  if (pci.msix) caps.push(msix(pci.msix));
  if (pci.pcie) caps.push(express(pci.pcie.type, pci.pcie.flr));
  for (const bytes of pci.vendorCapabilities ?? []) caps.push(vendorSpecific(bytes));
  if (pci.windowCapability !== undefined) caps.push(barWindow(pci.windowCapability));
  return caps;
}

/** Capabilities from 0x100 on; only a PCIe function has them. */
export function extendedCapabilities(pci: PciIdentity): Capability[] {
  const caps: Capability[] = [];
  if (!pci.pcie) return caps;
  if (pci.acs !== undefined) caps.push(acs(pci.acs));
  if (hasAri(pci)) caps.push(ari());
  if (pci.ats) caps.push(ats());
  if (pci.pri) caps.push(pri());
  if (pci.pasidBits) caps.push(pasid(pci.pasidBits));
  if (pci.sriov) caps.push(sriov(pci.sriov));
  return caps;
}

function powerManagement(states: NonNullable<PciIdentity['powerManagement']>): Capability {
  const has = (state: 'd1' | 'd2'): boolean => typeof states === 'object' && states[state] === true;
  const cap = capability(PCI_CAP_ID_PM, 8);
  const announced = (has('d1') ? PCI_PM_CAP_D1 : 0) | (has('d2') ? PCI_PM_CAP_D2 : 0);
  cap.value.setUint16(PCI_PM_PMC, 0x0003 | announced, true); // version 3, no PME
  cap.value.setUint16(PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, true);
  cap.writable.setUint16(PCI_PM_CTRL, 0x0003, true);
  cap.clear.setUint16(PCI_PM_CTRL, PCI_PM_CTRL_PME_STATUS, true);
  return cap;
}

function msi(vectors: number, wide: boolean): Capability {
  const cap = capability(PCI_CAP_ID_MSI, wide ? 14 : 10);
  const mmc = Math.log2(vectors);
  cap.value.setUint16(2, (wide ? PCI_MSI_FLAGS_64BIT : 0) | (mmc << 1), true);
  cap.writable.setUint16(2, 0x0071, true); //              enable, multiple message enable
  cap.writable.setUint32(4, 0xffff_fffc, true);
  if (wide) cap.writable.setUint32(8, 0xffff_ffff, true);
  cap.writable.setUint16(wide ? 12 : 8, 0xffff, true);
  return cap;
}

function msix(at: NonNullable<PciIdentity['msix']>): Capability {
  const cap = capability(PCI_CAP_ID_MSIX, 12);
  cap.value.setUint16(2, at.vectors - 1, true);
  cap.writable.setUint16(2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, true);
  cap.value.setUint32(4, at.tableOffset | at.bar, true);
  cap.value.setUint32(8, at.pbaOffset | at.bar, true);
  return cap;
}

function barWindow(type: number): Capability {
  const cap = capability(PCI_CAP_ID_VNDR, WINDOW.end);
  cap.value.setUint8(2, WINDOW.end);
  cap.value.setUint8(WINDOW.type, type);
  cap.writable.setUint8(WINDOW.bar, 0xff);
  for (const at of [WINDOW.offset, WINDOW.length, WINDOW.data])
    cap.writable.setUint32(at, 0xffff_ffff, true);
  return cap;
}

function vendorSpecific(bytes: Uint8Array): Capability {
  const length = 3 + bytes.length;
  const cap = capability(PCI_CAP_ID_VNDR, length);
  cap.value.setUint8(2, length);
  for (const [n, byte] of bytes.entries()) cap.value.setUint8(3 + n, byte);
  return cap;
}

const PORT_TYPE: Readonly<Record<PciePortType, number>> = {
  endpoint: 0,
  'legacy-endpoint': 1,
  'root-port': 4,
  'upstream-port': 5,
  'downstream-port': 6,
  'pcie-to-pci-bridge': 7,
  'rc-integrated': 9,
};

function express(type: PciePortType, flr: boolean): Capability {
  const integrated = type === 'rc-integrated';
  const cap = capability(PCI_CAP_ID_EXP, integrated ? 44 : 52);
  cap.value.setUint16(2, 2 | (PORT_TYPE[type] << 4), true);
  //                                                       128-byte payload, role-based error reporting
  cap.value.setUint32(PCI_EXP_DEVCAP, 0x8000 | (flr ? PCI_EXP_DEVCAP_FLR : 0), true);
  cap.value.setUint16(PCI_EXP_DEVCTL, 0x2810, true); //    512-byte reads, no snoop and relaxed ordering allowed
  cap.writable.setUint16(PCI_EXP_DEVCTL, 0x7fff, true); // the FLR bit always reads 0
  cap.clear.setUint16(PCI_EXP_DEVSTA, 0x000f, true);
  if (!integrated) {
    cap.value.setUint32(12, 0x0001_1c11, true); //         2.5 GT/s, x1, latencies
    cap.value.setUint16(18, 0x1011, true); //              link up, 2.5 GT/s, x1
    cap.writable.setUint16(16, 0x0fcb, true);
  }
  if (type === 'root-port' || type === 'downstream-port') {
    cap.value.setUint32(PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_ARI, true);
  }
  cap.writable.setUint16(PCI_EXP_DEVCTL2, 0x07ff, true);
  return cap;
}

function acs(bits: number): Capability {
  const cap = capability(PCI_EXT_CAP_ID_ACS, 8, 1);
  cap.value.setUint16(4, bits, true);
  cap.value.setUint16(6, bits & 0x1d, true); //            R plus translation rules as a kernel enables them
  cap.writable.setUint16(6, bits & 0x7f, true);
  return cap;
}

/** Functions that stand where there is no device number: a physical one with virtual ones, and these. */
function hasAri({ sriov: physical, ari: own }: PciIdentity): boolean {
  return physical !== undefined || own === true;
}
/** Of no group, and no next function: the virtual ones are found by SR-IOV. */
function ari(): Capability {
  return capability(PCI_EXT_CAP_ID_ARI, 8, 1);
}

function ats(): Capability {
  const cap = capability(PCI_EXT_CAP_ID_ATS, 8, 1);
  cap.value.setUint16(4, 0x0020, true); //                 page aligned requests, queue depth 32
  cap.writable.setUint16(6, 0x801f, true);
  return cap;
}

function pri(): Capability {
  const cap = capability(PCI_EXT_CAP_ID_PRI, 16, 1);
  cap.value.setUint16(6, 0x8100, true); //                 stopped, response PASID required
  cap.value.setUint32(8, 32, true);
  cap.writable.setUint16(4, 0x0003, true);
  cap.clear.setUint16(6, 0x0003, true);
  cap.writable.setUint32(12, 0xffff_ffff, true);
  return cap;
}

function pasid(width: number): Capability {
  const cap = capability(PCI_EXT_CAP_ID_PASID, 8, 1);
  cap.value.setUint16(4, (width << 8) | 0x0006, true); //  execute and privileged mode
  cap.writable.setUint16(6, 0x0007, true);
  return cap;
}

function sriov(spec: SriovSpec): Capability {
  const cap = capability(PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF, 1);
  const { value, writable } = cap;
  const control = PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI;
  writable.setUint16(PCI_SRIOV_CTRL, control, true);
  value.setUint16(PCI_SRIOV_INITIAL_VF, spec.totalVfs, true);
  value.setUint16(PCI_SRIOV_TOTAL_VF, spec.totalVfs, true);
  writable.setUint16(PCI_SRIOV_NUM_VF, 0xffff, true);
  value.setUint16(PCI_SRIOV_VF_OFFSET, spec.firstOffset, true);
  value.setUint16(PCI_SRIOV_VF_STRIDE, spec.stride, true);
  value.setUint16(PCI_SRIOV_VF_DID, spec.device, true);
  value.setUint32(PCI_SRIOV_SUP_PGSIZE, 0x0553, true); //   4 KiB, 8, 64, 256, 1 MiB, 4 MiB
  value.setUint32(PCI_SRIOV_SYS_PGSIZE, 0x0001, true); //   4 KiB
  writable.setUint32(PCI_SRIOV_SYS_PGSIZE, 0x0553, true);
  for (const bar of spec.bars) {
    const at = PCI_SRIOV_BAR + 4 * bar.index;
    const [low, high] = barWriteMask(bar);
    value.setUint32(at, barTypeBits(bar), true);
    writable.setUint32(at, low, true);
    if (bar.kind === 'mem64') writable.setUint32(at + 4, high, true);
  }
  return cap;
}
