/** What the cases of the device suite share: a device with its world, and how two of them are compared. */
import { withDefaults } from '../../base/options.ts';
import type { DeviceModel, DeviceOptions, DeviceType } from '../../devices/port.ts';
import type { FakePort } from './fake-port.ts';
import { insistEqual } from '../base/insist.ts';

/** Registers lie at the beginning of a BAR. */
export const LOOKED_AT = 0x100;
/** After it nothing is in progress. */
export const LONG_NS = 10e9;

/** A device and its world, as a driver has them. */
export interface DeviceRig {
  readonly device: DeviceModel;
  readonly port: FakePort;
}
/** What a driver does with a device that is as at power-on. */
export interface DeviceWorkload {
  readonly options?: DeviceOptions;
  /** Bytes of memory. Default 64 KiB. */
  readonly memory?: number;
  /** Memory that the device may touch, as halves-open ranges: [from, to]. */
  readonly reach: readonly (readonly [number, number])[];
  /** Members of its state, at any depth, that a reset leaves as they are, with the reason. */
  readonly outlives?: Readonly<Record<string, string>>;
  /** One after the other; time passes after each. They prepare memory themselves, and look at nothing. */
  readonly steps: readonly ((rig: DeviceRig) => void)[];
  /** After the last: throws unless everything is as it should be. */
  check(rig: DeviceRig): void;
}
/** Its BARs, with the options at their defaults. */
export function barsOf(
  type: DeviceType,
): readonly { readonly index: number; readonly size: number }[] {
  return type.identity(withDefaults(type.options, {})).bars;
}
/** Everything a program can load from the first bytes of each BAR. */
export function registersOf(type: DeviceType, device: DeviceModel): bigint[] {
  const out: bigint[] = [];
  for (const { index, size } of barsOf(type)) {
    for (let at = 0; at < Math.min(size, LOOKED_AT); at += 4) {
      out.push(device.mmioRead(index, at, 4));
      if (at % 8 === 0) out.push(device.mmioRead(index, at, 8));
    }
  }
  return out;
}
/** What programs load from shadow pages is what the device answers. */
export function insistShadowed(type: DeviceType, { device, port }: DeviceRig): void {
  const { bars } = type.identity(withDefaults(type.options, {}));
  for (const { index, shadow = [] } of bars) {
    for (const { offset, length } of shadow) {
      const kept = new BigUint64Array(length / 8);
      port.barMemory(index).read(offset, new Uint8Array(kept.buffer));
      const answers = kept.map((_, n) => device.mmioRead(index, offset + 8 * n, 8));
      insistEqual(kept, answers, `shadow pages of BAR ${index}`);
    }
  }
}
/** From now on, for a while, the two show the same. */
export function insistSameFuture(type: DeviceType, old: DeviceRig, fresh: DeviceRig): void {
  for (const { port } of [old, fresh]) port.messages.length = port.touched.length = 0;
  for (let n = 0; n < 5; n++) {
    for (const { port } of [old, fresh]) port.clock.advance(50e6);
    insistEqual(registersOf(type, fresh.device), registersOf(type, old.device), 'registers');
    insistEqual(fresh.port.messages, old.port.messages, 'messages');
    insistEqual(fresh.port.touched, old.port.touched, 'transfers');
    insistEqual(fresh.port.pin, old.port.pin, 'the pin');
  }
}
