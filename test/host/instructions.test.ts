/** Instructions on mapped registers do what they do on memory. The processor itself is what they are compared with. */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/instructions.c');
const STRADDLES = compile('test/host/programs/straddles.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('every form of instruction leaves the registers, flags and bytes it leaves on memory', () => {
    const { stdout, stderr, status } = softiommu([PROGRAM, '1', GENERIC, '1'], {
      environment,
      flags,
    });
    // What this processor lacks is named, by feature.
    const wrong = stdout.split('\n').filter((line) => line.includes('differs'));
    expect(wrong).toEqual([]);
    expect(stdout).toMatch(/^\d+ forms, 0 wrong$/m);
    expect([stderr, status]).toEqual(['', 0]);
  });

  it('operands that end in another mapping, or in none, do what the processor does', () => {
    const run = softiommu([STRADDLES, '1', GENERIC], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'memory and registers, load: 0x14131211100f0e0d',
      'registers and memory, load: 0x3231302f2e2d2c2b',
      'memory and registers, store: done',
      'registers and memory, store: done',
      'stored: 0x1122334455667788 0x1122334455667788',
      'vectors: the same',
      'registers and nothing, load: SIGSEGV SEGV_MAPERR at +4096',
      'registers and nothing, store: SIGSEGV SEGV_MAPERR at +4096',
      'left alone: 0x5555555555555555',
      'registers and a forbidden page, load: SIGSEGV SEGV_ACCERR at +4096',
      'registers and a read-only page, store: SIGSEGV SEGV_ACCERR at +4096',
      'the last 8 bytes, load: 0x5555555555555555',
      'division by zero: SIGFPE FPE_INTDIV',
      'a jump through registers: SIGBUS BUS_ADRERR at +16',
      'executed: SIGSEGV SEGV_ACCERR at +32',
      'executed with leave: SIGBUS BUS_ADRERR at +32',
    ]);
    expect(
      run.stderr
        .replaceAll(/ 0x\w+/g, ' …')
        .trimEnd()
        .split('\n'),
    ).toEqual([
      expect.stringMatching(/^softiommu: cannot carry out ff[0-9a-f]+ at …$/),
      'softiommu: cannot carry out an instruction in device registers at …',
    ]);
    expect(run.status).toBe(0);
  });
});
