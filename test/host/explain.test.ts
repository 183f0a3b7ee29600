/** What `run --explain` says at the end of real programs. */
import { afterAll, describe, expect, test } from 'vitest';
import {
  compile,
  ENVIRONMENTS,
  softiommu,
  strayDirectories,
  type RunOptions,
} from './environments.ts';

const run = (argv: readonly string[], options: RunOptions = {}) =>
  softiommu(argv, { explained: true, ...options });
const HEAD = 'softiommu: what did not work, the likely cause first (--explain=off: say nothing):';
/** A mapping at an IOVA that is taken, after an open of a group that is not there; then its own status. */
const MAPS_TWICE = `
import ctypes, fcntl, mmap, os, struct, sys
try: os.open('/dev/vfio/77', os.O_RDWR)
except FileNotFoundError: pass
fd = os.open('/dev/iommu', os.O_RDWR)
alloc = bytearray(struct.pack('=III', 12, 0, 0))
fcntl.ioctl(fd, 0x3b81, alloc)
memory = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for n in range(2):
    try: fcntl.ioctl(fd, 0x3b85, struct.pack('=IIIIQQQ', 40, 7, alloc[8], 0, at, 4096, 0x1000))
    except FileExistsError: pass
sys.exit(int(sys.argv[1]))
`;
const program = (status: number) => ['/usr/bin/python3', '-c', MAPS_TWICE, String(status)];
const SAID = [
  HEAD,
  expect.stringMatching(
    /^ {2}1\. \[pid +\d+\] ioctl\(\d<\/dev\/iommu>, IOMMU_IOAS_MAP, \{.*\}\) = -1 EEXIST \(File exists\)$/,
  ),
  '     the IOVA range meets a mapping (iova=0x1000, mapping=0x1000)',
  '     `softiommu run --explain` says where it was mapped',
  expect.stringMatching(
    /^ {2}2\. \[pid +\d+\] openat\(AT_FDCWD, \"\/dev\/vfio\/77\"\) = -1 ENOENT \(No such file or directory\)$/,
  ),
  '     no such file or directory (path=/dev/vfio/77, name=77)',
  '     bound to vfio-pci: 0000:00:04.0 in group 0',
];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;

  it('a program that fails is explained, its status kept', () => {
    const { stderr, status } = run(program(3), { environment });
    expect(stderr.trimEnd().split('\n')).toEqual(SAID);
    expect(status).toBe(3);
  });
  it.each([
    ['that ends well, by default', 0, []],
    ['that fails, with --explain never', 3, ['--explain', 'never']],
    ['that fails, with --explain=off', 3, ['--explain=off']],
  ] as const)('nothing is said of a program %s', (_name, status, flags) => {
    const { stderr, status: ended } = run(program(status), { environment, flags });
    expect([stderr, ended]).toEqual(['', status]);
  });
});

test.each([['--explain'], ['--explain', 'always'], ['--explain=always']])(
  '%s %s: also of a program that ends well, and where mappings come from',
  (...flags) => {
    const { stderr, status } = run(program(0), { flags });
    const known = SAID.with(
      3,
      expect.stringMatching(/^ {5}mapped by IOMMU_IOAS_MAP of process \d+/),
    );
    expect(stderr.trimEnd().split('\n')).toEqual(known);
    expect(status).toBe(0);
  },
);
test('where the mapping comes from that a call meets: its line, and who called it', () => {
  const maps = compile('test/host/programs/maps-twice.c', '-O0', '-g');
  const [, , at, , from] = run([maps], { flags: ['--explain'] }).stderr.split('\n');
  expect(at).toMatch(/at map_page, .*:22, called from map_twice, .*\/maps-twice\.c:31$/);
  expect(from).toMatch(
    /mapped by IOMMU_IOAS_MAP of process \d+, at map_page, .*:22, called from map_twice, .*:30$/,
  );
});
test('a wait that ends only with the program: who holds what it waited for', () => {
  const waits = compile('test/host/programs/waits-for-itself.c', '-pthread');
  const { stderr, status } = run([waits]);
  const [, first, , second] = stderr.split('\n');
  expect([first, second]).toEqual([
    expect.stringMatching(/^ {2}1\. .*write\(.*unbind.*\) waits, and has not been answered$/),
    expect.stringMatching(/its driver lets it go when its last file is closed .*openedBy=\d+\)$/),
  ]);
  expect(status).toBe(3);
});
test('a program that a signal ends is explained', () => {
  const crash = `${MAPS_TWICE.replace(/sys\.exit.*/, 'os.kill(os.getpid(), 11)')}`;
  const { stderr, signal } = run(['/usr/bin/python3', '-c', crash]);
  expect(stderr.trimEnd().split('\n')).toEqual(SAID);
  expect(signal).toBe('SIGSEGV');
});
test('a program that has nothing to do with us fails without a word', () => {
  const { stderr, status } = run(['false']);
  expect([stderr, status]).toEqual(['', 1]);
});
test('another word than these is a mistake, which names them', () => {
  const { stderr, status } = run(['true'], { flags: ['--explain=maybe'] });
  expect(stderr).toContain('failed, always, never, off');
  expect(status).toBe(125);
});

describe.each([
  ['-O0', '-g'],
  ['-O2', '-g', '-fno-inline'],
  ['-O2', '-gdwarf-4', '-fno-inline', '-fno-omit-frame-pointer', '-DLOCALS=3000'],
  ['-O0', '-g', '-static', '-DLOCALS=3000'],
])('built with %s %s', (...flags) => {
  test('a refused call is shown with its function and line', () => {
    const program = compile('test/host/programs/maps-twice.c', ...flags);
    const { stderr, status } = run([program]);
    expect(stderr.split('\n')[2]).toMatch(
      /^ {5}at map_page[.\w]*, .*\/maps-twice\.c:22, called from map_twice[.\w]*, .*:31$/,
    );
    expect(status).toBe(3);
  });
});
test('of a program without names nothing is said of where', () => {
  const program = compile('test/host/programs/maps-twice.c', '-s');
  expect(run([program]).stderr).not.toContain('     at ');
});

test('a SIGBUS: which switch is off, and the line that switched it off', () => {
  const program = compile('test/host/programs/decode-off.c', '-O0', '-g');
  const { stderr, signal } = run([program]);
  expect(stderr.trimEnd().split('\n')).toEqual([
    HEAD,
    expect.stringMatching(/^ {2}1\. \[pid +\d+\] --- SIGBUS \{.*\} ---$/),
    '     memory decode of the device is off (device=0000:00:04.0)',
    expect.stringMatching(
      /^ {5}memory decode was switched off by pwrite64\(\d<.*>\) of process \d+, at switch_decode_off, .*\/decode-off\.c:12$/,
    ),
    '     set bit 1 of the command register (offset 4 of the configuration space)',
    'for DMA the program used type1v2',
  ]);
  expect(signal).toBe('SIGBUS');
});
