import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { RemoteMemory } from '../process/remote-memory.ts';
import { HostCred } from '../process/credentials.ts';
import { Injection } from '../seccomp/injection.ts';
import { callers } from './callers.ts';
import { posixSpawn } from './ffi.ts';
import { close, kill, open, sleepMs, waitNow } from './libc.ts';
import { O_RDONLY, SIGKILL } from './numbers.ts';
import { tracerOf } from './procfs.ts';
import { prepareSteps } from './steps.ts';
import { strangers } from './strangers.ts';

/** It has a number of ours, and is none of the programs. */
const pid = posixSpawn('/bin/sleep', ['sleep', '100'], []);
sleepMs(50);
/** No listener: no call waits there. */
const listener = open('/dev/null', O_RDONLY);
beforeAll(() => prepareSteps());
afterAll(() => {
  kill(pid, SIGKILL);
  close(listener);
});
afterEach(() => callers.begin(-1, { inSteps: false }));

test('a thread whose number was that of a caller makes no call, and goes on untraced', () => {
  const done: string[] = [];
  const rc = Injection.begin(pid, {
    alreadySeized: false,
    isWaiting: () => false,
    release: () => done.push('released'),
    pass: () => done.push('passed'),
    filtered: () => done.push('filtered'),
    short: () => 0,
  });
  expect([rc, done, strangers.any]).toEqual([-3, [], true]);
  for (let looks = 0; strangers.any && looks < 1000; looks++) {
    const event = waitNow(pid);
    if (event) expect(strangers.onStatus(event.pid, event.status)).toBe(true);
    else sleepMs(1);
  }
  expect([strangers.any, tracerOf(pid), waitNow(pid)]).toEqual([false, 0, undefined]);
});
test.each([false, true])(
  'its memory is neither written nor believed, and it lends no rights; in steps: %s',
  (inSteps) => {
    const at = stackOf(pid);
    const before = Buffer.alloc(8);
    const memory = new RemoteMemory(pid);
    expect(memory.read(at, before)).toBeUndefined();
    callers.begin(listener, { inSteps });
    callers.waits(pid, 1n);
    expect(memory.write(at, Buffer.from('written!'))).toMatchObject({ name: 'EFAULT' });
    expect(memory.read(at, Buffer.alloc(8))).toMatchObject({ name: 'EFAULT' });
    expect(new HostCred(pid, 'fs', undefined).uid).toBe(65534);
    // Of a thread that has stopped for us, what another with its number has left behind counts no more.
    callers.hasStopped(pid);
    const after = Buffer.alloc(8);
    expect(memory.read(at, after)).toBeUndefined();
    expect(after).toEqual(before);
  },
);

/** An address that can be written. */
function stackOf(pid: number): bigint {
  const line = readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .find((each) => each.endsWith('[stack]'));
  return BigInt(`0x${line!.split('-')[1]!.split(' ')[0]!}`) - 64n;
}
