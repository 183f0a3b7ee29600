/** What every device model keeps: values of power-on, resets that bring them back, states that have a future. */
import { describe, expect, test } from 'vitest';
import { DEVICE_TYPES, withDefaults } from '../../src/devices/index.ts';
import type { DeviceModel, DeviceType, ResetKind } from '../../src/devices/port.ts';
import { plugInto } from '../../src/testing/index.ts';

const TYPES = [...DEVICE_TYPES.values()];
const RESETS: readonly ResetKind[] = ['flr', 'function', 'bus'];
/** Registers lie at the beginning of a BAR. */
const LOOKED_AT = 0x100;

/** Everything a program can load from the first bytes of each BAR. */
function registersOf(type: DeviceType, device: DeviceModel): bigint[] {
  const out: bigint[] = [];
  for (const bar of type.identity(withDefaults(type.options, {})).bars) {
    for (let at = 0; at < Math.min(bar.size, LOOKED_AT); at += 4) {
      out.push(device.mmioRead(bar.index, at, 4));
      if (at % 8 === 0) out.push(device.mmioRead(bar.index, at, 8));
    }
  }
  return out;
}
/** A different value into every place that takes one. */
function scribble(type: DeviceType, device: DeviceModel): void {
  let value = 1n;
  for (const bar of type.identity(withDefaults(type.options, {})).bars) {
    for (let at = 0; at < Math.min(bar.size, LOOKED_AT); at += 4) {
      device.mmioWrite(bar.index, at, 4, (value += 2n));
    }
  }
}

describe.for(TYPES.map((type) => [type.type, type] as const))('%s', ([, type]) => {
  test('two devices are equal at power-on', () => {
    const [a, b] = [plugInto(type), plugInto(type)];
    expect(registersOf(type, a.device)).toEqual(registersOf(type, b.device));
    expect(a.device.state()).toEqual(b.device.state());
    expect([a.port.touched, a.port.messages, a.port.pin]).toEqual([[], [], false]);
  });
  test.for(RESETS)('a reset (%s) brings back power-on and stops what was in progress', (kind) => {
    const { device, port } = plugInto(type);
    const first = registersOf(type, device);
    const state = device.state();
    scribble(type, device);
    expect(device.state()).not.toEqual(state);
    const sent = port.messages.length;
    device.reset(kind);
    port.clock.advance(10e9);
    expect(registersOf(type, device)).toEqual(first);
    expect(device.state()).toEqual(state);
    expect([port.touched, port.messages.length, port.pin]).toEqual([[], sent, false]);
  });
  test('a state is a copy', () => {
    const { device } = plugInto(type);
    const before = device.state();
    const kept = structuredClone(before);
    scribble(type, device);
    expect(before).toEqual(kept);
  });
  test('a restored state has the same future', () => {
    const old = plugInto(type);
    scribble(type, old.device);
    old.port.clock.advance(1_000);
    const fresh = plugInto(type);
    fresh.device.restore(structuredClone(old.device.state()));
    expect(fresh.device.state()).toEqual(old.device.state());
    const sent = old.port.messages.length;
    for (let n = 0; n < 5; n++) {
      for (const { port } of [old, fresh]) port.clock.advance(50e6);
      expect(registersOf(type, fresh.device)).toEqual(registersOf(type, old.device));
      expect(fresh.port.messages).toEqual(old.port.messages.slice(sent));
      expect(fresh.port.touched).toEqual(old.port.touched);
      expect(fresh.port.pin).toBe(old.port.pin);
    }
  });
  test('what no register answers reads all ones or zero, and never more than its width', () => {
    const { device } = plugInto(type);
    for (const width of [1, 2, 4, 8]) {
      expect(device.mmioRead(0, 0x40, width)).toBeLessThan(1n << BigInt(8 * width));
    }
  });
});
