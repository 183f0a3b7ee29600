/** What `run` shows of real programs, and what `trace` makes of the files it writes. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readEvent, readHeader } from '../../src/insight/trace/read-trace.ts';
import { command, compile, has, softiommu } from './environments.ts';

const folder = mkdtempSync(join(tmpdir(), 'trace-of-softiommu-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Maps a page three times: at a place the kernel finds, and twice at one of its own, which is refused the second time. */
const MAPS = `
import ctypes, fcntl, mmap, os, struct
fd = os.open('/dev/iommu', os.O_RDWR)
alloc = bytearray(struct.pack('=III', 12, 0, 0))
fcntl.ioctl(fd, 0x3b81, alloc)
memory = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for flags in (6, 7, 7):
    try: fcntl.ioctl(fd, 0x3b85, bytearray(struct.pack('=IIIIQQQ', 40, flags, alloc[8], 0, at, 4096, 0x100000)))
    except FileExistsError: pass
`;
const program = ['/usr/bin/python3', '-c', MAPS];
const run = (flags: readonly string[]) => softiommu(program, { flags });
const lines = (text: string): string[] => text.trimEnd().split('\n');
const MAP = /^\[pid +\d+\] ioctl\(3<\/dev\/iommu>, IOMMU_IOAS_MAP, \{size=40, flags=/;

describe('a trace for people', () => {
  test('has descriptors, names, what was changed, and why something was refused', () => {
    const { stderr, status } = run(['--trace', '-e', 'trace=open,%iommufd']);
    expect(lines(stderr)).toEqual([
      expect.stringMatching(
        /^\[pid +\d+\] openat\(AT_FDCWD, "\/dev\/iommu", O_RDWR\) = 3<\/dev\/iommu>$/,
      ),
      expect.stringMatching(/IOMMU_IOAS_ALLOC, \{size=12, flags=0, out_ioas_id=0 => 1\}\) = 0$/),
      expect.stringMatching(
        /flags=IOMMU_IOAS_MAP_WRITEABLE\|IOMMU_IOAS_MAP_READABLE, ioas_id=1, user_va=0x[0-9a-f]+, length=4096, iova=0x100000 => 0x[0-9a-f]+\}\) = 0$/,
      ),
      expect.stringMatching(/IOMMU_IOAS_MAP_FIXED_IOVA\|.*iova=0x100000\}\) = 0$/),
      expect.stringMatching(/= -1 EEXIST \(File exists\) {2}✗ the IOVA range meets a mapping \(/),
    ]);
    expect(status).toBe(0);
  });
  test.for<[readonly string[], number, RegExp]>([
    [['-Z', '-e', 'IOMMU_IOAS_MAP'], 1, MAP],
    [['-z', '-e', '/IOAS_MAP$'], 2, MAP],
    [['-tttTe', 'IOMMU_IOAS_MAP'], 3, /^\d{10}\.\d{6} \[pid .*<\d+\.\d{6}>$/m],
    [['-r', '-P', '/dev/iommu', '-e', 'IOMMU_IOAS_ALLOC'], 1, /^ +0\.000000 \[pid /],
    [['-k', '-e', 'IOMMU_IOAS_ALLOC'], 2, /^\[pid .* = 0\n {4}#0 0x[0-9a-f]{12}/],
    [['-X', 'raw', '-qq', '-z', '-e', 'IOMMU_IOAS_ALLOC'], 1, /ioctl\(3<\/dev\/iommu>, 0x3b81, \{/],
    [
      ['-X', 'verbose', '-e', 'openat'],
      1,
      /openat\(-100 \/\* AT_FDCWD \*\/, ".*", 2 \/\* O_RDWR \*\//,
    ],
    [['-xx', '-e', 'openat'], 1, /openat\(AT_FDCWD, "\\x2f\\x64\\x65\\x76/],
    [['-e', 'exit'], 1, /^\[pid +\d+\] \+\+\+ exited with 0 \+\+\+$/m],
    [['-c'], 8, /^% time +seconds +usecs\/call +calls +errors syscall\n/],
  ])('%j', ([flags, count, pattern]) => {
    const { stderr, status } = run(flags);
    expect(stderr).toMatch(pattern);
    if (!flags.includes('-k')) expect(lines(stderr)).toHaveLength(count);
    expect(status).toBe(0);
  });
});

test('a signal that ends a program, and why registers did not answer, are lines', () => {
  const program = compile('test/host/programs/decode-off.c');
  const { stderr, signal } = softiommu([program], { flags: ['-e', '%signal,%process'] });
  expect(lines(stderr)).toEqual([
    expect.stringMatching(
      /^\[pid +\d+\] --- SIGBUS \{si_signo=SIGBUS, si_code=BUS_ADRERR, si_addr=0x[0-9a-f]+\} --- {2}✗ memory decode of the device is off \(device=0000:00:04.0\)$/,
    ),
    expect.stringMatching(/^\[pid +\d+\] \+\+\+ killed by SIGBUS \+\+\+$/),
  ]);
  expect(signal).toBe('SIGBUS');
});
test('-ff: a file for each process, in which no line says whose it is', () => {
  const file = join(folder, 'parts');
  const flags = ['-ff', '-o', file, '-e', 'openat'];
  const both = ['sh', '-c', 'cat /dev/vfio/77; cat /dev/vfio/78; true'];
  expect(softiommu(both, { flags }).status).toBe(0);
  const parts = readdirSync(folder).filter((name) => /^parts\.\d+$/.test(name));
  const texts = parts.map((name) => lines(readFileSync(join(folder, name), 'utf8')).slice(1));
  const opened = texts.flat().map((line) => /^openat\(AT_FDCWD, "([^"]+)"/.exec(line)?.[1]);
  expect(opened.sort()).toEqual(['/dev/vfio/77', '/dev/vfio/78']);
  expect(readFileSync(`${file}.machine`, 'utf8')).toBe('# trace of softiommu\n');
});
test('-k with JSON lines: each call has its stack, which is shown again with -k', () => {
  const file = join(folder, 'stacks.jsonl');
  const program = compile('test/host/programs/maps-twice.c', '-O0', '-g');
  expect(softiommu([program], { flags: ['-k', '-o', file] }).status).toBe(3);
  const { stdout } = command(['trace', '-k', '-e', 'IOMMU_IOAS_ALLOC', file]);
  expect(stdout).toMatch(
    / = 0\n(?: {4}#\d .*\n)* {4}#\d 0x[0-9a-f]{12} in main .*maps-twice\.c:\d+\n/,
  );
});
test('the data of reads and writes is kept as far as -s says', () => {
  const read = ['cat', '/sys/bus/pci/devices/0000:00:04.0/resource'];
  const shownWith = (...flags: string[]) =>
    softiommu(read, { flags: [...flags, '-e', 'read'] }).stderr;
  expect(shownWith('-q')).toMatch(/read\(.*, "0x[^"]{28,}"\.\.\.\)/);
  expect(shownWith('-s', '4')).toMatch(/read\(.*, "0x00"\.\.\.\)/);
  expect(shownWith('-s', '4096')).not.toContain('...');
});
// Debian's package strace judges; without it nothing is compared.
test.skipIf(!has('strace'))(
  "lines have strace's shape: the same calls on a file of the host",
  () => {
    const program = compile('test/host/programs/plain-calls.c');
    // Both can be opened, and not be read.
    const [own, output] = [join(folder, 'plain'), join(folder, 'strace')];
    mkdirSync(own);
    spawnSync('strace', ['-e', 'trace=openat', '-y', '-o', output, program, own]);
    const shape = (line: string, path: string): string =>
      line
        .replace(/^\[pid +\d+\] /, '')
        .replaceAll(path, 'FILE')
        .replace(/AT_FDCWD<[^>]*>/, 'AT_FDCWD')
        .replace(/ = \d+/, ' = N');
    const theirs = lines(readFileSync(output, 'utf8'))
      .filter((line) => line.includes(own) || line.startsWith('+++'))
      .map((line) => shape(line, own));
    const simulated = '/dev/vfio/vfio';
    const { stderr } = softiommu([program, simulated], { flags: ['-e', 'openat,exit'] });
    const ours = lines(stderr).map((line) => shape(line, simulated));
    expect(theirs).toEqual([
      'openat(AT_FDCWD, "FILE", O_RDONLY) = N<FILE>',
      '+++ exited with 1 +++',
    ]);
    expect(ours).toEqual(theirs);
  },
);

test('a trace for programs is read line by line, and shown again as it was', () => {
  const file = join(folder, 'a.jsonl');
  expect(run(['-o', file]).status).toBe(0);
  const [first, ...events] = lines(readFileSync(file, 'utf8'));
  expect(readHeader(first!)).toMatchObject({ v: 1, program });
  for (const line of events) expect(readEvent(line, false)).toHaveProperty('seq');
  const shown = (...flags: string[]) => command(['trace', ...flags, file]);
  const { stdout, status } = shown('-e', 'IOMMU_IOAS_MAP');
  expect(lines(stdout).map((line) => MAP.test(line))).toEqual([true, true, true]);
  expect(status).toBe(0);
  const wrong = shown('-e', 'trace=ioctl,foo');
  expect([wrong.stdout, wrong.status]).toEqual(['', 125]);
  expect(wrong.stderr).toMatch(/^softiommu: -e trace=ioctl,foo: column 13: there is no call.*\n$/);
});

test.for<[readonly string[], string]>([
  [['-e', 'trace=foo'], "-e trace=foo: column 7: there is no call, command or event 'foo'"],
  [['-e', 'colour=red'], '-e colour=red: column 1: there is no colour='],
  [['-S', 'time'], '-S sorts the table of -c or -C, and neither is given'],
  [['-tttt'], '-t is given more than three times'],
  [['--trace', '-o', '-'], '-o and --trace both say where the trace goes'],
  [['-o', '|cat'], 'the trace cannot be written to |cat: no command is run for it'],
  [['-ff', '-o', '|cat'], 'the trace cannot be written to |cat: no command is run for it'],
  [['-ff'], '-ff writes a file for each process: name one with -o FILE'],
  [['-fff', '-o', join(folder, 'f')], '-f is given more than twice; -ff is the most'],
  [['-w'], '-w is for the table of -c or -C'],
])('%j is a mistake, in one line, and nothing is run', ([flags, problem]) => {
  const { stderr, status } = softiommu(['echo', 'run'], { flags });
  expect(lines(stderr)).toEqual([expect.stringContaining(problem)]);
  expect(status).toBe(125);
});
