/** Work on stopped threads of a process: one thread after the other, and none is forgotten. */
import { expect, test } from 'vitest';
import { StopWork } from './stop-work.ts';
import type { Stops } from './thread-call.ts';

const PID = 10;
const who = (tid: number, pid = PID) => ({ pid, tid });

/** Work that waits for so many stops, and tells of each. */
function rig() {
  const seen: string[] = [];
  const work = new StopWork();
  function* steps(tid: number, first: number, more: number): Stops<void> {
    seen.push(`${tid} begins with ${first}`);
    for (let n = 0; n < more; n++) seen.push(`${tid} ${yield}`);
    seen.push(`${tid} ends`);
  }
  const stop = (tid: number, status: number, more: number, pid?: number): void =>
    work.onStop(who(tid, pid), status, () => steps(tid, status, more));
  return { seen, work, stop };
}

test('work gets the stops of its thread, and other threads of the process come after it', () => {
  const { seen, stop } = rig();
  stop(1, 100, 2);
  stop(2, 200, 1);
  stop(3, 300, 0);
  stop(1, 101, 9);
  expect(seen).toEqual(['1 begins with 100', '1 101']);
  stop(1, 102, 9);
  expect(seen.slice(2)).toEqual(['1 102', '1 ends', '2 begins with 200']);
  stop(2, 201, 9);
  expect(seen.slice(5)).toEqual(['2 201', '2 ends', '3 begins with 300', '3 ends']);
  stop(1, 103, 0);
  expect(seen.slice(9)).toEqual(['1 begins with 103', '1 ends']);
});

test('processes do not wait for each other', () => {
  const { seen, stop } = rig();
  stop(1, 100, 1);
  stop(2, 200, 0, PID + 1);
  expect(seen).toEqual(['1 begins with 100', '2 begins with 200', '2 ends']);
});

test('a thread that is gone holds nobody up, and is not worked on', () => {
  const { seen, stop, work } = rig();
  stop(1, 100, 1);
  stop(2, 200, 0);
  stop(3, 300, 0);
  work.forget(who(2));
  work.forget(who(1));
  expect(seen).toEqual(['1 begins with 100', '3 begins with 300', '3 ends']);
});

test('work that goes on elsewhere is over when it says so, or with its thread', () => {
  const { seen, stop, work } = rig();
  work.occupy(who(1));
  stop(2, 200, 0);
  work.over(who(2)); // not its own
  expect(seen).toEqual([]);
  work.over(who(1));
  expect(seen).toEqual(['2 begins with 200', '2 ends']);
  work.occupy(who(1));
  stop(3, 300, 0);
  work.forget(who(1));
  expect(seen.slice(2)).toEqual(['3 begins with 300', '3 ends']);
});

test('a mistake in work does not keep others from theirs', () => {
  const { seen, stop, work } = rig();
  const begin = (): Stops<void> => {
    throw new Error('a mistake');
  };
  function* fails(): Stops<void> {
    yield;
    throw new Error('a mistake');
  }
  expect(() => work.onStop(who(1), 100, begin)).toThrow('a mistake');
  work.onStop(who(1), 100, fails);
  stop(2, 200, 0);
  expect(() => work.onStop(who(1), 101, begin)).toThrow('a mistake');
  expect(seen).toEqual(['2 begins with 200', '2 ends']);
});
