/**
 * What a rule cannot say by itself: what is there instead, whose it is, and what to do. Each note knows one situation that
 * people ask about, and looks at the machine while it is as it was.
 */
import type { Facts } from '../../base/refuse.ts';
import type { Machine } from '../../machine/machine.ts';
import type { PciDev } from '../../machine/kernel/pci-dev.ts';
import { faultSurroundings } from './fault-surroundings.ts';
import { devicesText, missingFile } from './missing-file.ts';
import type { MappingOrigins } from './origins.ts';
import { pulledOut } from './pulled-out.ts';
import type { Switch, Switches } from './switches.ts';
import { decisiveRefusal, isFailedCall, type FailedCall, type TroubleEvent } from './trouble.ts';

/** What notes look at. */
export interface NoteSources {
  readonly machine: Machine;
  readonly switches: Switches;
  /** In a run that keeps them. */
  readonly origins: MappingOrigins | undefined;
}
/** Sentences for people; undefined: it knows nothing of this event. */
export type Note = (event: TroubleEvent, around: NoteSources) => readonly string[] | undefined;

/** By the rule a call broke. */
const BY_RULE: Readonly<
  Record<string, (call: FailedCall, around: NoteSources, facts: Facts) => readonly string[]>
> = {
  'RLIMIT_MEMLOCK does not allow to pin so many pages': raiseMemlock,
  'RLIMIT_MEMLOCK is exceeded': raiseMemlock,
  'the group has an owner or is used by kernel drivers': groupOf,
  'the group has another owner or is used by kernel drivers': groupOf,
  'the container has no IOMMU type yet': orderOfContainer,
  'the container holds no group': orderOfContainer,
  'the group has no container': orderOfContainer,
  'no vfio driver holds a device of this group any more': groupOf,
  'the group has no device of this name': groupOf,
  'no such PCI device': (_call, { machine }) => [devicesText(machine)],
  'the range overlaps a mapping': whereFrom,
  'the IOVA range meets a mapping': whereFrom,
  'the group is open already': () => [
    'one open file is all a group has: use that descriptor, or close it, and the device files that came from it',
  ],
  'the group of the device is open': oneWay,
  'a device of the group is in use through its cdev': oneWay,
  'DMA without an IOMMU needs CAP_SYS_RAWIO': () => [
    'without an IOMMU a device can reach all memory: run the program as root',
  ],
  'the firmware wants direct mappings for the device, so it cannot be blocked': () => [
    'its reserved regions of kind direct (RMRR) are in iommu_groups/N/reserved_regions; such a device cannot be given to a program',
  ],
  'interrupts are not isolated and allow_unsafe_interrupts is N': () => [
    'the unit has no interrupt remapping: intremap in the machine file, or the parameter allow_unsafe_interrupts of vfio_iommu_type1',
  ],
  'memory decode is off or the device sleeps': (_call, { switches }, { device }) =>
    answering(switches, String(device)),
};
/** By why a touch of registers is a SIGBUS. */
const BY_OBSTACLE: Readonly<Record<string, RegisterSwitch>> = {
  'memory decode of the device is off': 'memory decode',
  'the device sleeps': 'power',
};
/** By why a transfer was stopped before it reached the IOMMU. */
const BY_STOP: Readonly<Record<string, { readonly off: Switch; readonly advice: string }>> = {
  'bus mastering is off: the function may not start a transfer': {
    off: 'bus mastering',
    advice:
      'set bit 2 of the command register (offset 4 of the configuration space): drivers do when they enable the device, and a reset clears it',
  },
  'the function sleeps: it starts no transfer below D0': {
    off: 'power',
    advice: 'write D0 to its power management capability, or keep the device in use',
  },
};
/** What registers do not answer without, and what to do. */
const REGISTERS_NEED = {
  'memory decode': 'set bit 1 of the command register (offset 4 of the configuration space)',
  power: 'write D0 to its power management capability',
} as const satisfies Readonly<Partial<Record<Switch, string>>>;
type RegisterSwitch = keyof typeof REGISTERS_NEED;
/** The rules that a note is known for. */
export const NOTED_RULES: readonly string[] = [BY_RULE, BY_OBSTACLE, BY_STOP].flatMap(Object.keys);

