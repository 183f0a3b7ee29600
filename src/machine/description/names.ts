/** Names a description uses: types of bridges, and drivers of the simulated kernel. */

/** Types of a device entry that are bridges; every other type is a device model. */
export const BRIDGE_TYPES = [
  'root-port',
  'upstream-port',
  'downstream-port',
  'pcie-to-pci-bridge',
  'pci-bridge',
] as const;
/** A kind of bridge in a description. */
export type BridgeType = (typeof BRIDGE_TYPES)[number];

/** Drivers of the simulated kernel that use the DMA API: while one is bound, its group is not viable. */
export const HOST_DRIVERS = ['ahci', 'e1000e', 'igb', 'nvme', 'snd_hda_intel', 'xhci_hcd'] as const;
/** Drivers that leave DMA alone, and no driver. */
export const PASSIVE_DRIVERS = ['vfio-pci', 'pci-stub', 'pcieport', 'none'] as const;
/** Every driver a device of a description can be bound to. */
export const DRIVER_NAMES: readonly string[] = [...PASSIVE_DRIVERS, ...HOST_DRIVERS];
