/**
 * What other threads and processes do to a program while a call of it is answered: nothing of it is lost, and nobody waits for
 * ever.
 */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';

const STOPPED = `stopped and let go on: goes on
stopped for a while: told 120, stands still
`;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const says = (...args: string[]): string => {
    const program = compile('test/host/programs/disturbed.c');
    const { stdout, stderr } = softiommu([program, ...args], { environment });
    expect(stderr).toBe('');
    return stdout;
  };

  it('a process on the ways of the tree stops and goes on as its user says', () => {
    expect(says('stops')).toBe(STOPPED);
  });
  it('so does one with registers, whose stops are told to its tracer', () => {
    expect(says('stops', '0', '0000:00:04.0')).toBe(STOPPED);
  });
  it('a listing that another thread writes over ends', () => {
    expect(says('listing')).toBe(
      'listings of /dev that failed: 0\nlistings of /sys/bus/pci/devices that failed: 0\n',
    );
  });
});