/** In the order they are shown. */
export const NOTES: readonly Note[] = [
  ...[faultSurroundings, ofRule, ofStop, ofObstacle],
  ...[missingFile, pulledOut],
];

function ofRule(event: TroubleEvent, around: NoteSources): readonly string[] | undefined {
  if (!isFailedCall(event)) return undefined;
  const refusal = decisiveRefusal(event);
  return refusal && BY_RULE[refusal.rule]?.(event, around, refusal.facts);
}
function ofStop(event: TroubleEvent, { switches }: NoteSources): readonly string[] | undefined {
  const known = event.kind === 'dma' && event.refusal ? BY_STOP[event.refusal.rule] : undefined;
  if (event.kind !== 'dma' || !known) return undefined;
  return [...who(switches, event.device.id, known.off), known.advice];
}
function ofObstacle(event: TroubleEvent, { switches }: NoteSources): readonly string[] | undefined {
  const off = event.kind === 'signal' && event.why ? BY_OBSTACLE[event.why.rule] : undefined;
  if (event.kind !== 'signal' || !off) return undefined;
  return [...who(switches, event.device ?? '', off), REGISTERS_NEED[off]];
}
/** Of a device whose registers do not answer, for one of two reasons, or for both. */
function answering(switches: Switches, device: string): readonly string[] {
  // cast: the keys of the record
  return (Object.keys(REGISTERS_NEED) as RegisterSwitch[])
    .filter((what) => switches.isOff(device, what))
    .flatMap((what) => [...who(switches, device, what), REGISTERS_NEED[what]]);
}
function who(switches: Switches, device: string, what: Switch): readonly string[] {
  const text = switches.whoSwitchedOff(device, what);
  return text === undefined ? [] : [text];
}

const KIB_PER_PAGE = 4;
/** How much is charged to whom, and what is needed. */
function raiseMemlock(
  { pid }: FailedCall,
  _around: NoteSources,
  { pinned, wanted, limit, uid }: Facts,
): readonly string[] {
  const [charged, more, allowed] = [pinned, wanted, limit].map(
    (pages) => Number(pages) * KIB_PER_PAGE,
  );
  const whose = uid === undefined ? `process ${pid}` : `user ${uid}`;
  const needed = charged! + more!;
  return [
    `${charged} KiB are charged to ${whose} already, and ${more} KiB more are to be: ${needed} KiB are needed, ${allowed} KiB are allowed`,
    `raise the limit with \`ulimit -l ${needed}\` or \`softiommu run --memlock ${needed}K\`, or map less at once`,
  ];
}
function oneWay(): readonly string[] {
  return ['a device is used through its group or through its cdev, not both at a time'];
}
function orderOfContainer(): readonly string[] {
  return [
    'the order is: VFIO_GROUP_SET_CONTAINER, VFIO_SET_IOMMU, and only then mappings and devices',
  ];
}

/** Where the mapping comes from that is there already. */
function whereFrom(call: FailedCall, { origins }: NoteSources): readonly string[] {
  if (!origins) return ['`softiommu run --explain` says where it was mapped'];
  const text = origins.metBy(call);
  return text === undefined ? [] : [text];
}

/** Who else is in the group of a call's file, and which driver each has: what makes a group not viable. */
function groupOf({ file = '', device }: FailedCall, { machine }: NoteSources): readonly string[] {
  const isOf = ({ name, dev }: PciDev): boolean =>
    name === device || file.includes(name) || file === `/dev/vfio/${dev.iommuGroup?.id}`;
  const group = machine.pci.devices().find(isOf)?.dev.iommuGroup;
  if (!group) return [];
  return machine.pci
    .devices()
    .filter(({ dev }) => dev.iommuGroup === group)
    .map(({ name, driver }) => {
      const bound = driver ? `is bound to ${driver.name}` : 'has no driver';
      return `${name} of group ${group.id} ${bound}`;
    });
}
