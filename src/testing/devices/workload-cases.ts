/** A device at work: what its driver wants is done, and whatever happens to the work leaves the device usable. */
import type { SuiteCase } from '../base/suite-case.ts';
import type { DeviceType, ResetKind } from '../../devices/port.ts';
import { insist, insistEqual } from '../base/insist.ts';
import { plugInto } from './fake-port.ts';
import { insistSameFuture, LONG_NS, type DeviceRig, type DeviceWorkload } from './suite-rig.ts';

const RESETS: readonly ResetKind[] = ['flr', 'function', 'bus'];
/** Of a workload with many transfers the first are refused one by one, and so many of the others, at equal distances. */
const FIRST_REFUSED = 60;
const MORE_REFUSED = 60;
/** A step of time in the middle of work. */
const SHORT_NS = 500;
const SETTLE_NS = 1e9;

export function workloadCases(type: DeviceType, workload: DeviceWorkload): SuiteCase[] {
  return [
    { name: 'its work is done, in the memory it was given', run: () => isDone(type, workload) },
    { name: 'its work is done again after a reset', run: () => isDoneAgain(type, workload) },
    { name: 'nothing moves while bus mastering is off', run: () => withoutMaster(type, workload) },
    {
      name: 'after a refusal of any transfer a reset makes it work again',
      run: () => refusals(type, workload),
    },
    ...RESETS.map((kind) => ({
      name: `a reset (${kind}) in the middle of work ends it`,
      run: () => resetsInWork(type, workload, kind),
    })),
    {
      name: 'saved at any moment of its work it has the same future',
      run: () => saved(type, workload),
    },
  ];
}

function plugged(type: DeviceType, { options = {}, memory }: DeviceWorkload): DeviceRig {
  return plugInto(type, options, memory === undefined ? {} : { memory });
}
function settle({ port }: DeviceRig): void {
  port.clock.advance(SETTLE_NS);
}
function work(rig: DeviceRig, { steps }: DeviceWorkload): void {
  for (const step of steps) {
    step(rig);
    settle(rig);
  }
}

