/**
 * What a device has mapped into a program does not grow, whether it is registers or memory, and the mapping leaves no descriptor
 * of ours in the program (vfio.md 2.4).
 */
import { afterAll, describe, expect, test } from 'vitest';
import {
  command,
  compile,
  ENVIRONMENTS,
  has,
  softiommu,
  strayDirectories,
} from './environments.ts';

const PROGRAM = compile('test/host/programs/remaps.c');
const AT = '0000:00:05.0';
const device = (bar: string) => [
  '--device',
  `generic,bdf=${AT},bars=0:mem64:0x8000,msix_bar=0,msix_table=0x2000,msix_pba=0x3000,bar=${bar}`,
];
const SEEN = [
  'descriptors more: 0',
  'grown: Bad address',
  'grown and moved: Bad address',
  'grown at a place: Bad address',
  'grown over itself from below: Invalid argument',
  'once more: Bad address',
  'left behind: Invalid argument',
  'unknown flags: Invalid argument',
  'to a place without leave: Invalid argument',
  'from inside a page: Invalid argument',
  'to nothing: Invalid argument',
  'it is: 1234',
  'moved: done',
  'it is: 1234',
  'of the region: 4',
  'which is: 5678',
  'memory: done',
];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for(['trap', 'plain'])('as Linux has it, of a BAR with bar=%s', (bar) => {
    const run = softiommu([PROGRAM, '1', AT], { environment, flags: device(bar) });
    expect(run.stdout.trimEnd().split('\n')).toEqual(SEEN);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
  it('a program that changes the length of its memory of a device harms nobody else', () => {
    const run = softiommu([PROGRAM, '1', AT, 'resize'], { environment, flags: device('plain') });
    expect(run.stdout.trimEnd().split('\n')).toEqual([...SEEN, 'after that: 7']);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});

// Skipped where there is no strace.
test.skipIf(!has('strace'))(
  'a thread that somebody outside of the run traces is given no descriptor, for nobody could take it back',
  () => {
    const run = ['run', ...device('plain'), '--', PROGRAM, '1', AT];
    const { stdout } = command(run, { prefix: ['strace', '-f', '-o', '/dev/null'] });
    expect(stdout.split('\n')[0]).toBe('descriptors more: 0');
  },
);
