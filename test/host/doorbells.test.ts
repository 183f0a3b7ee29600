/** Doorbells that are memory while they are rung much (doorbell-loans.ts), by a program that rings them. */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, type RunOptions } from './environments.ts';

const COMMANDS = 3000;
const NVME = ['--device', 'nvme,bdf=0000:00:05.0'];

/** What the program says, and how often it was stopped. */
function run(options: RunOptions, flags: readonly string[] = []) {
  const program = compile('test/host/programs/doorbells.c');
  const argv = [program, String(COMMANDS)];
  const { stdout, signal, status } = softiommu(argv, { ...options, flags: [...NVME, ...flags] });
  return {
    said: stdout,
    ended: signal ?? status,
    stops: Number(/^stops: (\d+)$/m.exec(stdout)?.[1]),
  };
}
const said = (stops: number): string =>
  `failed: 0\ndoorbells rung: ${2 * COMMANDS}\nstops: ${stops}\n`;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('every command is answered, most doorbells stop nobody, and one that is off is SIGBUS', () => {
    const result = run({ environment });
    expect(result.said).toBe(said(result.stops));
    expect(result.ended).toBe('SIGBUS');
    expect(result.stops).toBeLessThan(COMMANDS);
  });
});

test('with a trace each of them stops the program', () => {
  const result = run({}, ['--trace=/dev/null']);
  expect(result.said).toBe(said(result.stops));
  expect(result.ended).toBe('SIGBUS');
  expect(result.stops).toBeGreaterThanOrEqual(2 * COMMANDS);
});
