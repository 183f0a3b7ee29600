/** `--memlock`: the limit of locked memory of the simulated kernel, whatever the host's is. */
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, has, softiommu, type Environment } from './environments.ts';

const PROGRAM = ['python3', 'test/host/programs/memlock.py'];
/** CAP_IPC_LOCK passes over every limit. */
const isBound = ({ name }: Environment): boolean => !name.startsWith('as root');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined && has('prlimit') ? test : test.skip;
  const low = {
    ...environment,
    prefix: [...environment.prefix, 'prlimit', '--memlock=4096:4096'],
  };
  it.for([
    ["the host's limit", [], 'ENOMEM'],
    ['a higher limit', ['--memlock', '64K'], 'mapped'],
    ['no limit', ['--memlock=unlimited'], 'mapped'],
    ['a limit a page too low', ['--memlock', '61440'], 'ENOMEM'],
  ] as const)('64 KiB are mapped as the limit says: %s', ([, flags, answer]) => {
    const { stdout, stderr } = softiommu(PROGRAM, { environment: low, flags });
    const [said] = stdout.split('\n');
    expect([stderr, said]).toEqual(['', isBound(environment) ? answer : 'mapped']);
  });
  it('a program sees the limit and may lower it, and a child has what its parent has', () => {
    const program = [...PROGRAM, 'forks'];
    const { stdout } = softiommu(program, { environment: low, flags: ['--memlock=64K'] });
    expect(stdout.trimEnd().split('\n').slice(1)).toEqual([
      'limit: 65536 65536',
      'Max locked memory 65536 65536 bytes',
      'lowered: (4096, 8192) ValueError',
      'inherited: 4096 8192 4096 8192',
      'others: same',
      "at the fork: (4096, 8192) ('(4096, 8192)', (1024, 8192)) (2048, 8192)",
      'of a parent that has ended: (512, 8192)',
    ]);
  });
  it('with --selftest a child has the capabilities its parent had at the fork', () => {
    const flags = ['--selftest', '--memlock=64K'];
    const { stdout } = softiommu([...PROGRAM, 'capabilities'], { environment: low, flags });
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      "capabilities at the fork: '0xffffffff' '0x1' 0x1",
    );
  });
});

test('a size that is none is a mistake', () => {
  const { status, stderr } = softiommu(['true'], { flags: ['--memlock', '12x'] });
  expect(status).toBe(125);
  expect(stderr.split('\n')[0]).toBe(
    "softiommu: option '--memlock <size>' argument '12x' is invalid. a size is a number with K, M, G or nothing, or unlimited.",
  );
});
