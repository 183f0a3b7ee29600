/**
 * What a rule cannot say by itself: what is there instead, whose it is, and what to do. Each note knows one situation that
 * people ask about, and looks at the machine while it is as it was.
 */
import type { FaultEvent } from '../../base/events.ts';
import { hex } from '../../base/u64.ts';
import { IOMMU_WRITE } from '../../core/contract/domain.ts';
import type { Machine } from '../../machine/machine.ts';
import type { PciDev } from '../../machine/kernel/pci-dev.ts';
import { decisiveRefusal, type FailedCall, type TroubleEvent } from './trouble.ts';
import { neighbours, type Walk, type TableEntry } from './nearest.ts';

/** Sentences for people; undefined: it knows nothing of this event. */
export type Note = (event: TroubleEvent, machine: Machine) => readonly string[] | undefined;

const VFIO_DRIVER = 'vfio-pci';

/** By the rule a call broke. */
const BY_RULE: Readonly<Record<string, (call: FailedCall, machine: Machine) => readonly string[]>> =
  {
    'RLIMIT_MEMLOCK does not allow to pin so many pages': raiseMemlock,
    'RLIMIT_MEMLOCK is exceeded': raiseMemlock,
    'the group has an owner or is used by kernel drivers': groupOf,
    'the group has another owner or is used by kernel drivers': groupOf,
    'the container has no IOMMU type yet': orderOfContainer,
    'the container holds no group': orderOfContainer,
    'the group has no container': orderOfContainer,
    'no vfio driver holds a device of this group any more': groupOf,
    'interrupts are not isolated and allow_unsafe_interrupts is N': () => [
      'the unit has no interrupt remapping: intremap in the machine file, or the parameter allow_unsafe_interrupts of vfio_iommu_type1',
    ],
    'memory decode is off or the device sleeps': () => [
      'set bit 1 of the command register (offset 4 of the configuration space); a reset clears it',
    ],
  };
/** By why a transfer was stopped before it reached the IOMMU. */
const BY_STOP: Readonly<Record<string, string>> = {
  'bus mastering is off: the function may not start a transfer':
    'set bit 2 of the command register (offset 4 of the configuration space): drivers do when they enable the device, and a reset clears it',
  'the function sleeps: it starts no transfer below D0':
    'write D0 to its power management capability, or keep the device in use',
};
/** The rules that a note is known for. */
export const NOTED_RULES: readonly string[] = [...Object.keys(BY_RULE), ...Object.keys(BY_STOP)];

/** In the order they are shown. */
export const NOTES: readonly Note[] = [faultSurroundings, ofRule, ofStop, missingFile];

function ofRule(event: TroubleEvent, machine: Machine): readonly string[] | undefined {
  const refusal = event.kind === 'leave' ? decisiveRefusal(event) : undefined;
  // cast: an event with such a refusal is a failed call
  return refusal && BY_RULE[refusal.rule]?.(event as FailedCall, machine);
}
function ofStop(event: TroubleEvent): readonly string[] | undefined {
  const advice = event.kind === 'dma' && event.refusal ? BY_STOP[event.refusal.rule] : undefined;
  return advice === undefined ? undefined : [advice];
}

function raiseMemlock(): readonly string[] {
  return ['raise it with `ulimit -l` or `softiommu run --memlock SIZE`, or map less at once'];
}
function orderOfContainer(): readonly string[] {
  return [
    'the order is: VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, and only then mappings and devices',
  ];
}

/** What is mapped at and around the address of a fault. */
function faultSurroundings(event: TroubleEvent, machine: Machine): readonly string[] | undefined {
  if (event.kind !== 'fault') return undefined;
  const port = machine.pci.device(event.device.id)?.slot.dma;
  const { unit } = port ?? {};
  if (!port || !unit) return undefined;
  const walk: Walk = (iova) =>
    unit.explain(port.requesterId, event.pasid ?? -1, iova, event.write).walk;
  const there = walk(event.iova).at(-1);
  if (!there) return undefined;
  return [there.kind === 'leaf' ? rightsText(event, there) : surroundingsText(walk, event.iova)];
}
function rightsText({ iova, write }: FaultEvent, { prot = 0 }: TableEntry): string {
  const isWritable = (prot & IOMMU_WRITE) !== 0;
  if (write && !isWritable) return `${hex(iova)} is mapped for reading only, and the device writes`;
  return `${hex(iova)} is mapped now: it was mapped later, or what the IOMMU had cached was older`;
}
function surroundingsText(walk: Walk, iova: bigint): string {
  const { before, behind } = neighbours(walk, iova);
  const parts = [
    ...(before === undefined ? [] : [`the last mapped byte before it is ${hex(before)}`]),
    ...(behind === undefined ? [] : [`the first one behind it is ${hex(behind)}`]),
  ];
  const around = parts.length > 0 ? parts.join(', ') : 'nothing is mapped for this device at all';
  return `nothing is mapped at ${hex(iova)}: ${around}`;
}

/** Who else is in the group of a call's file, and which driver each has: what makes a group not viable. */
function groupOf({ file = '' }: FailedCall, machine: Machine): readonly string[] {
  const group = machine.pci.devices().find((pci) => isNamedBy(file, pci))?.dev.iommuGroup;
  if (!group) return [];
  return machine.pci
    .devices()
    .filter(({ dev }) => dev.iommuGroup === group)
    .map(({ name, driver }) => {
      const bound = driver ? `is bound to ${driver.name}` : 'has no driver';
      return `${name} of group ${group.id} ${bound}`;
    });
}
function isNamedBy(file: string, { name, dev }: PciDev): boolean {
  return file.includes(name) || file === `/dev/vfio/${dev.iommuGroup?.id}`;
}

/** Of a file of VFIO or a device that is not there: which ones are. */
function missingFile(event: TroubleEvent, machine: Machine): readonly string[] | undefined {
  if (event.kind !== 'leave' || event.result.name !== 'ENOENT' || event.command) return undefined;
  const { file = '' } = event;
  if (/^\/dev\/vfio\/((noiommu-)?\d+|devices\/.*)$/.test(file)) return [groupsText(machine)];
  if (/\/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](\/|$)/.test(file))
    return [devicesText(machine)];
  return undefined;
}
function groupsText(machine: Machine): string {
  const usable = machine.pci.devices().filter(({ driver }) => driver?.name === VFIO_DRIVER);
  if (usable.length === 0) return `no device is bound to ${VFIO_DRIVER}, so there is no group file`;
  const list = usable.map(({ name, dev }) => `${name} in group ${dev.iommuGroup?.id ?? 'none'}`);
  return `bound to ${VFIO_DRIVER}: ${list.join(', ')}`;
}
function devicesText(machine: Machine): string {
  const names = machine.pci.devices().map(({ name }) => name);
  return `the devices of this machine: ${names.join(', ')}`;
}
