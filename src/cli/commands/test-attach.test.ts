import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserMistake } from '../user-mistake.ts';
import {
  answersAsData,
  answersAsTable,
  testAttachCommand,
  testAttachFiles,
} from './test-attach.ts';

const folder = mkdtempSync(join(tmpdir(), 'softiommu-wishes-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
function file(text: string, name = 'w.yaml'): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}
function ask(machine: string, wishes: string) {
  const run = testAttachFiles({ machine }, file(wishes));
  return { ...answersAsData(run), table: answersAsTable(run) };
}
function mistake(machine: string, wishes: string): string {
  try {
    testAttachFiles({ machine }, file(wishes));
  } catch (error) {
    if (error instanceof UserMistake) return error.message.replaceAll(`${folder}/`, '');
    throw error;
  }
  throw new Error('accepted');
}
/** One device with 16-bit PASIDs. */
const PASIDS = file(
  'devices: [{ type: generic, at: "0000:00:04.0", options: { pcie: true, pasid_bits: 16 } }]\n',
  'pasids.yaml',
);
const A = '0000:00:04.0';
const B = '0000:00:05.0';

const WISHES = [
  [
    'that fits passes',
    'preset:default',
    `{ domain: { device: '${A}' }, device: '${A}' }`,
    null,
    'ok',
  ],
  [
    "for another driver's domain meets the owner check",
    'preset:two-drivers',
    `{ domain: { iommu: mock0 }, device: '${A}' }`,
    'EINVAL',
    'owner',
  ],
  [
    'for a domain of another width is refused by the driver',
    'preset:two-iommus',
    `{ domain: { iommu: dmar0 }, device: '${B}' }`,
    'EINVAL',
    'driver',
  ],
  [
    'for one function of a group of two is refused',
    'preset:multifunction',
    `{ domain: { device: '0000:01:00.0' }, device: '0000:01:00.0' }`,
    'EINVAL',
    'singleton',
  ],
  [
    'for a blocked device that needs direct mappings is refused',
    'preset:direct-mapped',
    `{ domain: { device: '${A}', type: blocked }, device: '${A}' }`,
    'EINVAL',
    'direct-map',
  ],
  [
    'for a device without an IOMMU stops at the domain',
    'preset:noiommu',
    `{ domain: { device: '${A}' }, device: '${A}' }`,
    'ENODEV',
    'alloc',
  ],
  [
    'for the default domain of a device without any stops at the domain',
    'preset:noiommu',
    `{ domain: { device: '${A}', type: default }, device: '${A}' }`,
    'EOPNOTSUPP',
    'alloc',
  ],
  [
    'for a PASID nobody has attached cannot replace',
    'preset:default',
    `{ domain: { device: '${A}', flags: [pasid] }, device: '${A}', pasid: 5, mode: replace }`,
    'EINVAL',
    'pasid-slot',
  ],
  [
    'for a PASID beyond those of the device is out of range',
    PASIDS,
    `{ domain: { device: '${A}', flags: [pasid] }, device: '${A}', pasid: 65536 }`,
    'EINVAL',
    'pasid-range',
  ],
  [
    'for a device of a machine whose identity domain is standing passes',
    'preset:default',
    `{ domain: { device: '${A}', type: identity }, device: '${A}' }`,
    null,
    'ok',
  ],
] as const;

describe('a wish', () => {
  test.for(WISHES)('%s is answered', ([, machine, wish, errno, stage]) => {
    const { ok, wishes } = ask(machine, `- ${wish}\n`);
    expect(ok).toBe(errno === null);
    expect(wishes[0]).toMatchObject({ errno });
    expect(wishes[0]?.devices[0]).toMatchObject({ errno, stage });
  });
  test('a wish for a group answers for every member', () => {
    const { wishes } = ask(
      'preset:multifunction',
      "- { domain: { device: '0000:01:00.0' }, group: 1 }\n",
    );
    expect(wishes[0]?.devices.map(({ device }) => device)).toEqual([
      '0000:01:00.0',
      '0000:01:00.1',
    ]);
  });
});

describe('what is attached before', () => {
  const busy = (whatIf: boolean): string => `
whatIf: ${String(whatIf)}
domains: { one: { device: '${A}' }, two: { device: '${A}' }, p: { device: '${A}', flags: [pasid] } }
before: [{ domain: one, device: '${A}' }, { domain: p, device: '${A}', pasid: 3 }]
wishes:
  - { domain: two, device: '${A}' }
  - { domain: two, device: '${A}', mode: replace }
  - { domain: p, device: '${A}', pasid: 3 }
  - { domain: p, device: '${A}', pasid: 4 }
`;
  test('what is attached before makes a group busy and takes PASIDs', () => {
    const { wishes } = ask(PASIDS, busy(false));
    const answers = wishes.map(({ errno, devices }) => [errno, devices[0]?.stage]);
    expect(answers).toEqual([
      ['EBUSY', 'busy'],
      [null, 'ok'],
      ['EBUSY', 'pasid-slot'],
      [null, 'ok'],
    ]);
  });
  test('what is attached before is left out by whatIf', () => {
    expect(ask(PASIDS, busy(true)).ok).toBe(true);
  });
  test('what is attached before needs a group', () => {
    const machine = file(
      `devices:\n  - { type: edu, at: '${A}' }\n  - { type: edu, at: '${B}', iommu: none }\n`,
      'half.yaml',
    );
    const text = `domains: { d: { iommu: dmar0 } }\nbefore: [{ domain: d, device: '${B}' }]\nwishes: [{ domain: d, device: '${A}' }]\n`;
    expect(mistake(machine, text)).toBe(
      'w.yaml:2: before[0]: cannot be attached: ENODEV, the device is in no group',
    );
  });
  test('what is attached before must be possible', () => {
    const text = `domains: { d: { iommu: dmar0 } }\nbefore:\n  - { domain: d, device: '${B}' }\nwishes: [{ domain: d, device: '${A}' }]\n`;
    expect(mistake('preset:two-iommus', text)).toMatch(
      /^w\.yaml:3: before\[0\]: cannot be attached: EINVAL, /,
    );
  });
});

test('the table has a line for every device and ends with the count', () => {
  const { table } = ask(
    'preset:two-iommus',
    `- { domain: { iommu: dmar0 }, device: '${A}' }\n- { domain: { iommu: dmar0 }, device: '${B}' }\n`,
  );
  const lines = table.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^wish +domain +target +pasid +mode +device +result +stage +reason$/);
  expect(lines[1]).toMatch(/^1 +paging of dmar0 .* ok$/);
  expect(lines[2]).toMatch(/^2 .* EINVAL +driver +\S/);
  expect(lines.at(-1)).toBe('1 of 2 would be refused');
});

