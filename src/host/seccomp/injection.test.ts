/** What becomes of a thread whose script comes to no end of its own, tried on a child. */
import { expect, test } from 'vitest';
import { ENFILE } from '../../base/errno.ts';
import { Shortage } from '../../base/shortage.ts';
import { posixSpawn } from '../sys/ffi.ts';
import { kill, sleepMs, waitNow } from '../sys/libc.ts';
import { NR, SIGKILL } from '../sys/numbers.ts';
import { Injection } from './injection.ts';
import { ours, type Script } from './in-thread.ts';

test('a shortage in a script is the result of its call, and the thread goes on', () => {
  const pid = posixSpawn('/bin/sleep', ['sleep', '100'], []);
  const told: string[] = [];
  sleepMs(50);
  const thread = Injection.begin(pid, {
    alreadySeized: false,
    isWaiting: () => true,
    release: () => undefined,
    pass: () => undefined,
    filtered: () => undefined,
    short: ({ errno, message }) => {
      told.push(message);
      return -errno.number;
    },
  });
  if (typeof thread === 'number') throw new Error(`errno ${-thread}`);
  let found = 0;
  thread.follow(
    (function* (): Script {
      found = yield* ours(NR.getpid);
      throw new Shortage(ENFILE, 'nothing is left');
    })(),
  );
  for (let looks = 0; !thread.gone && looks < 1000; looks++) {
    const event = waitNow(pid);
    if (event) thread.onStatus(event.status);
    else sleepMs(1);
  }
  expect([thread.gone, found, told]).toEqual([true, pid, ['nothing is left']]);
  // sleep(1) says that it cannot sleep, and that is its end.
  let end: { status: number } | undefined;
  for (let looks = 0; !end && looks < 1000; looks++) {
    sleepMs(1);
    end = waitNow(pid);
  }
  kill(pid, SIGKILL);
  expect(end?.status).toBe(1 << 8);
});
