/** What is seen of threads that wait, in steps and by one call after the other. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Caller } from '../process/processes.ts';
import { prepareSteps } from '../sys/steps.ts';
import { StackLook, type SeenStack } from './stack-look.ts';

const children: ChildProcess[] = [];
/** A process that sleeps, when it does. */
async function sleeper(): Promise<Caller> {
  const child = spawn('sleep', ['1000']);
  children.push(child);
  const pid = child.pid!;
  while (!readFileSync(`/proc/${pid}/syscall`, 'utf8').startsWith('230 ')) {
    await new Promise((resolve) => setTimeout(resolve, 1)); // 230: clock_nanosleep
  }
  return { tid: pid, pid };
}
beforeAll(() => prepareSteps());
afterAll(() => children.forEach((child) => child.kill()));

function inSteps(): StackLook {
  const look = new StackLook();
  look.begin();
  return look;
}
function wordsOf(look: StackLook, { first, count }: SeenStack): number[] {
  return [...look.words.subarray(first * 2, (first + count) * 2)];
}
/** All there is to see. */
function seenBy(look: StackLook, caller: Caller) {
  const seen = look.look(caller);
  return seen && { pc: seen.pc, sp: seen.sp, words: wordsOf(look, seen) };
}

test('a thread that waits is seen the same by both ways, the first time and again', async () => {
  const caller = await sleeper();
  const line = readFileSync(`/proc/${caller.pid}/syscall`, 'utf8').trim().split(' ');
  const [sp, pc] = line.slice(-2).map(Number);
  const [stepped, plain] = [inSteps(), new StackLook()];
  const expected = seenBy(plain, caller);
  expect(expected).toMatchObject({ pc, sp });
  expect(expected?.words.length).toBeGreaterThan(100);
  for (let n = 0; n < 3; n++) {
    expect(seenBy(stepped, caller)).toEqual(expected);
    expect(seenBy(plain, caller)).toEqual(expected);
  }
  const known = stepped.lookAt(caller.tid, { pc: pc!, sp: sp! })!;
  expect(wordsOf(stepped, known)).toEqual(expected?.words);
});
test('a stack that begins deeper than the last one of its thread is seen from its top on', async () => {
  const caller = await sleeper();
  const look = inSteps();
  const expected = seenBy(look, caller);
  // Where the copy is to begin, as after a call from a function that has called more.
  for (const higher of [64, 4096, 5000, 12]) {
    look.beginAt(caller.tid, expected!.sp - higher);
    expect(seenBy(look, caller)).toEqual(expected);
  }
});
test('one that is gone is not seen, nor what never was there', async () => {
  const caller = await sleeper();
  const look = inSteps();
  expect(look.look(caller)).toBeDefined();
  const child = children.find(({ pid }) => pid === caller.pid)!;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill();
  await ended;
  expect(look.look(caller)).toBeUndefined();
  expect(look.look({ tid: 1 << 30, pid: 1 << 30 })).toBeUndefined();
});
test('of many threads each is seen, and few descriptors are kept', async () => {
  const callers = await Promise.all(Array.from({ length: 12 }, () => sleeper()));
  const [look, plain] = [inSteps(), new StackLook()];
  const before = descriptors();
  for (let n = 0; n < 3; n++) {
    for (const caller of callers) {
      const seen = seenBy(look, caller);
      expect(seen).toBeDefined();
      expect(seen).toEqual(seenBy(plain, caller));
    }
  }
  expect(descriptors() - before).toBe(2 * 8);
});
function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
test('at the end of a run nothing of it is open, and the next one begins anew', async () => {
  const caller = await sleeper();
  const look = inSteps();
  const open = (): string[] => readdirSync('/proc/self/fd');
  const before = open();
  const expected = seenBy(look, caller);
  expect(open().length).toBe(before.length + 1);
  look.close();
  expect(open()).toEqual(before);
  expect(seenBy(look, caller)).toEqual(expected);
  look.close();
});
