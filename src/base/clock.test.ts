import { expect, test } from 'vitest';
import { Clock } from './clock.ts';

test('timers run in order of time, then of setting, at their own time', () => {
  const clock = new Clock();
  const ran: [string, number][] = [];
  const note = (name: string) => () => ran.push([name, clock.nowNs]);
  clock.after(20, note('b'));
  clock.after(10, note('a'));
  clock.after(20, note('c'));
  clock.advance(15);
  expect(ran).toEqual([['a', 10]]);
  expect(clock.nowNs).toBe(15);
  expect(clock.nextDeadlineNs).toBe(20);
  clock.advance(5);
  expect(ran.slice(1)).toEqual([
    ['b', 20],
    ['c', 20],
  ]);
});
test('a disposed timer does not run', () => {
  const clock = new Clock();
  const timer = clock.after(1, () => {
    throw new Error('ran');
  });
  timer[Symbol.dispose]();
  clock.advance(5);
  expect(clock.nextDeadlineNs).toBeUndefined();
});
test('a timer set by a timer runs in the same advance when it is due', () => {
  const clock = new Clock();
  const ran: number[] = [];
  clock.after(10, () => clock.after(5, () => ran.push(clock.nowNs)));
  clock.advance(20);
  expect(ran).toEqual([15]);
});
test('time never goes back', () => {
  const clock = new Clock();
  clock.advanceTo(50);
  clock.advanceTo(10);
  expect(clock.nowNs).toBe(50);
});

test('what is set while timers run may wait for the next time, and keeps nothing else waiting', () => {
  const clock = new Clock();
  const ran: string[] = [];
  const again = (): void => {
    ran.push('again');
    if (ran.length < 5) clock.after(0, again);
  };
  clock.after(10, again);
  clock.after(15, () => ran.push('later'));
  clock.advanceOnceTo(20);
  expect([ran, clock.nowNs, clock.nextDeadlineNs]).toEqual([['again', 'later'], 20, 10]);
  clock.advanceOnceTo(20);
  expect([ran.length, clock.nowNs]).toEqual([3, 20]);
  clock.advanceTo(20);
  expect([ran.length, clock.nextDeadlineNs]).toEqual([5, undefined]);
});
test('a reminder runs as any timer, and nothing is to come where there are only reminders', () => {
  const clock = new Clock();
  let ran = 0;
  clock.remind(10, () => ran++);
  expect([clock.nextDeadlineNs, clock.nextEventNs]).toEqual([10, undefined]);
  clock.after(20, () => ran++);
  expect([clock.nextDeadlineNs, clock.nextEventNs]).toEqual([10, 20]);
  clock.advance(20);
  expect([ran, clock.nextDeadlineNs, clock.nextEventNs]).toEqual([2, undefined, undefined]);
});
