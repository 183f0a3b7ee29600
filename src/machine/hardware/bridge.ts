/** Bridges of a description: what their configuration space says. They have no registers and no device model. */
import { Bug } from '../../base/bug.ts';
import type { PciIdentity } from '../../pci/identity.ts';
import { isBridge, parseAddress } from '../description/entries.ts';
import type { BridgeType } from '../description/names.ts';
import type { DeviceDescription } from '../description/description.ts';

/** Vendor and device as well-known emulated bridges have them. */
const BRIDGE_IDS: Readonly<Record<BridgeType, readonly [vendor: number, device: number]>> = {
  'root-port': [0x1b36, 0x000c],
  'upstream-port': [0x104c, 0x8232],
  'downstream-port': [0x104c, 0x8233],
  'pcie-to-pci-bridge': [0x1b36, 0x000e],
  'pci-bridge': [0x1b36, 0x0001],
};

/** The identity of a bridge, with its buses as the description numbers them. */
export function bridgeIdentity(description: DeviceDescription): PciIdentity {
  const { type } = description;
  if (!isBridge(type)) throw new Bug(`${description.at}: ${type} is no bridge and no known device`);
  const [vendor, device] = BRIDGE_IDS[type];
  return {
    vendor,
    device,
    revision: 0,
    classCode: 0x060400,
    bars: [],
    interruptPin: 0,
    bridge: {
      primary: parseAddress(description.at).bus,
      secondary: parseAddress(description.devices[0]!.at).bus,
      subordinate: highestBus(description),
    },
    ...(type !== 'pci-bridge' && { pcie: { flr: false, type } }),
    powerManagement: true,
  };
}

function highestBus(description: DeviceDescription): number {
  return Math.max(
    ...description.devices.map((d) => Math.max(parseAddress(d.at).bus, highestBus(d))),
  );
}
