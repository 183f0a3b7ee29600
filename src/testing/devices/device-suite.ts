/**
 * What every device model keeps, as cases with names: for the models that come with softiommu and for those of users.
 * It needs no test runner: a case throws where the model is wrong.
 *
 * What a model does is only seen while somebody drives it: a workload is a driver of a few lines. Random register
 * programs drive it as a program does that has gone astray.
 */
import type { SuiteCase } from '../base/suite-case.ts';
import type { DeviceModel, DeviceType, ResetKind } from '../../devices/port.ts';
import { powerOnValue, type RegisterSpec } from '../../devices/unit/registers.ts';
import { plugInto } from './fake-port.ts';
import { randomProgramCase } from './random-registers.ts';
import { insist, insistEqual } from '../base/insist.ts';
import {
  barsOf,
  insistSameFuture,
  LONG_NS,
  LOOKED_AT,
  registersOf,
  type DeviceWorkload,
} from './suite-rig.ts';
import { turnCases } from './turn-cases.ts';
import { workloadCases } from './workload-cases.ts';

/** What is known of a type besides what it declares. */
export interface DeviceSuiteOptions {
  readonly workload?: DeviceWorkload;
  /** Random register programs. Default 1000. */
  readonly programs?: number;
  /** Bits of registers that need not have their declared value at power-on, with the reason. */
  readonly live?: Readonly<Record<string, LiveBits>>;
  readonly seed?: number;
}

/** Bits of a register that follow something else, and what. */
export interface LiveBits {
  readonly bits: number | bigint;
  readonly why: string;
}

const RESETS: readonly ResetKind[] = ['flr', 'function', 'bus'];
/** All cases for a type. */
export function deviceCases(type: DeviceType, options: DeviceSuiteOptions = {}): SuiteCase[] {
  return [
    { name: 'two devices are equal at power-on', run: () => equalAtPowerOn(type) },
    {
      name: 'registers have their declared values at power-on',
      run: () => declaredValues(type, options.live ?? {}),
    },
    { name: 'two halves are one register', run: () => halves(type) },
    { name: 'two stores of halves are one store', run: () => storedHalves(type) },
    { name: 'a load gives no more than its width', run: () => widths(type) },
    ...RESETS.map((kind) => ({
      name: `a reset (${kind}) brings back power-on and stops what was in progress`,
      run: () => resets(type, kind),
    })),
    { name: 'a state is a copy that can be cloned', run: () => stateIsCopy(type) },
    { name: 'a restored state has the same future', run: () => sameFuture(type) },
    randomProgramCase(type, options.programs ?? 1000, options.seed ?? 1),
    ...(options.workload ? workloadCases(type, options.workload) : []),
    ...(options.workload ? turnCases(type, options.workload) : []),
  ];
}

/** Every register at its places, with the number of its element. */
function* placesOf(type: DeviceType): Generator<[bar: number, name: string, spec: RegisterSpec]> {
  for (const { bar, table } of type.registers ?? []) {
    for (const [name, spec] of Object.entries(table)) yield [bar, name, spec];
  }
}
/** A different value into every place that takes one. */
function scribble(type: DeviceType, device: DeviceModel): void {
  let value = 1n;
  for (const { index, size } of barsOf(type)) {
    for (let at = 0; at < Math.min(size, LOOKED_AT); at += 4) {
      device.mmioWrite(index, at, 4, (value += 2n));
    }
  }
}

