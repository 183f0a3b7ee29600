/** A debugger as the program: the process it traces cannot be traced by us, which is said where something is lost. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PROJECT } from './project.ts';
import { compile, has, softiommu } from './environments.ts';

const STRACE = ['strace', '-f', '-o', '/dev/null'];

describe.skipIf(!has('strace'))('under strace', () => {
  test('calls are answered as ever under strace', () => {
    const list = [...STRACE, 'cat', '/sys/bus/pci/devices/0000:00:04.0/vendor'];
    const { status, stdout, stderr } = softiommu(list);
    expect([status, stdout, stderr]).toEqual([0, '0x1234\n', '']);
  });
  test('pinned pages outlive their mapping under strace, with a word on what is taken for granted', () => {
    const program = join(PROJECT, 'test/host/programs/pins.py');
    const { status, stdout, stderr } = softiommu([...STRACE, 'python3', program, 'unmap'], {
      flags: ['--selftest'],
    });
    expect(status).toBe(0);
    expect(stdout).toContain("is another page: ('dev', 'new')");
    expect(stderr).toMatch(/^softiommu: thread \d+ is traced by a debugger: pinned pages are/);
  });
  test('--pin=exact copies instead under strace, and says why', ({ skip }) => {
    const program = join(PROJECT, 'test/host/programs/pins.py');
    const { stdout, stderr, status } = softiommu([...STRACE, 'python3', program, 'advice'], {
      flags: ['--selftest', '--pin=exact'],
    });
    skip(status === 125, 'no io_uring here');
    expect(stdout).toContain('the device keeps: old');
    expect(stderr).toContain(
      'some pages are copied when their mapping goes: the program is traced',
    );
  });
  test('a load of a mapped register is a SIGBUS under strace, announced when it is mapped', () => {
    const { stderr } = softiommu([...STRACE, compile('examples/edu-dma.c')]);
    expect(stderr).toMatch(
      /^softiommu: process \d+ is traced by process \d+ \(strace\): loads and stores of its mapped registers are SIGBUS; pread and pwrite of the region work\n/,
    );
  });
});
