/** A trapped call is one row and one handler: nothing else knows of it. */
import { expect, test } from 'vitest';
import { CallBytes, Notification } from '../seccomp/notification.ts';
import { filterProgram } from '../seccomp/filter.ts';
import { TRAPPED_CALLS, type TrappedCall } from '../seccomp/trapped.ts';
import { bindHandlers, HANDLERS, type Traps } from './table.ts';

const GETPID = {
  nr: 39,
  name: 'getpid',
  purpose: 'a test',
  when: [{ then: 'trap', which: '' }],
} as const;
const NO_TRAPS = {} as unknown as Traps;
const RUN = { pathTraps: true, eventfds: true };

function callOf(nr: number): Notification {
  const bytes = Buffer.alloc(80);
  bytes.writeInt32LE(nr, 16);
  return new Notification(new CallBytes(bytes));
}
/** Does the filter compare the number with this one? */
function compares(rows: readonly TrappedCall[], nr: number): boolean {
  const program = filterProgram(RUN, rows);
  const jumps = Array.from({ length: program.length / 8 }, (_, pc) => pc * 8);
  return jumps.some(
    (at) => program.readUInt16LE(at) === 0x15 && program.readUInt32LE(at + 4) === nr,
  );
}

test('one row and one handler make another call trapped', () => {
  const rows = [...TRAPPED_CALLS, GETPID] as const;
  const handlers = bindHandlers(rows, { ...HANDLERS, getpid: (_traps, call) => call.nr + 3 });
  expect(handlers.get(39)!(NO_TRAPS, callOf(39))).toBe(42);
  expect(compares(TRAPPED_CALLS, 39)).toBe(false);
  expect(compares(rows, 39)).toBe(true);
});
test('a row without a handler does not compile', () => {
  const rows = [...TRAPPED_CALLS, GETPID] as const;
  // @ts-expect-error getpid has no handler
  expect(bindHandlers(rows, HANDLERS).get(39)).toBeUndefined();
});
test('every row has a number and a name of its own, and a handler', () => {
  const handlers = bindHandlers(TRAPPED_CALLS, HANDLERS);
  expect(handlers.size).toBe(TRAPPED_CALLS.length);
  expect(Object.keys(HANDLERS)).toEqual(TRAPPED_CALLS.map(({ name }) => name));
});
