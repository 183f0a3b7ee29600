/** Lists of system calls against the same calls one by one, on files of their own. */
import fc from 'fast-check';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { syscall } from './ffi.ts';
import { close, memfdCreate } from './libc.ts';
import { HOST_ERRNO, NR } from './numbers.ts';
import { prepareSteps, Steps } from './steps.ts';

const LENGTH = 64;
const opened: number[] = [];

beforeAll(() => prepareSteps());
afterEach(() => opened.splice(0).forEach(close));

function file(): number {
  const fd = memfdCreate('steps-test');
  opened.push(fd);
  return fd;
}

/** A step, as both sides are told it. `of` is an earlier step. */
type Said =
  | { readonly what: 'read' | 'write'; readonly at: number; readonly length: number }
  | { readonly what: 'wrong' }
  | { readonly what: 'expect'; readonly of: number; readonly result: number }
  | { readonly what: 'copy'; readonly from: number; readonly to: number }
  | { readonly what: 'check'; readonly at: number; readonly mask: number; readonly value: number };

const RESULTS = [-HOST_ERRNO.EBADF, 0, 1, 8, LENGTH];
const said: fc.Arbitrary<Said> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constantFrom('read', 'write'),
      at: fc.integer({ min: 0, max: 80 }),
      length: fc.integer({ min: 0, max: LENGTH }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ what: 'wrong' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant('expect'),
      of: fc.nat(12),
      result: fc.constantFrom(...RESULTS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant('copy'),
      from: fc.nat(LENGTH - 8),
      to: fc.nat(LENGTH - 8),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant('check'),
      at: fc.nat(LENGTH - 8),
      mask: fc.constantFrom(0, 1, 0xff, 0xffff_0000, 0xffff_ffff),
      value: fc.constantFrom(0, 1, 0x5a, 0x5a5a_0000, 0x5a5a_5a5a),
    }),
  },
);
const program = fc.array(said, { maxLength: 12 });

/** What one side works on. */
interface Side {
  readonly fd: number;
  readonly bytes: Buffer;
}
function side(): Side {
  return { fd: file(), bytes: Buffer.alloc(LENGTH, 0x5a) };
}
function argumentsOf({ fd, bytes }: Side, step: Said): [number, ...(number | Uint8Array)[]] {
  if (step.what === 'read') return [NR.pread64, fd, bytes, step.length, step.at];
  if (step.what === 'write') return [NR.pwrite64, fd, bytes, step.length, step.at];
  return [NR.pread64, -1, bytes, LENGTH, 0];
}
const CALLS: readonly string[] = ['read', 'write', 'wrong'];
/** Expectations of what is no call are of the first call. */
function callBefore(steps: readonly Said[], of: number): number {
  const isCall = ({ what }: Said): boolean => CALLS.includes(what);
  return steps[of] && isCall(steps[of]) ? of : steps.findIndex(isCall);
}

/** One by one: the step it ends at, and the results. */
function oneByOne(on: Side, steps: readonly Said[]): { ended: number; results: number[] } {
  const results = steps.map(() => 0);
  for (const [n, step] of steps.entries()) {
    if (step.what === 'expect') {
      const call = callBefore(steps, step.of);
      if (call >= 0 && results[call] !== step.result) return { ended: n, results };
    } else if (step.what === 'check') {
      const word = on.bytes.readUInt32LE(step.at);
      if ((word & step.mask) >>> 0 !== step.value >>> 0) return { ended: n, results };
    } else if (step.what === 'copy') on.bytes.copyWithin(step.to, step.from, step.from + 8);
    else results[n] = syscall(...argumentsOf(on, step));
  }
  return { ended: steps.length, results };
}
function inAList(on: Side, steps: readonly Said[]): { ended: number; results: number[] } {
  const list = new Steps(steps.length);
  for (const step of steps) {
    if (step.what === 'expect') {
      const call = callBefore(steps, step.of);
      // A list has a step for each, also where there is nothing to expect.
      if (call >= 0) list.expect(call, step.result);
      else list.check(on.bytes, 0, 0);
    } else if (step.what === 'check') {
      list.check(on.bytes.subarray(step.at), step.mask, step.value);
    } else if (step.what === 'copy') {
      list.copy(on.bytes.subarray(step.from), on.bytes.subarray(step.to));
    } else list.call(...argumentsOf(on, step));
  }
  const ended = list.run();
  const isCall = (n: number): boolean => CALLS.includes(steps[n]!.what);
  return { ended, results: steps.map((_, n) => (isCall(n) ? list.result(n) : 0)) };
}

test('a list ends where the calls one by one end, with the same results and the same bytes', () => {
  fc.assert(
    fc.property(program, (steps) => {
      const [model, ours] = [side(), side()];
      expect(inAList(ours, steps)).toEqual(oneByOne(model, steps));
      const contents = [model, ours].map(({ fd, bytes }) => {
        const content = Buffer.alloc(200);
        const length = syscall(NR.pread64, fd, content, content.length, 0);
        return [bytes.toString('hex'), content.toString('hex', 0, length)];
      });
      expect(contents[1]).toEqual(contents[0]);
      opened.splice(0).forEach(close);
    }),
    { numRuns: 500 },
  );
});

test('a list begins where it is told to, and an argument can be another each time', () => {
  const bytes = Buffer.from('abcdefgh');
  const other = Buffer.from('ijklmnop');
  const fd = file();
  const list = new Steps(2);
  const first = list.call(NR.pwrite64, fd, bytes, 8, 0);
  const second = list.call(NR.pwrite64, fd, bytes, 8, 8);
  expect(list.run(second)).toBe(list.end);
  expect([list.result(first), list.result(second)]).toEqual([0, 8]);
  list.set(second, 1, other);
  list.set(second, 2, 3);
  expect(list.run()).toBe(list.end);
  const content = Buffer.alloc(20);
  expect(syscall(NR.pread64, fd, content, 20, 0)).toBe(16);
  expect(content.toString('latin1', 0, 16)).toBe('abcdefghijkdefgh');
});

test('negative numbers and numbers of more than 32 bits are arguments', () => {
  const fd = file();
  const list = new Steps(3);
  const far = list.call(NR.ftruncate, fd, 2 ** 40 + 5);
  const end = list.call(NR.lseek, fd, -7, 2);
  const wide = list.call(NR.lseek, fd, (1n << 63n) - 1n, 0);
  list.run();
  expect(list.result(far)).toBe(0);
  // The results are of 32 bits: 2 ** 40 - 2 is 0xfffffffe there.
  expect(list.result(end)).toBe(-2);
  expect(list.result(wide)).toBe(-1);
});

test('more steps than a list was made for are a bug', () => {
  const list = new Steps(1);
  list.call(NR.getpid);
  expect(() => list.call(NR.getpid)).toThrow('has no room');
});
