/** Memory of programs under `run --selftest`: what the simulated kernel holds of it, and what it says of it. */
import { describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { PROJECT } from './project.ts';
import { ENVIRONMENTS, softiommu } from './environments.ts';

const PROGRAM = join(PROJECT, 'test/host/programs/memory.py');

const EXPECTED = {
  files: `
    a memfd: ok
    VmPin: 8
    more than the memfd has: EINVAL
    a file that is no memory: EINVAL
    VmPin after the close: 0`,
  gone: `
    a child maps: 0
    read when it is gone: b'after the child'`,
  huge: `
    shared huge memory is aligned: 0
    mapped: ok
    and there: ok
    as huge pages: ok
    private huge memory is aligned: 0
    mapped: ok
    and there: ok
    as huge pages: ok
    at a place: True
    at a place not aligned: EINVAL
    a huge memfd: ok`,
  capabilities: `
    all capabilities: 0x1ffffffffff
    capget: 0
    capset without CAP_IPC_LOCK: 0
    it is gone: 0
    and does not come back: -1
    errno: EPERM
    a bad version: -1`,
  injection: `
    fail-nth: b'0\\n'
    a lookup: ENOENT
    fail-nth: b'0\\n'
    read(2): b'9\\n'`,
  pages: `
    no such region: ENXIO
    shared pages: 0xabcd
    destroyed while mapped: EBUSY
    a child sees them: 0xcd
    destroyed: True`,
};

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it.for(Object.entries(EXPECTED))(
    'memory of a program is what a device sees: %s',
    ([part, expected]) => {
      const { stdout, stderr } = softiommu(['python3', PROGRAM, part], {
        environment,
        flags: ['--selftest'],
      });
      expect(stderr).toBe('');
      const lines = (text: string): string[] => text.trim().split(/\n\s*/);
      expect(lines(stdout)).toEqual(lines(expected));
    },
  );
});

// The mapping itself gives a descriptor of what it shows, to those who may look: /proc/PID/map_files.
test.skipIf(process.getuid?.() !== 0)('shared pages stay when nobody maps them any more', () => {
  const argv = ['python3', PROGRAM, 'gone', 'unmapped'];
  const { stdout } = softiommu(argv, { flags: ['--selftest'] });
  expect(stdout).toContain("read when it is gone: b'after the child'");
});