const good = `device: '${A}'`;
const MISTAKES = [
  ['YAML', '- [', 'w.yaml:'],
  ['no wish', 'wishes: []\n', 'w.yaml:1: wishes: at least one wish is needed'],
  [
    'a key of a wish',
    `- domain: { ${good} }\n  ${good}\n  color: red\n`,
    "w.yaml:3: wishes[0].color: unknown key 'color'; allowed: domain, device, group, pasid, mode",
  ],
  [
    'a key of a domain',
    `- domain:\n    ${good}\n    width: 3\n  ${good}\n`,
    "w.yaml:3: wishes[0].domain.width: unknown key 'width'; allowed: device, iommu, type, flags",
  ],
  [
    'a key of the file',
    `wishes: [{ domain: { ${good} }, ${good} }]\nhurry: true\n`,
    "w.yaml:2: hurry: unknown key 'hurry'; allowed: whatIf, domains, before, wishes",
  ],
  [
    'a mode',
    `- domain: { ${good} }\n  ${good}\n  mode: force\n`,
    "w.yaml:3: wishes[0].mode: 'force' is not allowed; allowed: attach, replace",
  ],
  [
    'a type',
    `domains:\n  d:\n    ${good}\n    type: open\nwishes: [{ domain: d, ${good} }]\n`,
    "w.yaml:4: domains.d.type: 'open' is not allowed; allowed: paging, identity, blocked, default",
  ],
  [
    'a flag',
    `- domain: { ${good}, flags: [fast] }\n  ${good}\n`,
    "w.yaml:1: wishes[0].domain.flags[0]: 'fast' is not allowed; allowed: nest-parent, dirty-tracking, pasid",
  ],
  ['a domain', `- domain: 7\n  ${good}\n`, 'w.yaml:1: wishes[0].domain: must be the name of a'],
  ['an address', `- domain: { ${good} }\n  device: '4.0'\n`, 'w.yaml:2: wishes[0].device: must be'],
  [
    'a device that is not there',
    `- domain: { ${good} }\n  device: '0000:00:1f.0'\n`,
    `w.yaml:2: wishes[0].device: there is no device 0000:00:1f.0; allowed: ${A}`,
  ],
  [
    'a group that is not there',
    `- domain: { ${good} }\n  group: 9\n`,
    'w.yaml:2: wishes[0].group: there is no group 9; allowed: 0',
  ],
  [
    'an IOMMU that is not there',
    `- domain: { iommu: dmar9 }\n  ${good}\n`,
    "w.yaml:1: wishes[0].domain.iommu: no device is behind an IOMMU 'dmar9'; allowed: dmar0",
  ],
  [
    'a name that is not there',
    `- domain: d\n  ${good}\n`,
    "w.yaml:1: wishes[0].domain: there is no domain 'd'; allowed: none: there is no key domains",
  ],
  [
    'no maker',
    `- domain: { type: paging }\n  ${good}\n`,
    'w.yaml:1: wishes[0].domain: one of device and iommu must say',
  ],
  [
    'no target',
    `- domain: { ${good} }\n`,
    'w.yaml:1: wishes[0]: one of device and group must be the target',
  ],
  [
    'flags of a static domain',
    `- domain: { ${good}, type: blocked, flags: [pasid] }\n  ${good}\n`,
    'w.yaml:1: wishes[0].domain.flags: only a paging domain has flags, not blocked',
  ],
] as const;

