/**
 * Registers whose loads do nothing besides are memory to the program that loads them, and nothing it sees tells them from those
 * of which each access is a call, but the traps that do not happen (vfio.md 2.4, 2.11). The twin is `bar=trap`.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/shadow.c');
const AT = '0000:00:05.0';
/** As of registers. */
const SEEN = [
  'mapped for loads only: done, SIGSEGV of rights',
  'stored: 234, in another mapping: 234, by read: 234',
  'write of the region: 55',
  'in one instruction, a byte: 355',
  'of a child: 0, 66',
  'of a thread: 77',
  'as a buffer: 4, 201, back: 4, 201',
  'differences from read: 0',
  'decode off: load SIGBUS, store SIGBUS, as a buffer: Bad address',
  'decode on: load done, store done, 7',
  'reset: 0, 0, 5',
];
const AFTER = [
  'handler: ours, of nothing: SIGSEGV',
  'blocked: 32, 1, ours',
  'ignored: 42, 1',
  'without a handler: 51, Segmentation fault',
  'sent: Segmentation fault',
  'nothing answers: Bus error',
  'traced: 62, which was told of it: 1, afterwards: 63',
  'closed: 6',
  'opened after its end: 0',
];
/** The admin queue sizes, and where bytes come from. */
const DEVICES = { nvme: '0x24', 'dma-echo': '0x0' };

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for(
    Object.entries(DEVICES).flatMap(([type, register]) => [
      { type, register, how: '', loads: 'none' },
      { type, register, how: ',bar=trap', loads: 'each' },
    ]),
  )('$type$how', ({ type, register, how, loads }) => {
    const flags = ['--device', `${type},bdf=${AT}${how}`];
    const run = softiommu([PROGRAM, '1', AT, register, 'many'], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      ...SEEN,
      `2500, loads stop: ${loads}, stores: each`,
      ...AFTER,
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});

test('every load is heard of where there is a trace', () => {
  const flags = ['--trace=/dev/null', '--device', `dma-echo,bdf=${AT}`];
  const run = softiommu([PROGRAM, '1', AT, '0x0', 'many'], { flags });
  expect(run.stdout.trimEnd().split('\n')).toEqual([
    ...SEEN,
    '2500, loads stop: each, stores: each',
    ...AFTER,
  ]);
});
