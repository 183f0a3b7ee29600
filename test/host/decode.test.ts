/** Mapped registers that do not answer: a touch of the mapping is the program's SIGBUS, as on Linux, and reaches no device. */
import { afterAll, describe, expect, test } from 'vitest';
import { compile, ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = compile('test/host/programs/decode.c');
const EDU = '0000:00:04.0';
/** edu's DMA source address keeps what is stored there. */
const SOURCE = '0x80';
const VF = '0000:01:10.0';
const VF_GROUP = '2';
const GENERIC = '0000:00:05.0';

function refused(when: string, at: number): string[] {
  const place = (offset: number): string => (offset === 0 ? '+0' : `+0x${offset.toString(16)}`);
  return ['load', 'store', 'add', 'copy'].map((access) => {
    const touched = place(access === 'copy' ? at + 4 : at);
    return `${when}, ${access}: SIGBUS BUS_ADRERR at ${touched}`;
  });
}

const ASLEEP = ['power state D3', ...refused('asleep', 0), 'power state D0', 'awake, load: done'];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it.for([
    ['the group', '0'],
    ['the cdev', 'cdev'],
  ] as const)(
    'memory decode off is a SIGBUS with the address to a user of %s, and the device sees neither loads nor stores',
    ([, door]) => {
      const { stdout, stderr, status } = softiommu([PROGRAM, door, EDU, SOURCE], { environment });
      expect(stdout.trimEnd().split('\n')).toEqual([
        ...refused('decode off', 0x80),
        'decode off, in a child, load: SIGBUS BUS_ADRERR at +0x80',
        'decode on, load: done',
        'the register: 5',
      ]);
      expect([stderr, status]).toEqual(['', 0]);
    },
  );

  it('a virtual function has no decode of its own: it answers always', () => {
    const flags = ['--machine', 'preset:sriov'];
    const { stdout, stderr, status } = softiommu([PROGRAM, VF_GROUP, VF, '0'], {
      environment,
      flags,
    });
    expect(stdout.trimEnd().split('\n')).toEqual([
      ...['load', 'store', 'add', 'copy'].map((access) => `decode off, ${access}: done`),
      'decode off, in a child, load: done',
      'decode on, load: done',
      ...ASLEEP,
    ]);
    expect([stderr, status]).toEqual(['', 0]);
  });

  it('a device in D3hot does not answer until it is woken', () => {
    const flags = ['--device', `generic,bdf=${GENERIC},bar=trap`];
    const { stdout, stderr, status } = softiommu([PROGRAM, '1', GENERIC, '0'], {
      environment,
      flags,
    });
    expect(stdout.trimEnd().split('\n')).toEqual([
      ...refused('decode off', 0),
      'decode off, in a child, load: SIGBUS BUS_ADRERR at +0',
      'decode on, load: done',
      ...ASLEEP,
    ]);
    expect([stderr, status]).toEqual(['', 0]);
  });
});