describe('a mistake is reported with its line and what is allowed', () => {
  test.for(MISTAKES)(
    'a mistake is reported with its line and what is allowed: %s',
    ([, text, message]) => {
      expect(mistake('preset:default', text)).toContain(message);
    },
  );
});

describe('the exit status', () => {
  async function status(wishes: string): Promise<number | undefined> {
    const out = process.stdout.write.bind(process.stdout);
    const err = process.stderr.write.bind(process.stderr);
    const before = process.exitCode;
    process.stdout.write = () => true;
    process.stderr.write = () => true;
    try {
      await testAttachCommand().parseAsync(['--machine', 'preset:two-iommus', file(wishes)], {
        from: 'user',
      });
      return process.exitCode as number | undefined;
    } finally {
      process.stdout.write = out;
      process.stderr.write = err;
      process.exitCode = before;
    }
  }
  test.for([
    ['0: all would succeed', `- { domain: { iommu: dmar0 }, device: '${A}' }\n`, 0],
    ['1: some would be refused', `- { domain: { iommu: dmar0 }, device: '${B}' }\n`, 1],
    ['2: the file is wrong', '- { domain: 1 }\n', 2],
  ] as const)('the exit status is %s', async ([, wishes, expected]) => {
    expect(await status(wishes)).toBe(expected);
  });
});

test('asking changes nothing', async () => {
  const { loadMachine } = await import('../machine-file.ts');
  const { testWishes } = await import('../../machine/wishes/test-wishes.ts');
  const { parseWishes } = await import('../../machine/wishes/wish-list.ts');
  const machine = loadMachine({ machine: 'preset:two-iommus' });
  const parsed = parseWishes([
    { domain: { iommu: 'dmar0' }, device: A },
    { domain: { iommu: 'dmar0' }, device: B },
    { domain: { iommu: 'dmar1', type: 'blocked' }, group: 1 },
  ]);
  if ('problems' in parsed) throw new Error('not a list');
  const before = machine.stateDigest();
  testWishes(machine, parsed.list);
  expect(machine.stateDigest()).toBe(before);
  machine.close();
});
