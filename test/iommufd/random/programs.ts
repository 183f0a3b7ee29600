/**
 * Random commands, valid or not, of several programs in several contexts, with failures injected: never a Bug or a kernel
 * warning, never a leaked pin, never an id skipped, and whatever fails leaves the state as it was. With the mock's devices
 * (mock.test.ts), and with VT-d's beside them (vfio.test.ts): two files, for they take as long as all other tests.
 *
 * SOFTIOMMU_RANDOM_RUNS=N sets the number of commands of both files together: millions for a night.
 * SOFTIOMMU_RANDOM_SEED=N repeats a run, SOFTIOMMU_RANDOM_SEED=new makes one that was never made.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEED } from '../../random-seed.ts';
import type { Command, Step } from './command.ts';
import type { Coverage } from './coverage.ts';
import type { UnitName } from './hardware.ts';
import type { Prelude } from './preludes.ts';
import { Scene } from './scene.ts';
import { turnsOf, type Turn } from './steps.ts';

/** What programs are made of. */
export interface Kind {
  /** Units with devices of VFIO behind them; undefined: none of both. */
  readonly units: readonly (UnitName | undefined)[];
  readonly commands: readonly Command[];
  readonly preludes: readonly Prelude[];
}

const COMMANDS_WANTED = Number(process.env['SOFTIOMMU_RANDOM_RUNS'] ?? 400_000);
/** Commands of both files together with one seed. */
const BATCH = 100_000;
const LENGTH = 80;
/** Commands a program makes on the average. */
const MEAN = LENGTH / 2 + 5;
const TIMEOUT = Math.max(300_000, COMMANDS_WANTED * 20);

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

/** The two tests of a kind; `coverage` hears of every command. */
export function testRandomPrograms(what: string, kind: Kind, coverage: Coverage): void {
  test(`${what}: random failures leave nothing behind`, { timeout: TIMEOUT }, () => {
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
  });

  test(`${what}: a failure at any point is undone`, { timeout: TIMEOUT }, () => {
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
}

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
