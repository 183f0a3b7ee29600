import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { UserMistake } from '../user-mistake.ts';
import { KNOWN } from '../machine-file.ts';
import { machineTextFrom } from './made-text.ts';
import { readMachine } from './read-machine.ts';

const top = mkdtempSync(join(tmpdir(), 'sysfs-copy-'));
afterAll(() => rmSync(top, { recursive: true, force: true }));
let count = 0;
let copy = '';
beforeEach(() => {
  copy = join(top, String(count++));
  mkdirSync(copy);
});

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  writeFileSync(join(copy, path), content);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(copy, path)), { recursive: true });
  symlinkSync(target, join(copy, path));
}

const NIC = 'sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0';
const PORT = 'sys/devices/pci0000:00/0000:00:1c.0';

/** A root port with a network card behind it, as Linux shows them. */
function makeCopy(): void {
  const port = new Uint8Array(256);
  port.set([0x86, 0x80, 0xbc, 0xa0, 7, 0, 0x10, 0, 0x20, 0, 4, 6, 0, 0, 1], 0);
  port.set([0, 1, 1], 0x18);
  port[0x34] = 0x40;
  port.set([0x10, 0, 0x42, 0], 0x40); // a root port
  write(`${PORT}/config`, port);
  write(`${PORT}/vendor`, '0x8086\n');
  write(`${PORT}/device`, '0xa0bc\n');
  write(`${PORT}/class`, '0x060400\n');
  const nic = new Uint8Array(4096);
  nic.set([0xb7, 0x15, 0x1d, 0x10, 7, 0, 0x10, 0, 1, 0, 0, 2], 0);
  nic[0x34] = 0x40;
  nic.set([0x10, 0x60, 2, 0, 0, 0, 0, 0x10], 0x40); // an endpoint with FLR
  nic.set([0x11, 0x60, 7, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0], 0x60); // a chain that goes in a circle
  nic.set([0x0f, 0, 1, 0x10], 0x100); // ATS, and itself again
  write(`${NIC}/config`, nic);
  write(`${NIC}/vendor`, '0x15b7\n');
  write(`${NIC}/device`, '0x101d\n');
  write(`${NIC}/class`, '0x020000\n');
  write(
    `${NIC}/resource`,
    [
      '0x00000000e2000000 0x00000000e2003fff 0x000000000014220c',
      '0x0000000000000000 0x0000000000000000 0x0000000000000000',
      '0x000000000000e000 0x000000000000e01f 0x0000000000040101',
      '',
    ].join('\n'),
  );
  link(`${NIC}/driver`, '../../../../bus/pci/drivers/mlx5_core');
  link(`${NIC}/iommu_group`, '../../../../kernel/iommu_groups/7');
  link('sys/bus/pci/devices/0000:00:1c.0', '../../../devices/pci0000:00/0000:00:1c.0');
  link('sys/bus/pci/devices/0000:01:00.0', '../../../devices/pci0000:00/0000:00:1c.0/0000:01:00.0');
}

/** A function beside the copy. */
function makeOutside(): void {
  const outside = join(top, 'outside');
  mkdirSync(outside, { recursive: true });
  for (const file of ['vendor', 'device', 'class']) writeFileSync(join(outside, file), '0x1234\n');
}

/** The copy in an archive of the program tar. */
function archive(...flags: string[]): string {
  const file = `${copy}.tar`;
  const { status, stderr } = spawnSync('tar', [...flags, '-cf', file, '-C', copy, '.']);
  expect(stderr.toString()).toBe('');
  expect(status).toBe(0);
  return file;
}

const FOUND = {
  at: '0000:01:00.0',
  vendor: 0x15b7,
  device: 0x101d,
  classCode: 0x020000,
  revision: 1,
  bars: [
    { index: 0, kind: 'mem64', prefetchable: true, size: 0x4000 },
    { index: 2, kind: 'io', prefetchable: false, size: 32 },
  ],
  capabilities: {
    pcie: { kind: 'endpoint', flr: true },
    msix: { vectors: 8, bar: 0, table: 0x2000, pbaBar: 0, pba: 0x3000 },
    ats: true,
  },
  group: '7',
  driver: 'mlx5_core',
  virtual: false,
};

