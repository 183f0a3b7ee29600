/** Directories that mix the host's entries with simulated ones: who may pass them is as without a run. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const HIDE = join(PROJECT, 'test/host/programs/hide.py');
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
/** Of files of the host; the simulated ones beside them are no news of another directory. */
const LOOKS = `
  cat /sys/kernel/inner/file
  test -r /sys/kernel && echo may list
  mkdir /dev/softiommu-new`;
const SHOWS = 'stat -c "%n %a %u:%g" /dev /sys /sys/bus /sys/class /sys/kernel';

const DIRECTORIES = [
  ['root alone may pass', '700', '0', 'no', 'denied'],
  ['nobody may list, and all may pass', '711', '0', 'no', 'read'],
  ['all may list, and nobody may pass', '744', '0', 'no', 'denied'],
  ['the program owns', '700', '65534', 'no', 'read'],
  ['its group may not pass', '705', '0', 'no', 'read'],
  ['an ACL forbids', '755', '0', 'forbids', 'denied'],
] as const;

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const isUsers = environment.prefix.includes(NOBODY[1]!);
  const skip =
    environment.skip ??
    (process.getuid?.() === 0 ? undefined : 'only root can put a directory over that of the host');
  const inContainer = environment.name.includes('container');
  const it = skip === undefined && !inContainer ? test : test.skip;
  /** Everything the program says, on the host and in a run. */
  function both(directory: readonly string[], script: string, drop = NOBODY) {
    const before = ['unshare', '--mount', 'python3', HIDE, ...directory];
    const [program, ...args] = [...before, ...drop, 'sh', '-c', script];
    const native = spawnSync(program!, args, { encoding: 'utf8' });
    const inRun = { ...environment, prefix: [...before, ...environment.prefix] };
    const dropped = isUsers ? [] : drop;
    const run = softiommu([...dropped, 'sh', '-c', script], { environment: inRun });
    const said = ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr;
    return { native: said(native), run: said(run) };
  }

  it.for(DIRECTORIES)('a directory %s', ([, mode, owner, acl, outcome], { skip: leave }) => {
    leave(
      isUsers && environment.mode === 'namespace' && mode === '711',
      'what a user cannot list is not shown in a namespace of his',
    );
    const { native, run } = both([mode, owner, acl], LOOKS);
    expect(native.startsWith('read')).toBe(outcome === 'read');
    expect(run).toBe(native);
  });
  it('owner and mode are those of the host', ({ skip: leave }) => {
    leave(isUsers, 'a user has no numbers of others in a namespace');
    const { native, run } = both(['1751', '12', 'no'], SHOWS, []);
    expect(run).toBe(native);
    expect(run).toContain('/sys/kernel 1751 12:12');
  });
  it('what is simulated may be passed, whatever the umask of who starts the run', () => {
    const umask = ['sh', '-c', 'umask 077; exec "$@"', 'sh'];
    const strict = { ...environment, prefix: [...umask, ...environment.prefix] };
    const look = ['cat', '/sys/bus/pci/devices/0000:00:04.0/vendor'];
    const { stdout, stderr } = softiommu([...(isUsers ? [] : NOBODY), ...look], {
      environment: strict,
    });
    expect([stderr, stdout]).toEqual(['', '0x1234\n']);
  });
});
