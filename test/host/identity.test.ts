/** Who is calling, in programs that make it hard to say: which thread, which memory, which table of descriptors. */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, type Environment } from './environments.ts';

const program = compile('test/host/programs/identity.c');
const isRoot = process.getuid?.() === 0;
const lines = (text: string): string[] => text.trim().split(/\n\s*/);

/** Root with its capabilities may look into every process. */
function looksEverywhere({ prefix }: Environment): boolean {
  return isRoot && prefix.length === 0;
}

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const run = (part: string) => softiommu([program, part], { environment });

  it('a program that may not be looked into is told so, and goes on with what is not ours', () => {
    const { stdout, stderr } = run('undumpable');
    const seen = looksEverywhere(environment);
    const expected = `
      a path: 0
      one that is not there: ENOENT
      a path at no address: EFAULT
      a pipe: 0
      our descriptor: ${seen ? '0' : 'EPERM'}
      again: ${seen ? '1' : 'EPERM'}`;
    expect(lines(stdout)).toEqual(lines(expected));
    const warnings = stderr.split('\n').filter((line) => line.includes('may not be looked into'));
    expect(warnings).toHaveLength(seen ? 0 : 1);
  });
});
