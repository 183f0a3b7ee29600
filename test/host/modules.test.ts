/** Modules of the simulated kernel and its PCI functions in /proc and /lib/modules, in each environment (vfio.md 4.1). */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { afterAll, describe, expect, test } from 'vitest';
import { ENVIRONMENTS, softiommu, strayDirectories } from './environments.ts';

const PROGRAM = 'test/host/programs/modules.py';
const hostHasModules = existsSync(`/lib/modules/${release()}`);
/** kmod, for whoever may have no /usr/sbin in PATH. */
const KMOD = ['/usr/sbin/modprobe', '/sbin/modprobe'].find(existsSync)?.replace(/modprobe$/, '');

const SAID = [
  'the index, mapped: b007f45700020001 True',
  'mapped to write: EACCES',
  "a module: b'\\x7fELF'",
  "listed: ['kernel', 'modules.alias', 'modules.builtin', 'modules.dep', 'modules.order']",
  "from the directory: b'kernel/virt'",
  "out of it: b'irqbypass '",
  'written: EACCES',
  'removed: USED BUSY',
  'not there: ENOENT ENOENT',
  "buses: ['00', 'devices'] ['04.0']",
  'a function: 3412e811 256',
  'by a link: /proc/bus/pci 0x41ed',
];
const BY_NAME = [
  "seen by name: [('0o100444', 0), ('0o100644', 0), ('0o100644', 0)] True",
  'in their directories: True True',
  "from /proc: b'irqbypass' True",
];

afterAll(() => {
  expect(strayDirectories()).toEqual([]);
});

describe.for(ENVIRONMENTS)('$name', (environment) => {
  const it = environment.skip === undefined ? test : test.skip;
  it('a host without modules has those of the simulated kernel', ({ skip }) => {
    if (hostHasModules) skip('this host has modules');
    const argv = ['python3', PROGRAM, environment.mode];
    const { stdout, stderr } = softiommu(argv, { environment });
    const byName = environment.mode === 'traps' ? BY_NAME : ['seen by name: -'];
    const lines = stdout.trimEnd().split('\n');
    const removed = lines.splice(SAID.indexOf('removed: USED BUSY'), 1);
    const said = SAID.filter((line) => !line.startsWith('removed'));
    expect([stderr, lines]).toEqual(['', [...said, ...byName]]);
    // A container's root may not, nor may a user.
    expect(['removed: EAGAIN EBUSY', 'removed: EPERM EPERM']).toContain(removed[0]);
    if (environment.name.startsWith('as root')) expect(removed).toEqual(['removed: EAGAIN EBUSY']);
  });
  it('modprobe, lsmod and modinfo find vfio-pci', ({ skip }) => {
    if (KMOD === undefined) skip('no kmod');
    const script = `${KMOD}modprobe vfio-pci && ${KMOD}lsmod && ${KMOD}modinfo -F name vfio-pci`;
    const { stdout, stderr, status } = softiommu(['sh', '-c', script], { environment });
    expect([stderr, status]).toEqual(['', 0]);
    expect(stdout).toMatch(/^Module +Size +Used by\n/);
    expect(stdout).toMatch(/^vfio_pci_core +94208 +1 vfio_pci$/m);
    expect(stdout).toMatch(/\nvfio_pci\n$/);
  });
  it('modprobe finds what is built in, and vfio-pci by the name of a function', ({ skip }) => {
    if (KMOD === undefined) skip('no kmod');
    if (hostHasModules) skip('this host has modules');
    const alias = 'vfio_pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00';
    const script = `${KMOD}modprobe pci-stub && ${KMOD}modprobe -R ${alias}`;
    const { stdout, stderr, status } = softiommu(['sh', '-c', script], { environment });
    expect([stdout, stderr, status]).toEqual(['vfio_pci\n', '', 0]);
  });
  it('lspci finds all of libkmod', ({ skip }) => {
    if (spawnSync('which', ['lspci']).status !== 0) skip('no pciutils');
    if (hostHasModules) skip('this host has modules');
    const { stdout, stderr } = softiommu(['lspci', '-k'], { environment });
    expect(stderr).toBe('');
    expect(stdout).toContain('Kernel driver in use: vfio-pci');
  });
  it('lspci reads /proc/bus/pci', ({ skip }) => {
    if (spawnSync('which', ['lspci']).status !== 0) skip('no pciutils');
    const { stdout } = softiommu(['lspci', '-A', 'linux-proc', '-n'], { environment });
    expect(stdout).toBe('00:04.0 00ff: 1234:11e8 (rev 10)\n');
  });
});