describe('the functions of a copy of sysfs', () => {
  test('in a directory', () => {
    makeCopy();
    const [port, nic] = readMachine(copy);
    expect(port).toMatchObject({
      at: '0000:00:1c.0',
      bridge: { secondary: 1, subordinate: 1 },
      capabilities: { pcie: { kind: 'root-port', flr: false } },
    });
    expect(nic).toMatchObject(FOUND);
    expect(nic?.place).toBe(`${copy}/sys/bus/pci/devices/0000:01:00.0`);
  });
  test('in a directory that is sysfs itself', () => {
    makeCopy();
    expect(readMachine(join(copy, 'sys'))[1]).toMatchObject(FOUND);
  });
  test.each(['ustar', 'pax', 'gnu'])('in an archive of the form %s', (form) => {
    makeCopy();
    // Names and a target of a link that do not fit in a header.
    const long = `${'very-long-'.repeat(20)}name`;
    if (form !== 'ustar') link(`sys/${long}`, long);
    expect(readMachine(archive(`--format=${form}`))[1]).toMatchObject(FOUND);
  });
  test('behind names and links that need more than a header of tar', () => {
    makeCopy();
    const deep = `d/${'0123456789'.repeat(12)}`;
    write(`${deep}/vendor`, '0x8086\n');
    write(`${deep}/device`, '0x1234\n');
    write(`${deep}/class`, '0x020000\n');
    link('sys/bus/pci/devices/0000:00:19.0', `../../../../${deep}`);
    for (const form of ['pax', 'gnu']) {
      expect(readMachine(archive(`--format=${form}`))[0]).toMatchObject({ device: 0x1234 });
    }
  });
  test('are a machine file', () => {
    makeCopy();
    const text = machineTextFrom(copy, { schema: './m.json', types: KNOWN });
    expect(text).toContain('  # IOMMU group 7; driver in use: mlx5_core\n');
    expect(text).toContain('bars: 0:mem64p:0x4000,2:io:0x20\n');
  });
  test('without the bytes that an ordinary user does not get, which tar fills with zeros', () => {
    makeCopy();
    const config = new Uint8Array(4096);
    config.set([0xb7, 0x15, 0x1d, 0x10, 7, 0, 0x10, 0, 1, 0, 0, 2], 0);
    config[0x34] = 0x40;
    write(`${NIC}/config`, config);
    write(`${NIC}/vendor`, `0x15b7\n${'\0'.repeat(4000)}`);
    expect(readMachine(copy)[1]).toMatchObject({
      vendor: 0x15b7,
      capabilities: {},
      sees: { capabilities: false, extended: false },
    });
  });
});

describe('what is no copy of sysfs is refused', () => {
  const refusal = (file: string): string => {
    try {
      readMachine(file);
    } catch (error) {
      if (error instanceof UserMistake) return error.message.replaceAll(copy, 'COPY');
      throw error;
    }
    return 'taken';
  };
  test.each([
    ['an empty directory', () => undefined, 'COPY: there is no sys/bus/pci/devices in it'],
    ['no device', () => mkdirSync(join(copy, 'bus/pci/devices'), { recursive: true }), 'COPY: no device is in bus/pci/devices'],
    ['a device without files', () => mkdirSync(join(copy, 'bus/pci/devices/0000:00:00.0'), { recursive: true }), 'COPY/bus/pci/devices/0000:00:00.0: there is no vendor and no config that can be read'],
    ['a link that leads out', () => { makeOutside(); link('bus/pci/devices/0000:00:00.0', '../../../../outside'); }, 'COPY/bus/pci/devices/0000:00:00.0: there is no vendor and no config that can be read'],
    ['an absolute link', () => link('bus/pci/devices', '/sys/bus/pci/devices'), 'COPY: there is no sys/bus/pci/devices in it'],
    ['links in a circle', () => link('bus/pci', 'pci'), 'COPY: there is no sys/bus/pci/devices in it'],
    ['a vendor that is no number', () => { makeCopy(); write(`${NIC}/vendor`, 'Intel\n'); }, "COPY/sys/bus/pci/devices/0000:01:00.0/vendor:1: sysfs writes no such line: 'Intel'"],
    ['a resource that is none', () => { makeCopy(); write(`${NIC}/resource`, '0x0 0x0 0x0\nx\n'); }, "COPY/sys/bus/pci/devices/0000:01:00.0/resource:2: sysfs writes no such line: 'x'"],
  ])('%s', (_what, make, message) => {
    make();
    expect(refusal(copy)).toBe(message);
  }); // prettier-ignore
  test.each<[string, string | Uint8Array, string]>([
    ['nothing at all', '', 'COPY/x:1: the text is empty'],
    ['bytes', Uint8Array.of(0x41, 0x0a, 0, 1), 'COPY/x:2: this is no text in UTF-8: the byte 0x00'],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0), 'is packed by gzip; unpack it first'],
  ])('a file of %s', (_what, content, message) => {
    write('x', content);
    expect(refusal(join(copy, 'x'))).toContain(message);
  });
  test('a file that is not there', () => {
    expect(refusal(join(copy, 'none'))).toContain('cannot be read: ');
  });
  test('an archive that is cut off anywhere, or changed', () => {
    makeCopy();
    const whole = spawnSync('tar', ['--format=pax', '-cf', '-', '-C', copy, 'sys']).stdout;
    const end = whole.findLastIndex((byte) => byte !== 0);
    for (let length = 512; length < end; length += 509) {
      write('cut.tar', whole.subarray(0, length));
      expect(refusal(join(copy, 'cut.tar')), String(length)).toContain('the archive is cut off');
    }
    whole[0]! ^= 1;
    write('cut.tar', whole);
    expect(refusal(join(copy, 'cut.tar'))).toBe('COPY/cut.tar: byte 0: no header of tar');
  });
  test('a file without an end', () => {
    expect(refusal('/dev/zero')).toBe('--from /dev/zero is larger than 67108864 bytes');
  });
});