function equalAtPowerOn(type: DeviceType): void {
  const [a, b] = [plugInto(type), plugInto(type)];
  insistEqual(a.device.state(), b.device.state(), 'states');
  insistEqual(registersOf(type, a.device), registersOf(type, b.device), 'registers');
  insistEqual([a.port.touched, a.port.messages, a.port.pin], [[], [], false], 'what came out');
}
function declaredValues(type: DeviceType, live: Readonly<Record<string, LiveBits>>): void {
  for (const [bar, name, spec] of placesOf(type)) {
    const { offset, width, stride = width, count = 1 } = spec;
    if (spec.reset === undefined || spec.access === 'wo') continue;
    const { device } = plugInto(type);
    const fixed = ~BigInt(live[name]?.bits ?? 0);
    for (let index = 0; index < count; index++) {
      const value = device.mmioRead(bar, offset + index * stride, width) & fixed;
      insistEqual(value, powerOnValue(spec, index) & fixed, `${name}[${index}] at power-on`);
    }
  }
}
/** A register of 8 bytes that answers its halves at all answers as one. */
function halves(type: DeviceType): void {
  for (const [bar, name, { offset, width, access }] of placesOf(type)) {
    if (width !== 8 || access === 'wo') continue;
    const { device } = plugInto(type);
    const whole = device.mmioRead(bar, offset, 8);
    const fresh = plugInto(type).device;
    const [low, high] = [fresh.mmioRead(bar, offset, 4), fresh.mmioRead(bar, offset + 4, 4)];
    if (high === 0xffff_ffffn && whole >> 32n !== high) continue; // no half is there
    insistEqual(low | (high << 32n), whole, `halves of ${name}`);
  }
}
/** A register of 8 bytes that takes its halves at all becomes the same by them as by one store, in either order. */
function storedHalves(type: DeviceType): void {
  for (const [bar, name, { offset, width, access }] of placesOf(type)) {
    if (width !== 8 || access !== 'rw') continue;
    const storing = (
      ...stores: readonly (readonly [at: number, width: number, value: bigint])[]
    ) => {
      const { device } = plugInto(type);
      for (const [at, bytes, value] of stores) device.mmioWrite(bar, offset + at, bytes, value);
      return [device.state(), device.mmioRead(bar, offset, 8)];
    };
    const [low, high] = [0x1234_5000n, 0x9n];
    const halves = [[0, 4, low] as const, [4, 4, high] as const];
    const untouched = storing();
    if (storing(halves[1]!)[1] === untouched[1]) continue; // no half is there
    const whole = storing([0, 8, low | (high << 32n)]);
    insistEqual(storing(...halves), whole, `${name} stored low half first`);
    insistEqual(storing(...halves.toReversed()), whole, `${name} stored high half first`);
  }
}
function widths(type: DeviceType): void {
  const { device } = plugInto(type);
  for (const { index, size } of barsOf(type)) {
    for (let at = 0; at < Math.min(size, 0x1000); at += 8) {
      for (const width of [1, 2, 4, 8]) {
        const value = device.mmioRead(index, at, width);
        const fits = value >= 0n && value < 1n << BigInt(8 * width);
        insist(fits, `${width} bytes at ${at} of BAR ${index} read ${value}`);
      }
    }
  }
}
function resets(type: DeviceType, kind: ResetKind): void {
  const { device, port } = plugInto(type);
  const before = [device.state(), registersOf(type, device)];
  device.reset(kind); //                      loads may have changed something
  const state = structuredClone(device.state());
  scribble(type, device);
  const sent = port.messages.length;
  port.touched.length = 0;
  device.reset(kind);
  port.clock.advance(LONG_NS);
  insistEqual(device.state(), state, 'the state');
  insistEqual([device.state(), registersOf(type, device)], before, 'the registers');
  insistEqual([port.messages.length, port.touched, port.pin], [sent, [], false], 'what came out');
}
function stateIsCopy(type: DeviceType): void {
  const { device } = plugInto(type);
  const before = device.state();
  const kept = structuredClone(before);
  scribble(type, device);
  insistEqual(before, kept, 'a state, after the device went on');
}
function sameFuture(type: DeviceType): void {
  const old = plugInto(type);
  scribble(type, old.device);
  old.port.clock.advance(1_000);
  const fresh = plugInto(type);
  fresh.port.memory.set(old.port.memory);
  fresh.device.restore(structuredClone(old.device.state()));
  insistEqual(fresh.device.state(), old.device.state(), 'the state');
  insistSameFuture(type, old, fresh);
}
