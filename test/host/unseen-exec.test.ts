/** Programs that make calls with the mark of those that softiommu lets them make: what has to be known is known all the same. */
import { describe, expect, test } from 'vitest';
import { INJECTED_CALL } from '../../src/host/sys/numbers.ts';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';

const flags = ['--nodefaults', '--device', 'dma-echo'];
const MARKS = [
  ['as it is', '0'],
  ['with the mark of our calls', INJECTED_CALL.toString(16)],
] as const;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  for (const [how, mark] of MARKS) {
    it(`an exec ${how}: devices write the memory that was mapped, and not the next program's`, () => {
      const program = compile('test/host/programs/unseen-exec.c');
      const { stdout, stderr, status } = softiommu([program, mark], { environment, flags });
      expect(stdout, stderr).toBe(
        "in the memory that was mapped: 61440\nin the next program's: 0\n",
      );
      expect(status).toBe(0);
    });
  }
});