function isDone(type: DeviceType, workload: DeviceWorkload): void {
  const rig = plugged(type, workload);
  rig.port.hear = ({ what, at, length }) => {
    const isWithin = workload.reach.some(([from, to]) => at >= from && at + BigInt(length) <= to);
    insist(isWithin, `${what} of ${length} bytes at 0x${at.toString(16)}, out of reach`);
  };
  work(rig, workload);
  workload.check(rig);
}
function isDoneAgain(type: DeviceType, workload: DeviceWorkload): void {
  const rig = plugged(type, workload);
  work(rig, workload);
  startAgain(rig);
  work(rig, workload);
  workload.check(rig);
}
/** Memory, and everything that came out, as at first. */
function startAgain({ device, port }: DeviceRig): void {
  device.reset('flr');
  port.memory.fill(0);
  port.messages.length = port.touched.length = port.pages.length = 0;
  port.pin = false;
}
/** From the first step on, or from a later one whose work has just begun. */
function withoutMaster(type: DeviceType, workload: DeviceWorkload): void {
  for (let before = 0; before <= workload.steps.length; before++) {
    const rig = plugged(type, workload);
    work(rig, { ...workload, steps: workload.steps.slice(0, Math.max(0, before - 1)) });
    if (before > 0) workload.steps[before - 1]!(rig);
    rig.port.flip('busMaster', false);
    let moved = 0;
    rig.port.hear = (transfer) => (moved += transfer.moved.length);
    settle(rig);
    work(rig, { ...workload, steps: workload.steps.slice(before) });
    insistEqual(moved, 0, `bytes moved, off after step ${before}`);
    startAgain(rig);
    rig.port.flip('busMaster', true);
    rig.port.hear = undefined;
    work(rig, workload);
    workload.check(rig);
  }
}
function refusals(type: DeviceType, workload: DeviceWorkload): void {
  const good = plugged(type, workload);
  work(good, workload);
  const count = good.port.touched.length;
  const distance = Math.max(1, Math.ceil((count - FIRST_REFUSED) / MORE_REFUSED));
  for (let refused = 0; refused < count; refused += refused < FIRST_REFUSED ? 1 : distance) {
    const rig = plugged(type, workload);
    rig.port.refuses = (transfer) => transfer === refused;
    work(rig, workload);
    const most = 4 * count + 64;
    insist(
      rig.port.touched.length <= most,
      `transfer ${refused} refused: more than ${most} others`,
    );
    rig.port.refuses = undefined;
    startAgain(rig);
    work(rig, workload);
    workload.check(rig);
  }
}
function resetsInWork(type: DeviceType, workload: DeviceWorkload, kind: ResetKind): void {
  for (let count = 1; count <= workload.steps.length; count++) {
    for (const passes of [SHORT_NS, SETTLE_NS]) resetAfter(type, workload, kind, [count, passes]);
  }
}
/** So much time passes between the steps before the last; then nothing, or a little. */
function resetAfter(
  type: DeviceType,
  workload: DeviceWorkload,
  kind: ResetKind,
  [count, passesNs]: readonly [number, number],
): void {
  for (const lastNs of [0, SHORT_NS]) {
    const power = structuredClone(plugged(type, workload).device.state());
    const rig = plugged(type, workload);
    for (const step of workload.steps.slice(0, count)) {
      rig.port.clock.advance(passesNs);
      step(rig);
    }
    rig.port.clock.advance(lastNs);
    rig.device.reset(kind);
    const { port } = rig;
    const sent = port.messages.length;
    port.touched.length = 0;
    for (const { respond } of port.pages) respond(0);
    port.clock.advance(LONG_NS);
    const ends = (state: unknown): unknown => without(state, workload.outlives ?? {});
    const after = `after step ${count} and a reset`;
    insistEqual(ends(rig.device.state()), ends(power), `the state ${after}`);
    const seen = [port.touched, port.messages.length, port.pin];
    insistEqual(seen, [[], sent, false], `what came out ${after}`);
  }
}
/** A state without the members of these names, at any depth. */
function without(state: unknown, names: Readonly<Record<string, string>>): unknown {
  if (Array.isArray(state)) return state.map((part: unknown) => without(part, names));
  if (typeof state !== 'object' || state === null) return state;
  if (ArrayBuffer.isView(state) || state instanceof Map || state instanceof Set) return state;
  const kept = Object.entries(state).filter(([name]) => !Object.hasOwn(names, name));
  return Object.fromEntries(kept.map(([name, part]) => [name, without(part, names)]));
}
function saved(type: DeviceType, workload: DeviceWorkload): void {
  for (let count = 1; count <= workload.steps.length; count++) {
    for (const passes of [0, SHORT_NS, SETTLE_NS]) savedAfter(type, workload, count, passes);
  }
}
function savedAfter(
  type: DeviceType,
  workload: DeviceWorkload,
  count: number,
  passesNs: number,
): void {
  const old = plugged(type, workload);
  for (const step of workload.steps.slice(0, count - 1)) {
    step(old);
    settle(old);
  }
  workload.steps[count - 1]!(old);
  if (passesNs > 0) old.port.clock.advance(passesNs);
  const fresh = plugged(type, workload);
  fresh.port.memory.set(old.port.memory);
  fresh.port.pin = old.port.pin;
  let transfers = 0;
  fresh.port.hear = () => (transfers += 1);
  fresh.device.restore(structuredClone(old.device.state()));
  fresh.port.hear = undefined;
  insistEqual(transfers, 0, 'transfers of a device that is being restored');
  insistEqual(fresh.device.state(), old.device.state(), `the state after step ${count}`);
  const messages = [...old.port.messages];
  insistSameFuture(type, old, fresh);
  for (const rig of [old, fresh]) {
    rig.port.messages.unshift(...messages);
    settle(rig);
    for (const step of workload.steps.slice(count)) {
      step(rig);
      settle(rig);
    }
    workload.check(rig);
  }
  insistEqual(fresh.device.state(), old.device.state(), 'the state in the end');
}
