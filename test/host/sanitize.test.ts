/** What `run --sanitize` finds in real programs: one program a kind of finding, and the same program without its mistake. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { compile, softiommu } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'softiommu-sanitize-'));
afterAll(() => rmSync(folder, { recursive: true }));

const built = (kind: string, ...flags: string[]) =>
  compile(`examples/buggy/${kind}.c`, '-O0', '-g', ...flags);
const run = (argv: readonly string[], ...flags: string[]) => softiommu(argv, { flags });
const errors = (stderr: string) => stderr.split('\n').filter((line) => line.includes('ERROR: '));

/**
 * The kind, what it is said of, and what each paragraph begins with: its title, and functions from the second frame on. Where
 * the program does what belongs to another kind as well: what is looked for.
 */
const FINDINGS: [kind: string, about: string, wanted: string[], kinds?: string][] = [
  [
    'dma-never-mapped',
    'on iova 0x101000',
    ['WRITE of size 64 by 0000:00:04.0: fault 0x71', 'started by a store here: edu_copy main'],
  ],
  [
    'dma-after-unmap',
    'on iova 0x100080',
    [
      'WRITE of size 64 by 0000:00:04.0: fault 0x71',
      'started by a store here: edu_copy main',
      'unmapped by VFIO_IOMMU_UNMAP_DMA here: edu_unmap stop main',
      'previously mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x1000 for reading and writing) here: edu_map start main',
    ],
  ],
  [
    'wrong-direction',
    'on iova 0x100000',
    [
      'WRITE of size 64 by 0000:00:04.0: fault 0x',
      'started by a store here: edu_copy main',
      'mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x1000 for reading) here: edu_map main',
    ],
  ],
  [
    'failed-map-used',
    'on iova 0x101000',
    [
      'WRITE of size 64 by 0000:00:04.0: it reached what was mapped before',
      'started by a store here: edu_copy main',
      'its mapping by VFIO_IOMMU_MAP_DMA failed with EEXIST here: edu_map map_results main',
      'instead it is mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x2000 for reading and writing) here: edu_map main',
    ],
  ],
  [
    'unmap-short',
    'of 0x101000 +0x1000',
    [
      'the call succeeded and removed nothing',
      'unmapped by VFIO_IOMMU_UNMAP_DMA here: edu_unmap main',
    ],
  ],
  [
    'rights-differ',
    'of memory 0x',
    [
      'iova 0x110000 is mapped for reading and writing, iova 0x100000 for reading',
      'mapped for reading and writing by VFIO_IOMMU_MAP_DMA here: edu_map main',
      'mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x1000 for reading) here: edu_map main',
    ],
  ],
  [
    'memory-lost',
    'of 4096 byte(s) at iova 0x100000',
    [
      'devices go on using the memory, which its program no longer sees',
      'taken from the program by munmap here: free_buffer main',
      'mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x1000 for reading and writing) here: edu_map main',
    ],
  ],
  [
    'lost-memory-used',
    'on iova 0x101100',
    [
      'WRITE of size 64 by 0000:00:04.0: it reached memory that its program no longer sees',
      'started by a store here: edu_copy main',
      'taken from the program by madvise here: trim main',
      'mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x2000 for reading and writing) here: edu_map main',
    ],
    'default,leak',
  ],
  [
    'transfer-overruns',
    'on iova 0x101000',
    [
      'WRITE of size 64 by 0000:00:04.0: it went on in other memory there',
      'started by a store here: edu_copy main',
      'it began in what is mapped by VFIO_IOMMU_MAP_DMA (0x100000 +0x1000 for reading and writing) here: edu_map main',
      'and goes on in what is mapped by VFIO_IOMMU_MAP_DMA (0x101000 +0x1000 for reading and writing) here: edu_map main',
    ],
  ],
];

/** A report as the lines of the table: the frames of a paragraph behind its title, without the C library's. */
function paragraphs(report: string): string[] {
  const found: string[] = [];
  for (const line of report.split('\n')) {
    const frame = /^ {4}#\d+ 0x[0-9a-f]{12}(?: in (\S+) \S+\.[ch]:\d+)?/.exec(line);
    if (!frame) found.push(line);
    else if (frame[1] !== undefined) found.push(`${found.pop()!} ${frame[1]}`);
  }
  return found;
}

describe.each(FINDINGS)('%s', (kind, about, wanted, kinds = 'all') => {
  test('is found, once, with its places', () => {
    const { stderr, status } = run([built(kind)], `--sanitize=${kinds}`, '--error-exitcode', '99');
    const [rule, head, ...rest] = paragraphs(stderr.trimEnd());
    expect(rule).toBe('='.repeat(65));
    expect(head).toMatch(/^==\d+==ERROR: DMA sanitizer: /);
    expect(head).toContain(`${kind} ${about}`);
    const summary = rest.pop();
    expect(summary).toContain(`SUMMARY: DMA sanitizer: ${kind} ${about}`);
    expect(rest.map((line, n) => line.slice(0, (wanted[n] ?? '').length))).toEqual(wanted);
    expect(errors(stderr)).toHaveLength(1);
    expect(status).toBe(99);
  });
  test('is not found where the mistake is not made', () => {
    const flags = ['--sanitize=all', '--error-exitcode', '99'];
    const { stderr, status } = run([built(kind, '-DFIXED')], ...flags);
    expect([stderr, status]).toEqual(['', 0]);
  });
});

