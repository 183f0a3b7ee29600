/** Calls and points of real programs that are made to go wrong: docs/inject.md. */
import { expect, test } from 'vitest';
import { softiommu } from './environments.ts';

/** Maps four pages and says what came of each, and after how many tenths of a second. */
const PROGRAM = `
import ctypes, fcntl, mmap, os, signal, struct, sys, threading, time
signal.signal(signal.SIGUSR1, lambda *_: print('SIGUSR1'))
fd = os.open('/dev/iommu', os.O_RDWR)
alloc = bytearray(struct.pack('=III', 12, 0, 0))
fcntl.ioctl(fd, 0x3b81, alloc)
memory = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
for n in range(4):
    begin = time.monotonic()
    try: fcntl.ioctl(fd, 0x3b85, struct.pack('=IIIIQQQ', 40, 7, alloc[8], 0, at, 4096, n << 12)); said = 'ok'
    except OSError as error: said = error.strerror
    print(n, said, 'late' if time.monotonic() - begin >= 0.3 else '')
`;
const run = (...flags: string[]) =>
  softiommu(['/usr/bin/python3', '-c', PROGRAM], { flags, explained: true });
const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());

test('errors, delays and signals come where they were asked for, and the token repeats them', () => {
  const flags = [
    ['-e', 'inject=IOMMU_IOAS_MAP:error=ENOMEM:when=2'],
    ['-e', 'inject=IOMMU_IOAS_MAP:delay_enter=300ms:when=3'],
    ['-e', 'inject=IOMMU_IOAS_MAP:error=EEXIST:after:signal=USR1:when=4'],
  ].flat();
  const first = run(...flags, '--trace', '--explain', 'always');
  const said = ['0 ok', '1 Cannot allocate memory', '2 ok late', 'SIGUSR1', '3 File exists'];
  expect(lines(first.stdout)).toEqual(said);
  expect(first.stderr).toMatch(
    /IOMMU_IOAS_MAP, .* = -1 ENOMEM \(Cannot allocate memory\) \(INJECTED\)/,
  );
  expect(first.stderr).toMatch(/IOMMU_IOAS_MAP, .* = 0 \(DELAYED\)/);
  expect(first.stderr).toContain('the call was made to fail, as was asked');
  const token = /--inject-token (\S+)/.exec(first.stderr)?.[1];
  const second = run('--inject-token', token!);
  expect(lines(second.stdout)).toEqual(said);
  expect(lines(second.stderr).slice(-4)).toEqual([
    'softiommu: inject=IOMMU_IOAS_MAP:error=ENOMEM:when=2: once, of 4',
    'softiommu: inject=IOMMU_IOAS_MAP:delay_enter=300ms:when=3: once, of 4',
    'softiommu: inject=IOMMU_IOAS_MAP:error=EEXIST:after:signal=USR1:when=4: once, of 4',
    `softiommu: again with: --inject-token ${token}`,
  ]);
});
test('another program goes on while a call is held back', () => {
  const both = `(python3 -c "$0" > /dev/null; echo held) & (sleep 0.1; head -c 1 /dev/null; cat /sys/class/iommu/*/intel-iommu/version > /dev/null; echo free); wait`;
  const { stdout } = softiommu(['sh', '-c', both, PROGRAM], {
    flags: ['-e', 'inject=IOMMU_IOAS_MAP:delay_exit=5s:when=4'],
    explained: true,
  });
  expect(lines(stdout)).toEqual(['free', 'held']);
});
test('a mistake is one line, and nothing is run', () => {
  const { stdout, stderr, status } = run('-e', 'inject=IOMMU_IOAS_MAP:eror=EIO');
  expect([stdout, status]).toEqual(['', 125]);
  expect(stderr).toMatch(/^softiommu: -e inject=.*: column 23: 'eror' is no option; .*\n$/);
});
