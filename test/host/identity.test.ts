/** Who is calling, in programs that make it hard to say: which thread, which memory, which table of descriptors. */
import { describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, type Environment } from './environments.ts';

const program = compile('test/host/programs/identity.c');
const isRoot = process.getuid?.() === 0;
const lines = (text: string): string[] => text.trim().split(/\n\s*/);

/** Root with its capabilities may look into every process. */
function looksEverywhere({ prefix }: Environment): boolean {
  return isRoot && prefix.length === 0;
}
/** A default container forbids kcmp(2): who shares memory with whom cannot be asked. */
function isContainer({ name }: Environment): boolean {
  return name.startsWith('in a default container');
}

/** A child that has its parent's memory becomes another program; what the parent has stays the parent's. */
const SHARED = `
  the new program maps its page: 0
  of it the device sees: new
  after its munmap: new
  the child: 0
  our page: ours
  as we mapped it, the device sees: ours
  as the child mapped it: ours
  our page, and it is followed: later
  when we unmap it: later`;

const EXPECTED = {
  tables: `
    an eventfd of the thread's own table: 0
    its interrupts: 1
    what is no eventfd there: EINVAL
    the leader's file: precious
    an eventfd of the leader's table: 0
    its interrupts: 1`,
  leaderless: `
    map: 0
    the device sees: hello
    an eventfd: 0
    its interrupts: 1
    a register: 0x10000ed
    after munmap: hello`,
  clone: SHARED,
  vfork: SHARED,
  threads: `
    after an exec that fails: still
    the new program maps its page: 0
    of it the device sees: new
    after its munmap: new`,
};

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  const run = (part: string) => softiommu([program, part], { environment });

  // A default container forbids unshare(2): there is no thread with a table of its own.
  const parts = Object.entries(EXPECTED).filter(
    ([part]) => part !== 'tables' || !isContainer(environment),
  );
  it.for(parts)("a call is its thread's: %s", ([part, expected]) => {
    const { stdout, stderr } = run(part);
    expect(stderr).toBe('');
    expect(lines(stdout)).toEqual(lines(expected));
  });

  it('pages that a child with our memory takes away are parted from their pins', () => {
    const { stdout } = run('removed');
    const kept = isContainer(environment) ? 'another' : 'old';
    expect(lines(stdout)).toEqual([`the device keeps: ${kept}`, 'the program has: another']);
  });

  it('whose a node is, is told in the numbers of the user namespace of who asks', ({ skip }) => {
    if (isContainer(environment)) skip('it forbids unshare(2)');
    const script = `
      stat -c %u:%g /dev/vfio/0 /sys/bus/pci/devices/0000:00:04.0/vendor
      chown 5:6 /dev/vfio/0; echo $?
      chown 7 /dev/vfio/0; echo $?
      stat -L -c %u:%g /proc/self/fd/0 < /dev/vfio/vfio
      unshare --user stat -c %u:%g /dev/vfio/0`;
    const asFive = ['unshare', '--user', '--map-user=5', '--map-group=6', 'sh', '-c', script];
    const { stdout, stderr } = softiommu(asFive, { environment });
    const expected = ['5:6', '5:6', '0', '1', '5:6', '65534:65534'];
    expect(stdout.trim().split('\n')).toEqual(expected);
    expect(stderr).toMatch(/^chown: .*Invalid argument\n$/);
  });

  it('a program that may not be looked into is told so, and goes on with what is not ours', () => {
    const { stdout, stderr } = run('undumpable');
    const seen = looksEverywhere(environment);
    const expected = `
      a path: 0
      one that is not there: ENOENT
      a path at no address: EFAULT
      a pipe: 0
      our descriptor: ${seen ? '0' : 'EPERM'}
      again: ${seen ? '1' : 'EPERM'}`;
    expect(lines(stdout)).toEqual(lines(expected));
    const warnings = stderr.split('\n').filter((line) => line.includes('may not be looked into'));
    expect(warnings).toHaveLength(seen ? 0 : 1);
  });
});
