/**
 * Random commands, valid or not, of several programs in several contexts, with failures injected: never a Bug or a kernel
 * warning, never a leaked pin, never an id skipped, and whatever fails leaves the state as it was. With the mock's devices,
 * and with VT-d's beside them.
 *
 * SOFTIOMMU_RANDOM_RUNS=N sets the number of commands of all tests together: millions for a night.
 * SOFTIOMMU_RANDOM_SEED=N repeats a run, SOFTIOMMU_RANDOM_SEED=new makes one that was never made.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IOCTLS } from '../../../src/iommufd/main.ts';
import * as selftest from '../../../src/uapi/iommufd-test.ts';
import * as vfio from '../../../src/uapi/vfio.ts';
import { isErrno } from '../../../src/base/errno.ts';
import { ioasAlloc, map, mockDomain } from '../../../src/testing/iommufd/calls.ts';
import { Coverage } from './coverage.ts';
import { UNIT_NAMES, type UnitName } from './hardware.ts';
import { Scene } from './scene.ts';
import type { Command, Step } from './command.ts';
import { PRELUDES, type Prelude } from './preludes.ts';
import { COMMANDS, MOCK_COMMANDS, turnsOf, type Turn } from './steps.ts';
import { SEED } from '../../random-seed.ts';
import { BUFFER } from '../../../src/testing/iommufd/process.ts';
import { World } from '../../../src/testing/iommufd/world.ts';

const COMMANDS_WANTED = Number(process.env['SOFTIOMMU_RANDOM_RUNS'] ?? 400_000);
/** Commands of all tests together with one seed. */
const BATCH = 100_000;
const LENGTH = 80;
/** Commands a program makes on the average. */
const MEAN = LENGTH / 2 + 5;
const TIMEOUT = Math.max(300_000, COMMANDS_WANTED * 20);
const coverage = new Coverage();

interface Program {
  readonly unit: UnitName | undefined;
  /** What it begins with, and how much of that. */
  readonly prelude: readonly Step[];
  readonly turns: readonly Turn[];
}
/** A prelude, mostly all of it, and what follows. */
function programs({ units, preludes, commands }: Kind): fc.Arbitrary<Program> {
  const length = fc.oneof({ weight: 3, arbitrary: fc.constant(99) }, fc.nat(8));
  return fc.oneof(
    ...preludes.map(({ steps, then }) =>
      fc.record({
        unit: fc.constantFrom(...units),
        prelude: length.map((upTo) => steps.slice(0, upTo)),
        turns: fc.array(turnsOf(commands, then), { maxLength: LENGTH, size: 'max' }),
      }),
    ),
  );
}
/**
 * So many programs that a share of the commands is made. They come in batches with a seed each, for fast-check tries
 * small and extreme values mostly in the first thousand runs of a seed.
 */
function check<Ts>(property: fc.IProperty<Ts>, share: number): void {
  for (let left = COMMANDS_WANTED, seed = SEED; left > 0; left -= BATCH, seed++) {
    const commands = share * Math.min(left, BATCH);
    fc.assert(property, { seed, numRuns: Math.max(1, Math.ceil(commands / MEAN)) });
  }
}
function preludeOf({ prelude }: Program): Turn[] {
  return prelude.map((step) => ({ task: 0, context: 0, step }));
}

interface Kind {
  /** Units with devices of VFIO behind them; undefined: none of both. */
  readonly units: readonly (UnitName | undefined)[];
  readonly commands: readonly Command[];
  readonly preludes: readonly Prelude[];
}
const KINDS: readonly (readonly [string, Kind])[] = [
  ['mock devices', { units: [undefined], commands: MOCK_COMMANDS, preludes: PRELUDES.mock }],
  [
    'devices of VFIO and mock ones',
    {
      units: ['scalable', 'scalable', ...UNIT_NAMES],
      commands: COMMANDS,
      preludes: PRELUDES.everything,
    },
  ],
];

test.each(KINDS)(
  '%s: random failures leave nothing behind',
  { timeout: TIMEOUT },
  (_what, kind) => {
    check(
      fc.property(programs(kind), fc.infiniteStream(fc.nat(60)), (program, dice) => {
        const scene = new Scene(coverage, program.unit);
        for (const turn of preludeOf(program)) scene.run(turn);
        scene.fails = () => dice.next().value === 0;
        for (const turn of program.turns) scene.run(turn);
        scene.close();
      }),
      0.4,
    );
  },
);

test.each(KINDS)('%s: a failure at any point is undone', { timeout: TIMEOUT }, (_what, kind) => {
  let points = 0;
  check(
    fc.property(programs(kind), (program) => {
      const scene = new Scene(coverage, program.unit);
      for (const turn of [...preludeOf(program), ...program.turns])
        points += failEverywhere(scene, turn);
      scene.close();
    }),
    0.08,
  );
  expect(points).toBeGreaterThan(0);
});

/** Let the first, second, … point of a step fail, until it gets through; the result is the number of points. */
function failEverywhere(scene: Scene, turn: Turn): number {
  for (let nth = 1; ; nth++) {
    let count = 0;
    scene.fails = () => ++count === nth;
    const worked = scene.run(turn);
    scene.fails = undefined;
    if (worked === true || count < nth) return nth - 1;
  }
}

test('every prelude gets where it wants to', () => {
  for (const { steps } of PRELUDES.everything) {
    const scene = new Scene(new Coverage(), 'scalable');
    for (const step of steps) {
      expect([step.name, scene.run({ task: 0, context: 0, step })]).toEqual([step.name, true]);
    }
    scene.close();
  }
});

test('every command is among the random ones, has worked and has failed', () => {
  if (process.env['SOFTIOMMU_RANDOM_SHOW']) console.log(`seed ${SEED}, ${coverage.toString()}`);
  const numbers = new Set(COMMANDS.map(({ cmd }) => cmd));
  const names = new Set(COMMANDS.map(({ name }) => name));
  const ioctls = IOCTLS.map(({ command }) => command).filter((cmd) => cmd !== 0x3ba0);
  expect(ioctls.filter((cmd) => !numbers.has(cmd))).toEqual([]);
  const operations = Object.keys(selftest).filter((name) => name.startsWith('IOMMU_TEST_OP_'));
  const ofVfio = Object.keys(vfio).filter((name) =>
    /^VFIO_(GET_API|CHECK_EXT|SET_IOMMU|IOMMU_(GET_INFO|(UN)?MAP_DMA|DIRTY_PAGES)|DEVICE_\w+_IOMMUFD|GROUP_(GET|SET|UNSET))(?!.*_FLAG)/.test(
      name,
    ),
  );
  expect([...operations, ...ofVfio].filter((name) => !names.has(name))).toEqual([]);
  expect(coverage.missing(COMMANDS)).toEqual([]);
});

test('a failure at any point of a map or attach leaves the same ids free', () => {
  for (let nth = 1; ; nth++) {
    const world = new World();
    const fd = world.open();
    let count = 0;
    ioasAlloc(fd);
    fd.task.failing = () => ++count === nth;
    const mapped = map(fd, 1, BUFFER, 0x4000n, 0x100_0000n);
    const made = mockDomain(fd, 1);
    const failed = [mapped, made].some(isErrno);
    fd.task.failing = undefined;
    if (isErrno(made)) expect(mockDomain(fd, 1)).toMatchObject({ stdev: 2, idev: 3, hwpt: 4 });
    fd.close();
    expect(world.frames.totalPins).toBe(0);
    if (!failed) {
      expect(nth).toBeGreaterThan(3);
      return;
    }
  }
});
