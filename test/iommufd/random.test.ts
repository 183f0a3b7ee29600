/**
 * Random commands, valid or not, in several contexts, with failures injected: never a Bug, never a leaked pin, never an
 * id skipped, and whatever fails leaves the state as it was.
 *
 * SOFTIOMMU_RANDOM_RUNS=N sets the number of commands of each test: millions for a night.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isErrno } from '../../src/base/errno.ts';
import { OpenFile } from '../../src/base/file.ts';
import { ioasAlloc, map, mockDomain } from './calls.ts';
import { Observer } from './random-state.ts';
import { step, type Step } from './random-steps.ts';
import { BUFFER, World, type Iommufd } from './world.ts';

const COMMANDS = Number(process.env['SOFTIOMMU_RANDOM_RUNS'] ?? 6000);
const LENGTH = 60;
const TIMEOUT = Math.max(60_000, COMMANDS * 20);
const PARAMETERS = { numRuns: Math.max(1, Math.ceil(COMMANDS / (LENGTH / 2))) };
/** Which of the three contexts a command goes to. Most go to one, so that its objects meet. */
const where = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constantFrom(1, 2));
const commands = fc.array(fc.tuple(where, step), { maxLength: LENGTH, size: 'max' });

/** Two programs, the first with two contexts. */
class Scene {
  readonly world = new World();
  readonly contexts: Iommufd[];
  readonly observer: Observer;
  readonly #ramUsed: number;
  /** Says at each point where something can fail whether it does. */
  fails: (() => boolean) | undefined;

  constructor() {
    const { world } = this;
    const first = world.task();
    this.contexts = [world.open(first), world.open(first), world.open()];
    this.observer = new Observer(world, this.contexts);
    this.#ramUsed = world.ram.used;
    const unlucky = () => this.fails?.() === true;
    for (const { task } of this.contexts) task.failing = unlucky;
    world.ram.failNext = unlucky;
  }

  /** A command, and everything that must hold after it. The result is false when it failed. */
  run(at: number, { run, partial }: Step): boolean {
    const fd = this.contexts[at]!;
    const { fails } = this;
    this.fails = undefined;
    const before = this.observer.digest();
    const result = this.observer.withLowestIds(fd, () => {
      this.fails = fails;
      const result = run(fd);
      this.fails = undefined;
      return result;
    });
    this.observer.checkPins();
    const failed = isErrno(result);
    if (failed && !partial) expect(this.observer.digest()).toBe(before);
    this.fails = fails;
    return !failed;
  }

  /** What a program does at its end: its files are closed. */
  close(): void {
    this.fails = undefined;
    for (const { task } of this.contexts) {
      for (const [number, file] of [...task.fds]) {
        if (file instanceof OpenFile) task.close(number);
      }
    }
    for (const fd of this.contexts) fd.close();
    expect(this.contexts.map((fd) => fd.file.released)).toEqual([true, true, true]);
    expect(this.world.frames.totalPins).toBe(0);
    expect(this.contexts.map((fd) => fd.task.mm.pinnedVm)).toEqual([0, 0, 0]);
    expect(this.world.ram.used).toBe(this.#ramUsed);
    expect(this.world.core.groups.size).toBe(0);
  }
}

test('random commands with random failures leave nothing behind', { timeout: TIMEOUT }, () => {
  fc.assert(
    fc.property(commands, fc.infiniteStream(fc.nat(40)), (steps, dice) => {
      const scene = new Scene();
      scene.fails = () => dice.next().value === 0;
      for (const [at, step] of steps) scene.run(at, step);
      scene.close();
    }),
    PARAMETERS,
  );
});

test('a command that fails at any point is undone, and then works', { timeout: TIMEOUT }, () => {
  let points = 0;
  fc.assert(
    fc.property(commands, (steps) => {
      const scene = new Scene();
      for (const [at, step] of steps) points += failEverywhere(scene, at, step);
      scene.close();
    }),
    { ...PARAMETERS, numRuns: Math.ceil(PARAMETERS.numRuns / 3) },
  );
  expect(points).toBeGreaterThan(0);
});

/** Let the first, second, … point of a command fail, until it gets through; the result is the number of points. */
function failEverywhere(scene: Scene, at: number, step: Step): number {
  for (let nth = 1; ; nth++) {
    let count = 0;
    scene.fails = () => ++count === nth;
    const worked = scene.run(at, step);
    scene.fails = undefined;
    if (worked || count < nth) return nth - 1;
  }
}

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
