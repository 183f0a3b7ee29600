/** Answers of Linux that are easily got wrong, given to a real program in every environment (vfio.md, iommufd.md). */
import { afterAll, describe, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = ['python3', 'test/host/programs/kernel-answers.py'];

const SAID: Readonly<Record<string, string>> = {
  'another type on a container': 'EINVAL',
  'another type on an unbound cdev': 'EINVAL',
  'another type on an iommufd': 'ENOTTY',
  'another type on a bound cdev': 'ENOTTY',
  flags: '2',
  reset: 'EINVAL',
  'reset files': '[]',
  'BAR 0 is at': '0',
  'BAR 0 by pread': 'ed000001',
  'BAR 0 by read': 'ed000001',
  'what follows': "(4, 'ffffffff')",
  'MSI-X that is not there': '(9, 2, 0)',
  'BAR 0 mapped at 0': 'ed000001',
  'file system of /sys/bus/pci/devices/0000:00:04.0': '0x62656572 0x62656572',
  'file system of /sys/bus/pci/devices/0000:00:04.0/vendor': '0x62656572 0x62656572',
  'file system of /sys/kernel/iommu_groups': '0x62656572 0x62656572',
  'file system of /dev/vfio': '0x1021994 0x1021994',
  'file system of /dev/iommu': '0x1021994 0x1021994',
  'a link by itself': '120777 ../../../devices/pci0000:00/0000:00:04.0',
  'a link not followed': 'ELOOP',
  'a new file in sysfs': 'EACCES',
  'nothing to driver_override': '0',
  driver_override: 'vfio-pci',
  resource0: '0x10000ed 0x100000',
  'resource0 read': 'EIO',
  '/sys/dev/char': '/sys/devices/virtual/misc/iommu',
  '/sys/class/misc': '10:196',
  'a module': 'live',
  'vfio_pci in /proc/modules': "['16384']",
  'iommu in /proc/misc': "[['126', 'iommu']]",
  'vfio in /proc/devices': "[['243', 'vfio'], ['511', 'vfio-dev']]",
  '/proc/bus/pci': "['123411e8']",
  'a device that reads a file to read': '40',
  'a device that writes a file to read': 'EACCES',
};

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it('a program is answered as by Linux', () => {
    const { stdout, stderr, status } = softiommu(PROGRAM, { environment });
    const lines = stdout.trimEnd().split('\n');
    const said = Object.fromEntries(
      lines.map((line) => /^(.*): (.*)$/.exec(line)!.slice(1) as [string, string]),
    );
    expect([stderr, said, status]).toEqual(['', SAID, 0]);
  });
});
