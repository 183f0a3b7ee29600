/** Registers through sysfs: resourceN is opened, mapped, read and written (vfio.md 4.1). */
import { describe, expect, test } from 'vitest';
import { EACCES, EINVAL, EIO, ENODEV } from '../../../base/errno.ts';
import { Bug } from '../../../base/bug.ts';
import { must } from '../../../testing/base/must.ts';
import { accesses, PROBE } from '../../../testing/devices/probe-device.ts';
import { createMachine } from '../../create-machine.ts';
import type { Machine } from '../../machine.ts';
import type { Program } from '../../program/program.ts';

const AT = '0000:00:04.0';
const DIR = `/sys/bus/pci/devices/${AT}`;
const MEMORY = 0x1000;

/** A probe with memory decoding on: BAR 0 and 4 of memory, 3 of ports. */
function boot(): { machine: Machine; program: Program } {
  const made = createMachine(
    { devices: [{ type: 'probe', at: AT }] },
    { deviceTypes: new Map([['probe', PROBE]]) },
  );
  if ('problems' in made) throw new Bug('the description is no machine');
  const { machine } = made;
  machine.pci.device(AT)!.fn.writeConfig(4, 2, 3);
  accesses.length = 0;
  return { machine, program: machine.program() };
}

describe('memory', () => {
  test('registers are mapped, and answer while memory decoding is on', () => {
    const { machine, program } = boot();
    const fd = must(program.open(`${DIR}/resource0`));
    const at = must(program.mmap(MEMORY, { fd }));
    expect(program.store(at + 0x10n, 4, 0x1234n)).toBeUndefined();
    expect(program.load(at + 0x10n, 4)).toBe(0x1234n);
    expect(accesses).toEqual(['w0:10/4', 'r0:10/4']);
    machine.pci.device(AT)!.fn.writeConfig(4, 2, 0);
    expect(program.store(at + 0x10n, 4, 0n)).toBeUndefined();
    expect(program.load(at + 0x10n, 4)).toBe(0xffff_ffffn);
  });
  test('a BAR smaller than a page is mapped as a page, with nothing behind its end', () => {
    const { program } = boot();
    const at = must(program.mmap(MEMORY, { fd: must(program.open(`${DIR}/resource4`)) }));
    expect(program.store(at + 0xfcn, 4, 7n)).toBeUndefined();
    expect([program.load(at + 0xfcn, 4), program.load(at + 0x100n, 4)]).toEqual([7n, 0xffff_ffffn]);
  });
  test.for([
    ['longer than the BAR', 'resource0', 0x5000, 0n, EINVAL],
    ['from its end on', 'resource0', 0x1000, 0x4000n, EINVAL],
    ['its last page', 'resource0', 0x1000, 0x3000n, undefined],
    ['write-combining', 'resource0_wc', 0x4000, 0n, undefined],
    ['ports', 'resource3', 0x1000, 0n, ENODEV],
  ] as const)('what is mapped lies inside: %s', ([, name, length, offset, errno]) => {
    const { program } = boot();
    const fd = must(program.open(`${DIR}/${name}`));
    const at = program.mmap(length, { fd, offset });
    if (errno) expect(at).toBe(errno);
    else expect(typeof at).toBe('bigint');
  });
  test('read(2) and write(2) are EIO', () => {
    const { program } = boot();
    const fd = must(program.open(`${DIR}/resource0`));
    expect(program.read(fd, new Uint8Array(4), 0n)).toBe(EIO);
    expect(program.write(fd, new Uint8Array(4), 0n)).toBe(EIO);
  });
  test('they are for their owner', () => {
    const { machine } = boot();
    expect(machine.program({ uid: 1000 }).open(`${DIR}/resource0`)).toBe(EACCES);
  });
  test('as a text a resource has nothing to say', () => {
    const { machine, program } = boot();
    const found = machine.vfs.lookup(`${DIR}/resource0`, { cred: program });
    if (!('node' in found) || found.node.kind !== 'attr') throw new Bug('no attribute');
    expect(found.node.read(program)).toBe(EIO);
  });
});

describe('ports', () => {
  test.for([
    ['a byte', 0x10n, 1, 1],
    ['a word', 0x10n, 2, 2],
    ['the last four', 0x1cn, 4, 4],
    ['three', 0x10n, 3, EINVAL],
    ['eight', 0x10n, 8, EINVAL],
    ['across the end', 0x1en, 4, EINVAL],
    ['behind the end', 0x20n, 4, 0],
  ] as const)('are read and written by 1, 2 or 4 bytes: %s', ([, at, length, answer]) => {
    const { program } = boot();
    const fd = must(program.open(`${DIR}/resource3`));
    const bytes = Uint8Array.from({ length }, (_, n) => n + 1);
    expect(program.write(fd, bytes, at)).toBe(answer);
    const into = new Uint8Array(length);
    expect(program.read(fd, into, at)).toBe(answer);
    if (answer === length) expect([...into]).toEqual([...bytes]);
    const access = `3:${at.toString(16)}/${length}`;
    expect(accesses).toEqual(answer === length ? [`w${access}`, `r${access}`] : []);
  });
});
