/** What a row of the table of random commands is, and the ways to write one. */
import fc from 'fast-check';
import { EBADF, isErrno } from '../../../src/base/errno.ts';
import type { Fields, Struct } from '../../../src/base/struct.ts';
import { WaitQueue } from '../../../src/base/wait-queue.ts';
import { iommu_test_cmd, IOMMU_TEST_CMD } from '../../../src/uapi/iommufd-test.ts';
import type { Caller, Value, Values } from './picks.ts';
import type { Scene } from './scene.ts';
import { ARRAY } from '../../../src/testing/iommufd/process.ts';
import { Iommufd, type CallFlaws, type World } from '../../../src/testing/iommufd/world.ts';

/** A command with everything that was left to chance: plain data, so that fast-check can print and shrink it. */
export interface Step {
  readonly name: string;
  readonly values: Values;
  /** Words at ARRAY. */
  readonly data?: readonly number[];
  readonly flaws?: CallFlaws;
}

/** The step does not apply: the program has no /dev/iommu open. */
export const SKIPPED = Symbol('skipped');

export interface Command {
  /** As in the uapi, where it is there. */
  readonly name: string;
  /** The ioctl, for those that are one. */
  readonly cmd?: number;
  readonly weight: number;
  readonly steps: fc.Arbitrary<Step>;
  /** An errno when it failed. */
  readonly run: (caller: Caller, step: Step, scene: Scene) => unknown;
  /** Why what was done before a failure stays done. */
  readonly partial?: string;
  /** Why it stays done when only the answer could not be written. */
  readonly unanswered?: string;
  /** Why it never works, or never fails. */
  readonly always?: Always;
}
export interface Always {
  readonly fails?: string;
  readonly works?: string;
}

export interface Extras extends Pick<Command, 'partial' | 'unanswered' | 'always'> {
  readonly weight?: number;
  readonly data?: fc.Arbitrary<readonly number[]>;
}
type Generated = Readonly<Record<string, fc.Arbitrary<Value>>>;
/** A command with a struct: its fields that are not left at 0. */
interface StructRow<F extends Fields> extends Extras {
  readonly name: string;
  readonly cmd: number;
  readonly layout: Struct<F>;
  readonly fields: Generated;
}

const NO_FLAWS: CallFlaws = {};
/** Sizes around those of all structs, and of none. */
const size = fc.constantFrom(0, 4, 8, 12, 16, 24, 39, 40, 48, 68, 71, 73, 100, 0xffff_ffff);
const flip = fc.record({ word: fc.nat(17), bit: fc.nat(31) });
const badly: fc.Arbitrary<CallFlaws> = fc.oneof(
  fc.record({ size }),
  fc.record({ size: fc.constant(100), tail: fc.nat(1) }),
  fc.record({ flip }),
  fc.record({ place: fc.constantFrom('edge', 'torn', 'nowhere') }),
  // What was done must be undone when its answer cannot be written.
  fc.record({ place: fc.constant('read-only') }),
);
/** How a struct is given: well, 14 times of 15. */
const flaws: fc.Arbitrary<CallFlaws> = fc.oneof(
  { weight: 14, arbitrary: fc.constant(NO_FLAWS) },
  { weight: 1, arbitrary: badly },
);
const NO_DATA: fc.Arbitrary<readonly number[]> = fc.constant([]);

function stepsOf({
  name,
  fields,
  data = NO_DATA,
}: Omit<StructRow<Fields>, 'cmd' | 'layout'>): fc.Arbitrary<Step> {
  return fc.record({ name: fc.constant(name), values: fc.record(fields), flaws, data });
}
function row(name: string, extras: Extras): Omit<Command, 'steps' | 'run'> {
  const { weight = 2, partial, unanswered, always } = extras;
  return {
    name,
    weight,
    ...(partial !== undefined && { partial }),
    ...(unanswered !== undefined && { unanswered }),
    ...(always !== undefined && { always }),
  };
}

/** Words where the structs point to, and the struct as the step gives it. */
function prepare(caller: Caller, step: Step): void {
  caller.fd!.flaws = step.flaws ?? NO_FLAWS;
  if (step.data && step.data.length > 0) {
    void caller.task.mem.write(ARRAY, new Uint8Array(Uint32Array.from(step.data).buffer));
  }
}

/** A command of /dev/iommu with a struct. */
export function structCommand<F extends Fields>(given: StructRow<F>): Command {
  const { name, cmd, layout } = given;
  return {
    ...row(name, given),
    cmd,
    steps: stepsOf(given),
    run(caller, step) {
      if (!caller.fd) return SKIPPED;
      const values = caller.resolve(step.values);
      prepare(caller, step);
      return caller.fd.call(cmd, layout, values as never);
    },
  };
}

/**
 * An operation of IOMMU_TEST_CMD: `on` is the id of the command, the other fields are of its member of the union, which
 * is `layout`.
 */
export function testCommand<F extends Fields>(
  given: Omit<StructRow<F>, 'cmd'> & { readonly op: number },
): Command {
  const { name, op, layout } = given;
  return {
    ...row(name, given),
    steps: stepsOf(given),
    run(caller, step) {
      if (!caller.fd) return SKIPPED;
      const { on = 0, ...values } = caller.resolve(step.values);
      const u = layout.view(new Uint8Array(48));
      for (const [field, value] of Object.entries(values)) {
        (u as unknown as Record<string, unknown>)[field] = value;
      }
      prepare(caller, step);
      const cmd = { op, id: Number(on) >>> 0, u: u.bytes };
      return caller.fd.call(IOMMU_TEST_CMD, iommu_test_cmd, cmd);
    },
  };
}

/** A command with a struct of another file: `fd` says of which. */
export function fileCommand<F extends Fields>(given: StructRow<F>): Command {
  const { name, cmd, layout } = given;
  return {
    ...row(name, given),
    steps: stepsOf(given),
    run(caller, step, { world }) {
      const { fd, ...values } = caller.resolve(step.values);
      const file = caller.openFile(Number(fd));
      if (!file?.ops.ioctl) return EBADF;
      const iommufd = new Iommufd(world, caller.task, file);
      iommufd.flaws = step.flaws ?? NO_FLAWS;
      return calledBy(caller, world, () => iommufd.call(cmd, layout, values as never));
    },
  };
}
/** The host says whose call fails; on the way through VFIO nobody else does. */
export function calledBy(caller: Caller, { env }: World, call: () => unknown): unknown {
  const result = env.runAs(caller.task, call);
  return result instanceof WaitQueue ? SKIPPED : result;
}

/** A command of /dev/iommu with a plain argument. */
export function plainCommand(
  name: string,
  cmd: number,
  arg: fc.Arbitrary<bigint>,
  extras: Extras = {},
): Command {
  return {
    ...row(name, extras),
    cmd,
    steps: fc.record({ name: fc.constant(name), values: fc.record({ arg }) }),
    run: (caller, { values }) =>
      caller.fd ? caller.fd.ioctl(cmd, values['arg'] as bigint) : SKIPPED,
  };
}

/** Anything else: resolved values in, an errno or something else out. */
export function otherCommand(
  name: string,
  fields: Generated,
  run: (caller: Caller, values: Record<string, number | bigint>, scene: Scene) => unknown,
  extras: Extras = {},
): Command {
  return {
    ...row(name, extras),
    steps: fc.record({ name: fc.constant(name), values: fc.record(fields) }),
    run: (caller, step, scene) => run(caller, caller.resolve(step.values), scene),
  };
}

/** What came of a command. */
export function didFail(result: unknown): boolean {
  return isErrno(result);
}
