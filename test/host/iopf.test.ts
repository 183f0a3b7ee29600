/** A program answers the page requests of its device: fault queues, PASIDs and ATS, through the unit and back. */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';

const BDF = '0000:00:05.0';
const iopf = compile('test/host/programs/iopf.c');
const machine = (requests: boolean): string[] => [
  ...['--iommu', `intel,pageRequests=${requests}`],
  ...['--device', `ats-testdev,bdf=${BDF},pasid_bits=20`],
];

describe.each(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip !== undefined;
  const run = (requests: boolean) =>
    softiommu([iopf, BDF], { environment, flags: machine(requests) });

  test.skipIf(skip)(
    'pages are asked for, mapped and answered, and a request nobody answers ends',
    () => {
      const { status, stdout, stderr } = run(true);
      expect({ status, stderr, lines: stdout.trim().split('\n') }).toEqual({
        status: 0,
        stderr: '',
        lines: [
          'asked for 0xfef00000, perm 1',
          'asked for 0xfef00000, perm 2',
          'the page came back',
          'asked for 0xfef00000, perm 1, pasid 5',
          'asked for 0xfef00000, perm 2, pasid 5',
          'the page came back',
          'asked for 0xfef00000, perm 2, pasid 5',
          'refused: nothing has moved',
          'an answer to nobody: -1',
          'asked for 0xfef00000, perm 2',
        ],
      });
    },
  );

  test.skipIf(skip)('a unit without page requests has no address space for them', () => {
    const { status, stdout } = run(false);
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: 'ATTACH_IOMMUFD_PT: No such device\n',
    });
  });
});
