/**
 * A device that is removed while a program has it, or its registers mapped: they answer until the program lets go, as on Linux.
 * Then the removal ends, also when whoever began it is dead: nothing ends the wait in vfio_unregister_group_dev().
 */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/gone.c');
const KILLED = compile('test/host/programs/killed-writer.c');
const GENERIC = '0000:00:05.0';
const flags = ['--device', `generic,bdf=${GENERIC}`];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for([
    ['the group', '1'],
    ['the cdev', 'cdev'],
  ] as const)('a removal waits for a user of %s, whose mapping answers until then', ([, door]) => {
    const run = softiommu([PROGRAM, door, GENERIC], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'it waits: 0',
      'the register: 5',
      'a mapping is a user: 0, 6',
      'removed: 1',
      'there: -1',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });

  it.for([
    ['a removal', `/sys/bus/pci/devices/${GENERIC}/remove`, '1', ''],
    ['an unbinding', '/sys/bus/pci/drivers/vfio-pci/unbind', GENERIC, '/driver'],
  ] as const)('%s goes on when its program is killed', ([, file, written, there]) => {
    const until = `/sys/bus/pci/devices/${GENERIC}${there}`;
    const run = softiommu([KILLED, GENERIC, file, written, until], { environment, flags });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'waits: 0',
      'killed by 9',
      'meanwhile: 0',
      'let go of: -1',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });

  it('a device that is torn out answers all ones, is forgotten when it is let go of, and put back', () => {
    const machine = ['--machine', 'test/host/programs/torn-out.json'];
    const program = ['/usr/bin/python3', 'test/host/programs/torn-out.py', GENERIC];
    const run = softiommu(program, { environment, flags: machine });
    expect(run.stdout.trimEnd().split('\n')).toEqual([
      'id: 0x10000ed',
      'torn out: 12',
      'mapped: 0xffffffff read: ffffffff',
      'known while it is open: True',
      'known then: False',
      'put in again: 12 True',
    ]);
    expect([run.stderr, run.status]).toEqual(['', 0]);
  });
});
