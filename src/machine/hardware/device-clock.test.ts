import { expect, test } from 'vitest';
import { Clock } from '../../base/clock.ts';
import { DeviceClock } from './device-clock.ts';

function rig() {
  const clock = new Clock();
  const own = new DeviceClock(clock);
  const done: string[] = [];
  const after = (ns: number, what: string) =>
    own.after(ns, () => done.push(`${what} ${own.nowNs}`));
  return { clock, own, done, after };
}

test('it goes as the clock of the machine does', () => {
  const { clock, own, done, after } = rig();
  clock.advance(100);
  after(10, 'a');
  after(5, 'b');
  expect([own.nowNs, own.nextDeadlineNs]).toEqual([100, 105]);
  clock.advance(20);
  expect(done).toEqual(['b 105', 'a 110']);
  expect([own.nowNs, own.nextDeadlineNs]).toEqual([120, undefined]);
});
test('while it is stopped its time stands still, and nothing it has set is done', () => {
  const { clock, own, done, after } = rig();
  after(10, 'a');
  after(10, 'b');
  clock.advance(4);
  own.stop();
  own.stop();
  after(0, 'c');
  clock.advance(1000);
  expect([own.nowNs, done]).toEqual([4, []]);
  own.start();
  own.start();
  expect(own.nowNs).toBe(4);
  clock.advance(5);
  expect(done).toEqual(['c 4']);
  clock.advance(1);
  expect(done).toEqual(['c 4', 'a 10', 'b 10']);
});
test('what is cancelled is not done, whether the clock goes or not', () => {
  const { clock, own, done, after } = rig();
  const [a, b] = [after(10, 'a'), after(10, 'b')];
  a[Symbol.dispose]();
  own.stop();
  b[Symbol.dispose]();
  own.start();
  clock.advance(100);
  expect(done).toEqual([]);
});
