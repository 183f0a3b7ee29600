/** What open, stat and directories say of simulated files, in each environment: the same by traps and by mounts. */
import { describe, expect, test } from 'vitest';
import { ENVIRONMENTS, has, softiommu } from './environments.ts';
import { PROJECT } from './project.ts';

const PYTHON = '/usr/bin/python3';
const PROGRAM = `${PROJECT}/test/host/programs/files.py`;

/** What each part of the program says, whoever runs it. */
const SAID = {
  modes: `
    driver_override 0r 1w 2rw 3 ENOTDIR
    config 0r 1w 2rw 3 ENOTDIR
    resource 0r 1w 2rw 3 ENOTDIR
    vfio 0r 1w 2rw 3 ENOTDIR
    null 0r 1w 2rw 3 ENOTDIR
    a directory EISDIR EISDIR
    vendor EACCES True
    drivers_probe EACCES True`,
  twice: `
    written: 4 6 6
    read: third`,
  directories: `
    /dev/vfio []
    /sys/bus/pci []
    /sys/kernel/iommu_groups []
    /sys/devices/pci0000:00 []
    /proc/bus/pci []
    a file: 1 1 1`,
  unmounted: `
    /proc/modules True True True
    /proc/misc True True True
    /proc/bus/pci/devices True True True
    /proc/bus/pci/00/04.0 True True True
    /lib/modules/RELEASE True True True
    there: /proc/bus/pci/00 True True /proc/bus/pci
    changed: True True
    and out of it: ['moved']`,
};

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const skip = environment.skip ?? (has(PYTHON) ? undefined : `no ${PYTHON}`);
  const it = skip === undefined ? test : test.skip;
  it.for(Object.entries(SAID))('simulated files are as Linux has them: %s', ([part, expected]) => {
    const { stdout, stderr } = softiommu([PYTHON, PROGRAM, part], { environment });
    expect(stderr + stdout).toBe(expected.trim().replace(/\n +/g, '\n') + '\n');
  });
});
