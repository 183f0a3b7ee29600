/** With pages pinned, files that calls change are looked at: those of our own mount too, which nobody but us answers for. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

/** An attribute under another name, of a program whose mounts are its own to change. */
const BOUND = `
  name=$(mktemp)
  mount --bind "$2" "$name"
  "$1" "$name"
  umount "$name"
  rm "$name"`;
const ATTRIBUTE = '/sys/bus/pci/devices/0000:00:04.0/vendor';
const PROGRAM = join(PROJECT, 'test/host/programs/own-mount.py');

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('an attribute is emptied, cut, and no memory for a device, by whatever name', () => {
    const flags = ['--selftest'];
    // Traps do not see where a link of the host leads.
    const names = environment.mode === 'traps' ? ['name', 'root'] : ['name', 'root', 'link'];
    const { stdout, stderr } = softiommu(['python3', PROGRAM, ...names], { environment, flags });
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    const outcomes = ['ok', 'ok', 'ok', 'EINVAL'];
    expect(lines).toEqual(names.flatMap((name) => outcomes.map((outcome) => `${name} ${outcome}`)));
  });

  it.for(['by its name', 'bound elsewhere'])(
    'no attribute is mapped, by any call: %s',
    (how, { skip }) => {
      skip(environment.mode === 'traps', 'nothing is mounted');
      const isBound = how === 'bound elsewhere';
      skip(isBound && !environment.name.startsWith('as root'), 'only root can mount');
      const program = compile('test/host/programs/own-mappings.c', '-no-pie');
      const argv = isBound ? ['sh', '-c', BOUND, 'sh', program] : [program];
      const { stdout, stderr } = softiommu([...argv, ATTRIBUTE], { environment });
      const [ways, foreign] = [
        ['private', 'shared'],
        ['mmap2', 'old mmap'],
      ];
      const has32 = !stdout.includes('no calls of 32 bits');
      const ENODEV = 19;
      const refused = [...ways, ...(has32 ? foreign : [])].map((way) => `${way} ${ENODEV}`);
      expect(stderr).toBe('');
      expect(stdout.trimEnd().split('\n')).toEqual(
        has32 ? refused : [...refused, 'no calls of 32 bits'],
      );
    },
  );
});
