/**
 * The table of everything a random program does, and random steps of it. `random-coverage.ts` says what the table must
 * have; a row is written with the helpers of `random-command.ts`.
 */
import fc from 'fast-check';
import type { Command, Step } from './random-command.ts';
import { FILE_COMMANDS } from './random-file-steps.ts';
import { HWPT_COMMANDS, QUEUE_COMMANDS } from './random-hwpt-steps.ts';
import { IOAS_COMMANDS } from './random-ioas-steps.ts';
import { TEST_COMMANDS } from './random-test-steps.ts';
import { CDEV_COMMANDS, COMPAT_COMMANDS } from './random-vfio-steps.ts';

/** What goes to /dev/iommu and to files it gives. */
const MOCK_COMMANDS: readonly Command[] = [
  ...IOAS_COMMANDS,
  ...HWPT_COMMANDS,
  ...QUEUE_COMMANDS,
  ...TEST_COMMANDS,
  ...FILE_COMMANDS,
  ...COMPAT_COMMANDS,
];
export const COMMANDS: readonly Command[] = [...MOCK_COMMANDS, ...CDEV_COMMANDS];
const BY_NAME = new Map(COMMANDS.map((command) => [command.name, command]));

export function commandOf(step: Step): Command {
  return BY_NAME.get(step.name)!;
}

/** A step and where it goes: which of the programs makes it, on which of its contexts. */
export interface Turn {
  readonly task: number;
  readonly context: number;
  readonly step: Step;
}

/** Most turns are of one program on one context, so that its objects meet. */
const mostlyFirst = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.nat(3) },
);
function turns(commands: readonly Command[]): fc.Arbitrary<Turn> {
  const step = fc.oneof(...commands.map(({ weight, steps }) => ({ weight, arbitrary: steps })));
  return fc.record({ task: mostlyFirst, context: mostlyFirst, step });
}
export const mockTurn = turns(MOCK_COMMANDS);
export const everyTurn = turns([...MOCK_COMMANDS, ...CDEV_COMMANDS, ...CDEV_COMMANDS]);

const first = (pick: 'IOAS' | 'DEVICE' | 'VIOMMU' | 'nest parent') => ({ pick, n: 0 }) as const;
const at = (page: number) => 0x100_0000n + BigInt(page) * 0x1000n;
const memory = (page: number) => 0x4000_0000n + BigInt(page) * 0x1000n;
const map = (page: number): Step => ({
  name: 'IOMMU_IOAS_MAP',
  values: {
    flags: 7,
    ioas_id: first('IOAS'),
    user_va: memory(page),
    length: 0x2000n,
    iova: at(page),
  },
});

/** How many a program begins: it builds up to a nested hwpt with all its queues. */
export const PRELUDE: readonly Step[] = [
  { name: 'IOMMU_IOAS_ALLOC', values: {} },
  {
    name: 'IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS',
    values: { on: first('IOAS'), dev_flags: 4 },
  },
  map(0),
  {
    name: 'IOMMU_HWPT_ALLOC',
    values: { flags: 1, dev_id: first('DEVICE'), pt_id: first('IOAS') },
  },
  {
    name: 'IOMMU_VIOMMU_ALLOC',
    values: { type: 0xdeadbeef, dev_id: first('DEVICE'), hwpt_id: first('nest parent') },
  },
  {
    name: 'IOMMU_VDEVICE_ALLOC',
    values: { viommu_id: first('VIOMMU'), dev_id: first('DEVICE'), virt_id: 1n },
  },
  { name: 'IOMMU_FAULT_QUEUE_ALLOC', values: {} },
  {
    name: 'IOMMU_VEVENTQ_ALLOC',
    values: { viommu_id: first('VIOMMU'), type: 0xbeefbeef, veventq_depth: 2 },
  },
  {
    name: 'IOMMU_HWPT_ALLOC with data',
    values: {
      flags: 4,
      dev_id: first('DEVICE'),
      pt_id: first('VIOMMU'),
      data_type: 0xdead,
      data_len: 8,
      data_uptr: 0x20_0000n,
      fault_id: { pick: 'FAULT', n: 0 },
    },
    data: [7, 0],
  },
  {
    name: 'IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE',
    values: { on: { pick: 'SELFTEST', n: 0 }, pt_id: { pick: 'HWPT_NESTED', n: 0 } },
  },
];
/** The same for a device of VFIO. */
export const CDEV_PRELUDE: readonly Step[] = [
  { name: 'IOMMU_IOAS_ALLOC', values: {} },
  { name: 'open of a cdev', values: { n: 0 } },
  {
    name: 'VFIO_DEVICE_BIND_IOMMUFD',
    values: { fd: { pick: 'cdev fd', n: 0 }, iommufd: { pick: 'iommufd', n: 0 } },
  },
  map(0),
  {
    name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    values: { fd: { pick: 'cdev fd', n: 0 }, pt_id: first('IOAS') },
  },
  map(4),
  {
    name: 'IOMMU_HWPT_ALLOC',
    values: { flags: 1, dev_id: first('DEVICE'), pt_id: first('IOAS') },
  },
];
