/** A machine as plain data: what `softiommu topology` shows, for programs. */
import type { Machine } from '../../machine/machine.ts';
import type { PciSlot } from '../../machine/hardware/slot.ts';
import type { PciDev } from '../../machine/kernel/pci-dev.ts';

/** One function of the bus. */
export interface FunctionData {
  readonly address: string;
  readonly type: string;
  readonly vendor: number;
  readonly device: number;
  /** What it is behind; null: a root bus. */
  readonly behind: string | null;
  readonly physicalFunction: string | null;
  /** Null: none is bound. */
  readonly driver: string | null;
  readonly group: number | null;
  readonly iommu: string | null;
  /** It was taken out of the bus, and the kernel does not know it. */
  readonly removed: boolean;
}
/** A group that VFIO shows. */
export interface GroupData {
  /** Below /dev/vfio/. */
  readonly node: string;
  readonly devices: readonly { readonly address: string; readonly cdev: string }[];
  /** Why no program can take it; null: one can. */
  readonly obstacle: string | null;
}
/** All of it. */
export interface TopologyData {
  readonly v: 1;
  readonly iommus: readonly { readonly name: string; readonly summary: string }[];
  readonly functions: readonly FunctionData[];
  readonly groups: readonly GroupData[];
}

/** Functions in the order of the bus, those behind a bridge after it. */
export function topologyData(machine: Machine): TopologyData {
  return {
    v: 1,
    iommus: machine.hardware.iommus.map(({ name, summary }) => ({ name, summary })),
    functions: functionsBelow(machine, undefined),
    groups: groupsOf(machine),
  };
}
function functionsBelow(machine: Machine, above: PciSlot | undefined): FunctionData[] {
  return machine.hardware
    .childrenOf(above)
    .flatMap((slot) => [functionData(machine, slot, above), ...functionsBelow(machine, slot)]);
}
function functionData(machine: Machine, slot: PciSlot, above: PciSlot | undefined): FunctionData {
  const { vendor, device } = slot.fn.identity;
  return {
    address: slot.name,
    type: slot.description.type,
    vendor,
    device,
    behind: above?.name ?? null,
    physicalFunction: slot.physfn?.name ?? null,
    ...knownData(machine.pci.at(slot)),
  };
}
/** What the kernel makes of it. */
function knownData(
  pci: PciDev | undefined,
): Pick<FunctionData, 'driver' | 'group' | 'iommu' | 'removed'> {
  if (!pci) return { driver: null, group: null, iommu: null, removed: true };
  const { driver, dev } = pci;
  return {
    driver: driver?.name ?? null,
    group: dev.iommuGroup?.id ?? null,
    iommu: dev.iommu?.iommuDev?.name ?? null,
    removed: false,
  };
}

/** What a person wants to know before writing a program: may the group be taken, and where is it opened. */
export function groupsOf(machine: Machine): GroupData[] {
  return [...machine.vfio.groups()].map((group) => {
    const holder = machine.pci
      .devices()
      .find(
        (pci) => pci.dev.iommuGroup === group.iommuGroup && pci.driver?.driverManagedDma === false,
      );
    const bound = group.iommuGroup.devices.find((member) => member.dev.iommu?.requireDirect);
    return {
      node: group.nodeName,
      devices: group.devices.map(({ dev, cdevName }) => ({ address: dev.name, cdev: cdevName })),
      obstacle: holder
        ? `not viable: ${holder.name} is held by ${holder.driver!.name}`
        : bound
          ? `not to be owned: firmware wants direct mappings for ${bound.dev.name}`
          : null,
    };
  });
}
