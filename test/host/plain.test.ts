/**
 * Plain pages of a BAR are memory of the program that maps them, and nothing it sees tells them from registers but the traps
 * that do not happen (vfio.md 2.4, 2.7, 2.11).
 */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/plain.c');
const AT = '0000:00:05.0';
const WITH_MSIX = 'bars=0:mem64:0x8000,msix_bar=0,msix_table=0x2000,msix_pba=0x3000';
const device = (more = '') => ['--device', `generic,bdf=${AT},${WITH_MSIX}${more}`];
/** As of registers. */
const SEEN = [
  'another mapping: 1234, 11223344',
  'read of the region: 1234',
  'write of the region: beef',
  'of a child: c0de',
  'the table of MSI-X: fee00000',
  'as a buffer: 4, 4, 1234',
  'decode off: load SIGBUS, store SIGBUS, of the table SIGBUS',
  'as a buffer: Bad address',
  'decode on: load done, 1234',
  'D3hot: load SIGBUS',
  'D0: load done, 1234',
  'reset: 0, 0, 5',
];
const AFTER = ['mapped and opened again: 6', 'a page of it: 6', 'opened after its end: 0'];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for([
    ['by default', '', 'by none'],
    ['asked for', ',bar=plain', 'by none'],
    ['as registers', ',bar=trap', 'by each'],
  ] as const)('%s', ([, more, stopped]) => {
    const run = softiommu([PROGRAM, '1', AT, 'many'], { environment, flags: device(more) });
    const sum = (2000 * 1999) / 2;
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      ...SEEN,
      `${sum}, stopped: ${stopped}`,
      ...AFTER,
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
