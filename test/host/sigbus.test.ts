/**
 * Register accesses come as SIGBUS, and nothing of a program's own SIGBUS, mask, handlers, stack and traps is changed by them.
 * Where no register answers (vfio.md 2.11), the program has the signal.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/sigbus.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];
const HANDLER = 'handler, flags kept, 1 blocked';

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('signals are to a program with registers what they are to one without', () => {
    const run = softiommu([PROGRAM, '1', GENERIC], { environment, flags });
    const ignoredElsewhere = /^SigIgn:\s*([0-9a-f]+)$/m.exec(run.stdout)?.[1];
    expect(BigInt(`0x${ignoredElsewhere}`) & 0x40n).toBe(0x40n);
    expect(
      run.stdout
        .replace(/^SigIgn.*\n/m, '')
        .trimEnd()
        .split('\n'),
    ).toEqual([
      'ignored before the mapping: ignored, not blocked',
      'default: default, not blocked',
      'in a child, killed by it: ended by signal 7',
      'blocked: default, blocked',
      'blocked and no answer: ended by signal 7',
      'not blocked again: default, not blocked',
      'before it: default',
      `handler: ${HANDLER}, not blocked`,
      `handler and blocked: ${HANDLER}, blocked`,
      'pending: 1, caught 0',
      'then caught: SI_USER',
      'it waits: exit 0',
      'handler, blocked and no answer: ended by signal 7',
      'ignored and blocked: ignored, blocked',
      'ignored: ignored, not blocked',
      'ignored, sent by itself: exit 0',
      'ignored and no answer: ended by signal 7',
      'another program: exit 0',
      'without decode: load BUS_ADRERR there, store BUS_ADRERR there',
      'with decode again: load done, store done',
      'in D3hot: load BUS_ADRERR there, store BUS_ADRERR there',
      'in D0 again: load done, store done',
      'wrong address: Bad address; wrong size: Invalid argument',
      'lost by four threads at a time: 0',
      'traps: 2',
      'traps ignored: 1, blocked: 1',
      'traps blocked: 1, of which so far: 2',
      'and now: 3',
      'by itself, step for step: 0x5eed, blocked: 1',
      'stack: kept',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
