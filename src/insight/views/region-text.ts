/** Where a read or write of a VFIO device goes: a region, and of its configuration space the register (vfio.md 2.2, 2.11). */
import { hex } from '../../base/u64.ts';
import { regionName } from '../../uapi/field-names.ts';
import * as pci from '../../uapi/pci-regs.ts';
import { VFIO_PCI_CONFIG_REGION_INDEX } from '../../uapi/vfio.ts';

/** A region begins at its index, shifted by this. */
const REGION_SHIFT = 40n;
const BARS = 6;

/** Registers every type 0 header has, by name; those of capabilities lie elsewhere in each device. */
const CONFIG_REGISTERS = [
  'PCI_VENDOR_ID',
  'PCI_DEVICE_ID',
  'PCI_COMMAND',
  'PCI_STATUS',
  'PCI_CLASS_REVISION',
  'PCI_CACHE_LINE_SIZE',
  'PCI_LATENCY_TIMER',
  'PCI_HEADER_TYPE',
  'PCI_BIST',
  'PCI_CARDBUS_CIS',
  'PCI_SUBSYSTEM_VENDOR_ID',
  'PCI_SUBSYSTEM_ID',
  'PCI_ROM_ADDRESS',
  'PCI_CAPABILITY_LIST',
  'PCI_INTERRUPT_LINE',
  'PCI_INTERRUPT_PIN',
] as const;
const NAMES = new Map<number, string>([
  ...CONFIG_REGISTERS.map((name): [number, string] => [pci[name], name]),
  ...Array.from({ length: BARS }, (_, n): [number, string] => [
    pci.PCI_BASE_ADDRESS_0 + 4 * n,
    `PCI_BASE_ADDRESS_${n}`,
  ]),
]);

/** 'VFIO_PCI_CONFIG_REGION_INDEX+0x4 PCI_COMMAND' */
export function regionPlace(position: bigint): string {
  const region = Number(position >> REGION_SHIFT);
  const offset = Number(BigInt.asUintN(Number(REGION_SHIFT), position));
  const register = region === VFIO_PCI_CONFIG_REGION_INDEX ? NAMES.get(offset) : undefined;
  return `${regionName(region)}+${hex(offset)}${register === undefined ? '' : ` ${register}`}`;
}