describe('leak', () => {
  test('is found: mappings by where they were made, and objects', () => {
    const { stderr } = run([built('leak')], '--sanitize=leak');
    const lines = paragraphs(stderr);
    expect(lines).toContain('mapped by VFIO_IOMMU_MAP_DMA here: edu_map fill main');
    expect(lines).toContain('allocated here: new_ioas main');
    expect(lines).toContain('set up by VFIO_DEVICE_SET_IRQS here: interrupt main');
    expect(
      errors(stderr)
        .map((line) => line.replace(/==\d+==ERROR: /, ''))
        .sort(),
    ).toEqual([
      'DMA sanitizer: leak of 12288 byte(s) in 3 mapping(s)',
      'DMA sanitizer: leak of IOAS 1.1',
      'DMA sanitizer: leak of interrupt 0 of VFIO_PCI_MSI_IRQ_INDEX',
    ]);
  });
  test('is not found where everything is undone', () => {
    const { stderr, status } = run([built('leak', '-DFIXED')], '--sanitize=all');
    expect([stderr, status]).toEqual(['', 0]);
  });
  test('is not looked for by default', () => {
    expect(run([built('leak')], '--sanitize').stderr).toBe('');
  });
});

describe('what is known', () => {
  const file = (text: string) => {
    const path = join(folder, 'known');
    writeFileSync(path, text);
    return path;
  };
  const flags = ['--sanitize', '--error-exitcode', '9'];

  test('is not said, and does not fail the run', () => {
    const known = file('# of the old driver\nunmap-short:main\n');
    const { stderr, status } = run([built('unmap-short')], ...flags, '--suppressions', known);
    expect([stderr, status]).toEqual(['', 0]);
  });
  test('a line that matches nothing is told', () => {
    const known = file('unmap-short:other_*\n');
    const { stderr, status } = run([built('unmap-short')], ...flags, '--suppressions', known);
    expect(stderr).toContain('softiommu: the suppression unmap-short:other_* has matched nothing');
    expect([errors(stderr).length, status]).toEqual([1, 9]);
  });
  test('--gen-suppressions says a line that works', () => {
    const { stderr } = run([built('dma-after-unmap')], '--sanitize', '--gen-suppressions');
    const known = file(stderr.trimEnd().split('\n').at(-1)!);
    const { stderr: quiet } = run([built('dma-after-unmap')], ...flags, '--suppressions', known);
    expect(quiet).toBe('');
  });
});

describe('--findings', () => {
  const findings = join(folder, 'found');
  const files = () => readdirSync(folder).filter((name) => name.startsWith('found.'));

  test('go to a file of each run, which is there also when nothing was found', () => {
    const { stderr } = run([built('unmap-short')], '--sanitize', '--findings', findings);
    const [first] = files();
    expect(stderr).toBe('');
    expect(first).toMatch(/^found\.\d+$/);
    expect(errors(readFileSync(join(folder, first!), 'utf8'))).toHaveLength(1);

    run(['true'], '--sanitize', '--findings', findings);
    expect(files()).toHaveLength(2);
  });
  test('that cannot be written keep the program from running', () => {
    const { stderr, status } = run(['echo', 'ran'], '--sanitize', '--findings', '/nowhere/found');
    expect(stderr).toMatch(
      /^softiommu: the findings cannot be written to \/nowhere\/found\.\d+: there is no such file\n$/,
    );
    expect(status).toBe(125);
  });
});

describe('the status', () => {
  test('is the program’s without --error-exitcode', () => {
    expect(run([built('unmap-short')], '--sanitize').status).toBe(0);
  });
  test.each([
    ['leak', 0],
    ['finding,leak', 9],
    ['fault', 0],
  ])('--fail-on %s', (failOn, status) => {
    const flags = ['--sanitize=all', '--error-exitcode', '9', '--fail-on', failOn];
    expect(run([built('unmap-short')], ...flags).status).toBe(status);
  });
  test('--fail-on fault: of a fault that is no finding', () => {
    const flags = ['--sanitize=leak', '--error-exitcode', '9', '--fail-on', 'fault'];
    const { stderr, status } = run([built('dma-never-mapped')], ...flags);
    expect([stderr, status]).toEqual(['', 9]);
  });
});

describe('options', () => {
  test.each<[string, string[]]>([
    ["--sanitize: 'dma' is none of default, all, dma-never-mapped", ['--sanitize=dma']],
    [
      "--fail-on: 'everything' is none of finding, leak, fault, warn",
      ['--sanitize', '--fail-on', 'everything'],
    ],
    ['a status is 1 to 124', ['--sanitize', '--error-exitcode', '125']],
    [
      '--suppressions: /nowhere cannot be read: there is no such file',
      ['--sanitize', '--suppressions', '/nowhere'],
    ],
    ['--error-exitcode is for a run with --sanitize', ['--error-exitcode', '3']],
  ])('%s', (message, flags) => {
    const { stderr, status } = run(['true'], ...flags);
    expect(stderr).toContain(message);
    expect([stderr.trimEnd().split('\n').length <= 2, status]).toEqual([true, 125]);
  });
});
