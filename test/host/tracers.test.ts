/** Programs with mapped registers, which we trace, traced by somebody else for a while: registers answer before and after. */
import { spawnSync } from 'node:child_process';
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, has, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/tracers.c');
const WAITING = compile('test/host/programs/attached-in-calls.c');
const OFTEN = compile('test/host/programs/attached-often.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];
const LOOKED = ['attach', 'attach', 'seize', 'seize'].map((how) => `${how}: stopped, let go`);

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

function sanitizes(): boolean {
  const args = ['-fsanitize=address', '-x', 'c', '-', '-o', '/dev/null'];
  return spawnSync('gcc', args, { input: 'int main(void) { return 0; }' }).status === 0;
}
const itSanitizes = sanitizes();
const itDebugs = has('gdb');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a thread is let go of for another tracer, and taken again when that one ends', () => {
    const run = softiommu([PROGRAM, '1', GENERIC], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      ...LOOKED.slice(0, 2),
      'nobody: No such process',
      ...LOOKED.slice(2),
      ...LOOKED,
      'without letting go: stopped',
      'child: traced',
      'child: stopped',
      'child: exit 7',
      'the register: 6, 6',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });

  it.for(['1', '3'])(
    'at any moment others attach to one of %s threads that load from registers, and let go',
    (threads) => {
      const run = softiommu([OFTEN, '1', GENERIC, '60', threads, '7'], { environment, flags });
      expect([run.stdout, run.stderr, run.status]).toEqual(['the tracer: 0, wrong: 0\n', '', 0]);
    },
  );

  it('a thread that waits in a call is let go of as well, and its call goes on afterwards', () => {
    const run = softiommu([WAITING, '1', GENERIC], { environment, flags });
    const lookedAt = (what: string): string[] =>
      ['attach', 'seize', 'attach', 'seize'].map((how) => `${what}, ${how}: stopped, let go`);
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      ...lookedAt('on the way out'),
      'the FIFO: open, signals 0',
      ...lookedAt('in a read'),
      'read: 8 arrived, signals 0',
      'in an unbind, attach: stopped, let go',
      `unbind: ${GENERIC.length}, signals 0`,
      'the tracer: 0',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });

  // Skipped where gcc has no AddressSanitizer.
  (itSanitizes ? it : test.skip)(
    'LeakSanitizer looks at a program with registers at its end',
    () => {
      const program = compile('test/host/programs/leaks.c', '-fsanitize=address');
      const good = softiommu([program, '1', GENERIC], { environment, flags });
      expect([good.stdout, good.stderr, good.status]).toEqual(['the register: 5\n', '', 0]);
      const leaking = softiommu([program, '1', GENERIC, 'leak'], { environment, flags });
      expect(leaking.stderr).toContain('LeakSanitizer: detected memory leaks');
      expect(leaking.status).toBe(1);
    },
  );

  // Skipped where there is no gdb.
  (itDebugs ? it : test.skip)(
    'gdb looks at a program with registers, which goes on with them',
    () => {
      const program = compile('test/host/programs/leaks.c');
      const gdb = 'gdb -p %d -batch -nx -ex bt 2>&1 | grep -c " main ("';
      const run = softiommu([program, '1', GENERIC, gdb], { environment, flags });
      expect([run.stdout, run.stderr, run.status]).toEqual(['1\nthe register: 5\n', '', 0]);
    },
  );
});
