/** Mistakes in the command line, and help, as the commands themselves say them. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import * as output from '../host/sys/write-all.ts';
import { commandLine } from './command-line.ts';

vi.mock(import('../host/sys/write-all.ts'), async (original) => ({
  ...(await original()),
  writeAll: vi.fn(() => undefined),
}));
class Exit extends Error {
  readonly status: unknown;
  constructor(status: unknown) {
    super(`exit ${String(status)}`);
    this.status = status;
  }
}
beforeEach(() => {
  vi.mocked(output.writeAll).mockClear();
  vi.spyOn(process, 'exit').mockImplementation((status) => {
    throw new Exit(status);
  });
});

/** The status a command line ends with, and what is written to standard error. */
async function softiommu(...args: string[]) {
  const program = await commandLine(args);
  const status = await program.parseAsync(args, { from: 'user' }).then(
    () => process.exitCode ?? 0,
    (error: unknown) => (error instanceof Exit ? error.status : error),
  );
  const { calls } = vi.mocked(output.writeAll).mock;
  const stderr = calls.filter(([fd]) => fd === output.STDERR).map(([, text]) => text);
  return { status, lines: stderr.join('').trimEnd().split('\n') };
}

test.for([
  [['frobnicate'], 125, "unknown command 'frobnicate'", 'softiommu'],
  [['run'], 125, "missing required argument 'program'", 'softiommu run'],
  [['run', '--frobnicate', '--', 'ls'], 125, "unknown option '--frobnicate'", 'softiommu run'],
  [['topology', '--fast'], 125, "unknown option '--fast'", 'softiommu topology'],
  [
    ['run', '-s', 'many', 'ls'],
    125,
    "option '-s, --string-limit <bytes>' argument 'many' is invalid. a number of bytes up to 65536 is wanted.",
    'softiommu run',
  ],
  [['explain'], 125, "missing required argument 'what'", 'softiommu explain'],
  [
    ['explain', '--in', 'iommufd', 'no', 'such', 'words'],
    125,
    "no rule of iommufd refuses with 'no such words', and none has these words",
    'softiommu explain',
  ],
  [['test-attach'], 2, "missing required argument 'wishes'", 'softiommu test-attach'],
  [
    ['topology', '--machine', 'preset:mock', '--machine=preset:default'],
    125,
    "option '--machine <file>' is given twice",
    'softiommu topology',
  ],
  [
    ['run', '--trace', '--trace=x', 'ls'],
    125,
    "option '--trace [=file]' is given twice",
    'softiommu run',
  ],
] as const)(
  '%s has a status of its own, says what is wrong, and where help is',
  async ([args, status, what, help]) => {
    expect(await softiommu(...args)).toEqual({
      status,
      lines: [`softiommu: ${what}`, `(${help} --help shows what there is)`],
    });
  },
);

test.for([
  ['6.12', []],
  ['6.8.0-45-generic', ['6.8.0-45-generic', '6.8']],
  ['7.1', ['7.1', '6.17']],
] as const)(
  'a kernel of version %s is taken, and told of once where it is not known',
  async ([version, told]) => {
    const file = join(mkdtempSync(join(tmpdir(), 'kernel-')), 'machine.yaml');
    writeFileSync(file, `kernel: { version: '${version}' }\n`);
    const { lines, status } = await softiommu('topology', '--machine', file);
    const [asked, release] = told;
    const note = `softiommu: kernel ${asked} behaves as ${release}, the nearest release that is known`;
    expect([status, lines]).toEqual([0, asked === undefined ? [''] : [note]]);
  },
);

test.for([
  ['--bar', '0000:00:04.0=trap', '0000:00:04.0/0=none'],
  ['--wire', 'a,listen=a.sock', 'b,listen=b.sock'],
  ['--block', 'a,memory=1M', 'b,memory=1M'],
  ['--device', 'edu', 'edu'],
] as const)('%s may be repeated', async ([option, ...values]) => {
  const args = values.flatMap((value) => [option, value]);
  expect(await softiommu('topology', ...args)).toEqual({ status: 0, lines: [''] });
});

test('help that was asked for is no mistake', async () => {
  expect((await softiommu('test-attach', '--help')).status).toBe(0);
});

test('the help of run has its options in groups, none outside of one', async () => {
  const [run] = (await commandLine(['run'])).commands;
  const help = run!.helpInformation();
  const groups = [...help.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
  expect(groups).toEqual([
    'Arguments',
    'The machine',
    'What is shown while it runs',
    'What is said at the end',
    'What is looked for, and what goes wrong',
    'How the program runs',
    'Options',
  ]);
  const outside = /\nOptions:\n([^]*)$/.exec(help)![1]!;
  expect(outside.trim().split('\n')).toEqual([expect.stringMatching(/^-h, --help /)]);
  const sections = help.split(/^\S.*:$/m).slice(2);
  for (const section of sections) expect(section.match(/^ {2}-/gm)!.length).toBeLessThan(25);
});
