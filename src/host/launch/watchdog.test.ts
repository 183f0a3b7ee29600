/** What the main thread makes of a loop that goes on, and of one that does not. */
import { expect, test } from 'vitest';
import { NR, SIGTERM } from '../sys/numbers.ts';
import { TurnSign, Watchdog } from './watchdog.ts';

function scene() {
  const said: string[] = [];
  const ended: number[] = [];
  const sign = new TurnSign();
  const parts = {
    sign,
    say: (line: string) => said.push(line),
    end: (by: number) => ended.push(by),
  };
  const watchdog = new Watchdog(parts);
  let seconds = 0;
  const looks = (count: number): void => {
    while (count-- > 0) watchdog.look(1000 * seconds++);
  };
  return { said, ended, kernel: new TurnSign(sign.shared), watchdog, looks };
}
const LONG = 20;

test('a turn that does not end is said once, with the call it answers', () => {
  const { said, kernel, watchdog, looks } = scene();
  kernel.begin();
  kernel.about(process.pid, NR.ioctl);
  looks(LONG);
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/^stuck since \d\d:\d\d:\d\d in a call of process \d+ \(.*\): ioctl; /);
  kernel.end();
  kernel.begin();
  looks(LONG);
  expect(said[1]).toContain('in work for no thread in particular');
  kernel.about(process.pid);
  expect(kernel.subject).toContain('a stop of process');
  watchdog[Symbol.dispose]();
});

test('a loop that waits for work, or that goes on, is not stuck, and no signal ends it', () => {
  const { said, ended, kernel, watchdog, looks } = scene();
  looks(LONG);
  watchdog.asked(SIGTERM);
  for (let turn = 0; turn < LONG; turn++) {
    kernel.begin();
    looks(2);
    watchdog.asked(SIGTERM);
    kernel.end();
    looks(2);
  }
  expect([said, ended]).toEqual([[], []]);
  watchdog[Symbol.dispose]();
});

test('a signal in a stuck turn ends the run, whether it came before or after the report', () => {
  for (const before of [true, false]) {
    const { said, ended, kernel, watchdog, looks } = scene();
    kernel.begin();
    looks(2);
    if (before) watchdog.asked(SIGTERM);
    expect([said, ended]).toEqual([[], []]);
    looks(4);
    if (!before) watchdog.asked(SIGTERM);
    expect([said.length, ended]).toEqual([1, [SIGTERM]]);
    watchdog[Symbol.dispose]();
  }
});
