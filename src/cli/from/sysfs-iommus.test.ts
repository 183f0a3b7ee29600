import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { KNOWN } from '../machine-file.ts';
import { UserMistake } from '../user-mistake.ts';
import { machineOf } from './description.ts';
import { machineTextFrom } from './made-text.ts';
import { readMachine } from './read-machine.ts';

const top = mkdtempSync(join(tmpdir(), 'sysfs-iommus-'));
afterAll(() => rmSync(top, { recursive: true, force: true }));
let count = 0;
let copy = '';
beforeEach(() => {
  copy = join(top, String(count++));
});
function write(path: string, content: string): void {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  writeFileSync(join(copy, path), content);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  symlinkSync(target, join(copy, path));
}

/** A network card at an address, in a group, with or without an IOMMU. */
function card(at: string, group: number, iommu?: string): void {
  const dir = `sys/devices/pci0000:00/${at}`;
  write(`${dir}/vendor`, '0x15b7\n');
  write(`${dir}/device`, '0x101d\n');
  write(`${dir}/class`, '0x020000\n');
  link(`${dir}/iommu_group`, `../../../kernel/iommu_groups/${group}`);
  if (iommu !== undefined) link(`${dir}/iommu`, `../../virtual/iommu/${iommu}`);
  link(`sys/bus/pci/devices/${at}`, `../../../devices/pci0000:00/${at}`);
}
function unit(name: string, directory: string, files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    write(`sys/devices/virtual/iommu/${name}/${directory}/${file}`, text);
  }
}
function regions(group: number, ...lines: string[]): void {
  write(`sys/kernel/iommu_groups/${group}/reserved_regions`, lines.map((l) => `${l}\n`).join(''));
}
const LAPTOP = { cap: '1c0000c40660462\n', ecap: 'f0101a\n', address: 'fed90000\n' };
const SERVER = { cap: '8d2078c106f0466\n', ecap: 'f020df\n' };
const machine = () => machineOf(readMachine(copy), KNOWN, copy);
const refusal = (): string => {
  try {
    machine();
  } catch (error) {
    if (error instanceof UserMistake) return error.message.replaceAll(copy, 'COPY');
    throw error;
  }
  throw new Error('nothing was wrong');
};

test('IOMMUs are what their registers say, and stand above the devices that they stand above there', () => {
  unit('dmar10', 'intel-iommu', SERVER);
  unit('dmar2', 'intel-iommu', LAPTOP);
  card('0000:00:03.0', 1, 'dmar10');
  card('0000:00:04.0', 2, 'dmar2');
  card('0000:00:05.0', 3);
  const made = machine().machine;
  expect(made.iommus.map(({ name }) => name)).toEqual(['dmar2', 'dmar10']);
  expect(made.iommus[0]).toMatchObject({ type: 'intel', width: 39, scalable: false });
  expect(made.iommus[1]).not.toHaveProperty('width');
  expect(made.devices.map(({ at, iommu }) => [at, iommu])).toEqual([
    ['0000:00:03.0', 'dmar10'],
    ['0000:00:04.0', undefined],
    ['0000:00:05.0', 'none'],
  ]);
});
test('memory that firmware wants for a group is wanted for its devices', () => {
  card('0000:00:03.0', 1);
  card('0000:00:04.0', 2);
  regions(
    1,
    '0x0000000000000000 0x0000000000ffffff direct-relaxable',
    '0x000000008b000000 0x000000008f7fffff direct',
    '0x00000000fee00000 0x00000000feefffff msi',
    '0x000000fd00000000 0x000000ffffffffff reserved',
  );
  const [asks, asksNot] = machine().machine.devices;
  expect(asks?.directRegions).toEqual([
    { start: '0x0', last: '0xffffff', relaxable: true },
    { start: '0x8b000000', last: '0x8f7fffff', relaxable: false },
  ]);
  expect(asksNot?.directRegions).toEqual([]);
});
test('an IOMMU of another kind is named, and another one stands for it', () => {
  unit('ivhd0', 'amd-iommu', { cap: '40\n', features: '58f77ef22294ade\n' });
  card('0000:00:03.0', 1, 'ivhd0');
  expect(machine().remarks).toEqual([
    'IOMMU ivhd0: no type here is like it; another one stands for it',
  ]);
  const text = machineTextFrom(copy, { schema: '', types: KNOWN });
  expect(text).toContain('# IOMMU ivhd0: no type here is like it');
  expect(machine().machine.iommus).toEqual([{ type: 'intel' }]);
});
test('a copy that has lost the registers of one says nothing of it', () => {
  unit('dmar0', 'intel-iommu', { cap: LAPTOP.cap });
  card('0000:00:03.0', 1, 'dmar0');
  expect(machine().machine.iommus).toEqual([{ type: 'intel' }]);
  expect(machine().remarks).toHaveLength(1);
});
describe('what Linux does not write', () => {
  test('registers', () => {
    unit('dmar0', 'intel-iommu', { ...LAPTOP, ecap: '0xf0101a\n' });
    card('0000:00:03.0', 1, 'dmar0');
    expect(refusal()).toBe(
      "IOMMU dmar0: Linux writes no such intel-iommu/cap and intel-iommu/ecap: '1c0000c40660462' and '0xf0101a'",
    );
  });
  test('regions', () => {
    card('0000:00:03.0', 1);
    regions(1, '0x0000000000000000 0x0000000000ffffff direct', '0 1 direct');
    expect(refusal()).toBe(
      "COPY/sys/bus/pci/devices/0000:00:03.0/iommu_group/reserved_regions:2: sysfs writes no such line: '0 1 direct'",
    );
  });
  test('a region that no machine can have leaves its device out, and says why', () => {
    card('0000:00:03.0', 1);
    card('0000:00:04.0', 2);
    regions(1, '0x0000000000001000 0x0000000000001fff direct');
    regions(2, '0x0000000000001000 0x0000000000000fff direct');
    const { leftOut } = machine();
    expect(leftOut.map(({ found: { at }, why }) => [at, why])).toEqual([
      [
        '0000:00:04.0',
        "'0x1000' to '0xfff' is no region: it covers whole pages of 4 KiB, last inclusive",
      ],
    ]);
  });
});
