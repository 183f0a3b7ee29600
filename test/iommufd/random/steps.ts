/**
 * The table of everything a random program does, and random steps of it. `coverage.ts` says what the table must
 * have; a row is written with the helpers of `command.ts`.
 */
import fc from 'fast-check';
import type { Command, Step } from './command.ts';
import { FILE_COMMANDS } from './file-steps.ts';
import { HWPT_COMMANDS, QUEUE_COMMANDS } from './hwpt-steps.ts';
import { IOAS_COMMANDS } from './ioas-steps.ts';
import { TEST_COMMANDS } from './test-steps.ts';
import { CDEV_COMMANDS, COMPAT_COMMANDS, GROUP_COMMANDS } from './vfio-steps.ts';

/** What goes to /dev/iommu and to files it gives. */
export const MOCK_COMMANDS: readonly Command[] = [
  ...IOAS_COMMANDS,
  ...HWPT_COMMANDS,
  ...QUEUE_COMMANDS,
  ...TEST_COMMANDS,
  ...FILE_COMMANDS,
  ...COMPAT_COMMANDS,
];
export const COMMANDS: readonly Command[] = [...MOCK_COMMANDS, ...CDEV_COMMANDS, ...GROUP_COMMANDS];
const BY_NAME = new Map(COMMANDS.map((command) => [command.name, command]));

const PARTIAL = new Set(
  COMMANDS.filter(({ partial }) => partial !== undefined).map(({ cmd }) => cmd),
);

/** Does a row of this ioctl leave what was done before a failure? */
export function isPartialIoctl(cmd: number | undefined): boolean {
  return cmd !== undefined && PARTIAL.has(cmd);
}
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
const MORE_OFTEN = 8;

/** Turns with all commands, those of a name more often than others. */
export function turnsOf(commands: readonly Command[], often: RegExp): fc.Arbitrary<Turn> {
  const weighted = commands.map(({ name, weight, steps }) => ({
    weight: often.test(name) ? weight * MORE_OFTEN : weight,
    arbitrary: steps,
  }));
  return fc.record({ task: mostlyFirst, context: mostlyFirst, step: fc.oneof(...weighted) });
}
