/**
 * A device at work keeps nobody waiting: what one access or one turn does is bounded, whatever its memory is, and what its
 * own transfers ring is not done inside of them.
 */
import type { DeviceModel, DeviceType } from '../../devices/port.ts';
import { TURN_WORK } from '../../devices/unit/turn-budget.ts';
import { insist } from '../base/insist.ts';
import type { SuiteCase } from '../base/suite-case.ts';
import { plugInto } from './fake-port.ts';
import type { DeviceRig, DeviceWorkload } from './suite-rig.ts';

/**
 * Work of one access, or of all that is due at one time: of two engines, each with a step that began with little left, the
 * ring it reads and the answers it writes, and of frames that are heard together.
 */
const MOST_WORK = 8 * TURN_WORK;
/** Turns of one step of a workload. */
const MOST_TURNS = 100_000;
/** A device rings itself so often. */
const RINGS = 200;

export function turnCases(type: DeviceType, workload: DeviceWorkload): SuiteCase[] {
  return [
    {
      name: 'no turn does much, where all memory is as slow as registers',
      run: () => turnsAreShort(type, workload),
    },
    {
      name: 'what its own transfers ring is not done inside of them, and ends',
      run: () => ringsItself(type, workload),
    },
  ];
}

function plugged(type: DeviceType, { options = {}, memory }: DeviceWorkload): DeviceRig {
  return plugInto(type, options, memory === undefined ? {} : { memory });
}
/** Turn by turn, until nothing is left. */
function runOut({ port }: DeviceRig, during: (run: () => void) => void): void {
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const next = port.clock.nextDeadlineNs;
    if (next === undefined) return;
    during(() => port.clock.advanceOnceTo(next));
  }
  insist(false, `more than ${MOST_TURNS} turns`);
}
/** The device, each of its calls made by `call`. */
function through(device: DeviceModel, call: <T>(name: string, run: () => T) => T): DeviceModel {
  return new Proxy(device, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) =>
        call(String(name), (): unknown => Reflect.apply(value, target, args));
    },
  });
}

function turnsAreShort(type: DeviceType, workload: DeviceWorkload): void {
  const rig = plugged(type, workload);
  const { port } = rig;
  port.isDear = true;
  const bounded = <T>(run: () => T): T => {
    const before = port.dma.work;
    const result = run();
    const work = port.dma.work - before;
    insist(work <= MOST_WORK, `work of ${work} in one turn, more than ${MOST_WORK}`);
    return result;
  };
  const device = through(rig.device, (_name, run) => bounded(run));
  for (const step of workload.steps) {
    step({ device, port });
    runOut(rig, bounded);
  }
  workload.check(rig);
}

function ringsItself(type: DeviceType, workload: DeviceWorkload): void {
  const rig = plugged(type, workload);
  const { port } = rig;
  let ring: (() => void) | undefined;
  let [rings, depth] = [0, 0];
  port.hear = () => {
    insist(depth === 0, 'a transfer inside of one that has rung');
    if (!ring || rings === RINGS) return;
    rings++;
    depth++;
    ring();
    depth--;
  };
  const device = through(rig.device, (name, run) => {
    if (name.startsWith('mmioWrite')) ring = run;
    return run();
  });
  for (const step of workload.steps) {
    step({ device, port });
    runOut(rig, (run) => run());
  }
}
