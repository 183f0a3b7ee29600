/** A machine as a tree for people, after `lspci -tv`: every function with its driver, group and IOMMU. */
import type { Machine } from '../../machine/machine.ts';
import type { PciSlot } from '../../machine/hardware/slot.ts';
import { groupsOf } from './topology-data.ts';

/** The whole text, with a line feed at its end. */
export function describeTree(machine: Machine): string {
  return [...iommuLines(machine), ...busLines(machine), ...groupLines(machine)].join('\n') + '\n';
}

function iommuLines(machine: Machine): string[] {
  const { iommus } = machine.hardware;
  if (iommus.length === 0) return ['no IOMMU: addresses on the bus are physical', ''];
  return [...iommus.map(({ name, summary }) => `${name}: ${summary}`), ''];
}

function busLines(machine: Machine): string[] {
  const roots = machine.hardware.childrenOf(undefined);
  if (roots.length === 0) return ['no devices'];
  const buses = new Set(roots.map(({ name }) => name.slice(0, 7)));
  return [...buses].flatMap((bus) => [
    `-[${bus}]`,
    ...branchLines(
      machine,
      roots.filter(({ name }) => name.startsWith(bus)),
      ' ',
    ),
  ]);
}

function branchLines(machine: Machine, slots: readonly PciSlot[], indent: string): string[] {
  return slots.flatMap((slot, n) => {
    const last = n === slots.length - 1;
    const line = `${indent}${last ? '└─' : '├─'}${functionText(machine, slot)}`;
    const below = machine.hardware.childrenOf(slot);
    return [line, ...branchLines(machine, below, `${indent}${last ? '  ' : '│ '}`)];
  });
}

function functionText(machine: Machine, slot: PciSlot): string {
  const { identity } = slot.fn;
  const pci = machine.pci.at(slot);
  const hex = (n: number): string => n.toString(16).padStart(4, '0');
  const parts = [
    `${slot.name} ${slot.description.type} [${hex(identity.vendor)}:${hex(identity.device)}]`,
    slot.physfn && `virtual function of ${slot.physfn.name}`,
    pci ? `driver ${pci.driver?.name ?? 'none'}` : 'removed',
    pci?.dev.iommuGroup ? `group ${pci.dev.iommuGroup.id}` : 'no group',
    pci?.dev.iommu?.iommuDev?.name,
  ];
  return parts.filter(Boolean).join(', ');
}

function groupLines(machine: Machine): string[] {
  const lines = groupsOf(machine).map(({ node, devices, obstacle }) => {
    const names = devices.map(({ address, cdev }) => `${address} (${cdev})`);
    return `/dev/vfio/${node}: ${names.join(', ')}: ${obstacle ?? 'viable'}`;
  });
  return lines.length > 0 ? ['', ...lines] : [];
}
