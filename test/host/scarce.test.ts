/** softiommu out of descriptors: programs get an errno, its user one line, and nothing hangs. */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { command, compile, ENVIRONMENTS, softiommu } from './environments.ts';
import { MAIN } from './project.ts';

const LINE =
  'softiommu: no descriptor is left for softiommu (its limit: ulimit -n): calls that need one are ENFILE\n';
const LENGTH =
  'softiommu: a file of the run is longer than softiommu may make one (its limit: ulimit -f): calls that need it are ENOSPC\n';
const answers = (device: string, attribute: string): string =>
  `device ${device}\ngroup ${device}\nattribute ${attribute}\nhost file ok\nchild ${device}\n`;

test.for(ENVIRONMENTS)(
  'calls are ENFILE for as long as it lasts, $name',
  (environment, { skip }) => {
    skip(environment.skip !== undefined, environment.skip);
    const inUserNamespace = environment.name === 'as an ordinary user, --mode namespace';
    skip(
      inUserNamespace,
      'a program in a user namespace may not look at softiommu, to lower its limit',
    );
    const { status, stdout, stderr } = softiommu([compile('test/host/programs/scarce.c')], {
      environment,
    });
    // A file of the mount needs no descriptor of ours.
    const attribute = environment.mode === 'namespace' ? 'ok' : 'ENFILE';
    const plenty = answers('ok', 'ok');
    expect(stdout).toBe(plenty + answers('ENFILE', attribute) + plenty);
    expect([status, stderr]).toEqual([0, LINE]);
  },
);

test.for(['32', '64', '255'])(
  'at most %s descriptors are too few to begin, in one line',
  (most) => {
    const prefix = ['sh', '-c', 'ulimit -n "$1"; shift; exec "$@"', 'sh', most];
    const { status, stdout, stderr } = command(['run', '--', 'true'], { prefix });
    expect([status, stdout]).toEqual([125, '']);
    expect(stderr).toMatch(new RegExp(`^softiommu: at most ${most} files may be open here .*\\n$`));
  },
);

test.for(ENVIRONMENTS)(
  'a limit to the length of files makes no attribute empty, $name',
  (environment, { skip }) => {
    skip(environment.skip !== undefined, environment.skip);
    const prefix = [...environment.prefix, 'sh', '-c', 'ulimit -f 0; exec "$@"', 'sh'];
    const vendor = '/sys/bus/pci/devices/0000:00:04.0/vendor';
    const { stdout, stderr } = softiommu(['cat', vendor], {
      environment: { ...environment, prefix },
    });
    // Through the mount the text comes without a file of ours.
    if (environment.mode === 'namespace') expect([stdout, stderr]).toEqual(['0x1234\n', '']);
    else
      expect([stdout, stderr]).toEqual([
        '',
        `${LENGTH}cat: '${vendor}': No space left on device\n`,
      ]);
  },
);

test('a soft limit is the limit of the program alone', () => {
  const line = `ulimit -Sn 20; ${process.execPath} ${MAIN} run -- sh -c "ulimit -Sn"; true`;
  const { stdout, stderr } = spawnSync('sh', ['-c', line], { encoding: 'utf8' });
  expect([stdout, stderr]).toEqual(['20\n', '']);
});
