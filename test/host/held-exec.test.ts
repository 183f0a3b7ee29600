/** A program whose exec somebody keeps for long: its other threads wait for it, and nobody else does (sys/prompt-seize.ts). */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';

const program = compile('test/host/programs/held-exec.c');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it.each(['path', 'registers'])('others are answered: %s', (way) => {
    const { stdout, stderr, status } = softiommu([program, way], { environment });
    expect(stderr).toBe('');
    expect(stdout).toBe('at once\nthe new program ends with 0\n');
    expect(status).toBe(0);
  });
});
