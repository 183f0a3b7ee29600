import { expect, test } from 'vitest';
import { Clock } from '../../base/clock.ts';
import { Pump } from './pump.ts';

/** A pump with so many steps to do, each of which moves so many bytes. */
function steps(count: number, bytes = 0) {
  const clock = new Clock();
  const seen = { left: count };
  const pump = new Pump(clock, () => (seen.left > 0 ? (seen.left--, bytes) : undefined));
  return { clock, seen, pump };
}

test('a few steps are done at once', () => {
  const { pump, seen } = steps(10);
  pump.run();
  expect([seen.left, pump.leftNs]).toEqual([0, undefined]);
});
test.for([
  [0, 64],
  [100, 64],
  [0x1_0000, 4],
  [0x10_0000, 1],
])('of steps that move %i bytes, %i are done in a tick', ([bytes, inTick]) => {
  const { pump, seen, clock } = steps(1000, bytes);
  pump.run();
  expect(1000 - seen.left).toBe(inTick);
  pump.run(); //                     has to wait for the tick
  expect(1000 - seen.left).toBe(inTick);
  clock.advanceOnceTo(0);
  expect(1000 - seen.left).toBe(2 * inTick!);
  clock.advance(0);
  expect([seen.left, pump.leftNs]).toEqual([0, undefined]);
});
test('what is cancelled is not gone on with, and what is restored is', () => {
  const { pump, seen, clock } = steps(100);
  pump.run();
  const { leftNs } = pump;
  pump.cancel();
  clock.advance(1);
  expect(seen.left).toBe(36);
  pump.restore(leftNs);
  clock.advance(0);
  expect(seen.left).toBe(0);
});
test('a step that asks for more is not run inside itself', () => {
  const clock = new Clock();
  const order: string[] = [];
  const pump: Pump = new Pump(clock, () => {
    if (order.length >= 4) return undefined;
    order.push('begin');
    pump.run();
    order.push('end');
    return 0;
  });
  pump.run();
  expect(order).toEqual(['begin', 'end', 'begin', 'end']);
});
