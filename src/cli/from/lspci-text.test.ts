import { describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { UserMistake } from '../user-mistake.ts';
import { functionsOfLspci } from './lspci-text.ts';

const textOf = (name: string): string =>
  readFileSync(new URL(`../../../test/machines/${name}.txt`, import.meta.url), 'utf8');

const ONE = '00:04.0 Unclassified device [00ff]: Device [1234:11e8] (rev 10)\n';
const hex = (bytes: readonly number[]): string =>
  bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
const dump = (bytes: readonly number[]): string =>
  Array.from({ length: bytes.length / 16 }, (_, n) => {
    const offset = (n * 16).toString(16).padStart(2, '0');
    return `${offset}: ${hex(bytes.slice(n * 16, n * 16 + 16))}\n`;
  }).join('');

test('a function has what lspci -vvnn says of it', () => {
  const found = functionsOfLspci(textOf('laptop'), 'laptop.txt');
  expect(found.map(({ at }) => at)).toEqual([
    '0000:00:00.0',
    '0000:00:02.0',
    '0000:00:1c.0',
    '0000:00:1d.0',
    '0000:00:1f.0',
    '0000:00:1f.4',
    '0000:02:00.0',
  ]);
  expect(found[1]).toEqual({
    at: '0000:00:02.0',
    place: 'laptop.txt:7',
    words: 'Intel Corporation TigerLake-LP GT2 [Iris Xe Graphics]',
    vendor: 0x8086,
    device: 0x9a49,
    classCode: 0x030000,
    revision: 1,
    subsystemVendor: 0x17aa,
    subsystem: 0x22d5,
    pin: 1,
    bars: [
      { index: 0, kind: 'mem64', prefetchable: false, size: 16 * 2 ** 20 },
      { index: 2, kind: 'mem64', prefetchable: true, size: 256 * 2 ** 20 },
      { index: 4, kind: 'io', prefetchable: false, size: 64 },
    ],
    bridge: undefined,
    capabilities: {
      pcie: { kind: 'rc-integrated', flr: true },
      msiVectors: 1,
      ats: true,
      pri: true,
      pasidBits: 20,
    },
    sees: { capabilities: true, extended: true },
    group: '0',
    driver: 'i915',
    virtual: false,
  });
  expect(found[2]?.bridge).toEqual({ secondary: 2, subordinate: 2 });
  expect(found[2]?.capabilities.acs).toBe(true);
  expect(found[6]?.capabilities.msix).toEqual({
    vectors: 130,
    bar: 0,
    table: 0x3000,
    pbaBar: 0,
    pba: 0x2000,
  });
});

test('the registers of SR-IOV are no BARs of the physical function', () => {
  const [, igb] = functionsOfLspci(textOf('sriov-nic'), 'x');
  expect(igb?.bars.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(igb?.capabilities.sriov).toEqual({
    totalVfs: 8,
    numVfs: 2,
    offset: 384,
    stride: 2,
    device: 0x10ca,
  });
});

test('bytes of lspci -x need no ids in the text, and words add the sizes', () => {
  const bytes = [
    0x86, 0x80, 0xc9, 0x10, 0, 0, 0x10, 0, 1, 0, 0, 2, 0, 0, 0, 0,
    ...[0, 0, 0xd2, 0xfb], ...[0x0c, 0, 0, 0], ...[0, 0, 0, 0], ...[1, 0xe0, 0, 0],
    ...Array<number>(12).fill(0), 0x86, 0x80, 0x3c, 0xa0,
    ...Array<number>(13).fill(0), 2, 0, 0,
  ]; // prettier-ignore
  const plain = `01:00.0 Ethernet controller: Intel Corporation\n${dump(bytes)}\n`;
  const [found] = functionsOfLspci(plain, 'x');
  expect(found).toMatchObject({
    vendor: 0x8086,
    device: 0x10c9,
    classCode: 0x020000,
    subsystemVendor: 0x8086,
    subsystem: 0xa03c,
    pin: 2,
    bars: [
      { index: 0, kind: 'mem32', prefetchable: false, size: undefined },
      { index: 1, kind: 'mem64', prefetchable: true, size: undefined },
      { index: 3, kind: 'io', prefetchable: false, size: undefined },
    ],
    sees: { capabilities: false, extended: false },
  });
  const region = '\tRegion 0: Memory at fbd20000 (32-bit, non-prefetchable) [size=128K]\n';
  const [both] = functionsOfLspci(plain.replace('\n', `\n${region}`), 'x');
  expect(both?.bars).toEqual([{ index: 0, kind: 'mem32', prefetchable: false, size: 0x20000 }]);
});

describe('a text that is none of lspci is refused with its line', () => {
  const details = '\tInterrupt: pin A routed to IRQ 10\n';
  test.each([
    ['nothing', '', 'x:1: the text is empty'],
    ['empty lines', ' \n\n', 'x:1: the text is empty'],
    ['prose', 'Dear friend,\n', "x:1: lspci writes no such line: 'Dear friend,'"],
    ['prose behind it', `${ONE}${details}root@host:~#\n`, "x:3: lspci writes no such line: 'root@host:~#'"],
    ['controls', `${ONE}\x1b[2J\n`, "x:2: lspci writes no such line: '\\x1b[2J'"],
    ['details of nothing', details, `x:1: lspci writes no such line: '\\x09${details.trim()}'`],
    ['a long line', `${ONE}\t${'a'.repeat(5000)}\n`, `x:2: lspci writes no such line: '\\x09${'a'.repeat(39)}…'`],
    ['its complaints only', 'lspci: Unable to load libkmod resources: error -2\n', 'x:1: no function is in this text'],
    ['a text without its end', `${ONE}\tRegion 0: Mem`, 'x:2: the text is cut off: its last line has no end'],
    ['a list', ONE, 'x:1: this is a list only; lspci -vvnn says what is needed'],
    ['no ids', `00:04.0 Ethernet controller: Intel\n${details}`, 'x:1: the ids of 0000:00:04.0 are not here; lspci -vvnn writes them'],
    ['one v', `${ONE}\tMemory at febf1000 (32-bit, non-prefetchable) [size=4K]\n`, 'x:2: a BAR without its number: lspci -vvnn, with two v, writes it'],
    ['too many', ONE.repeat(1025), 'x:1025: more than 1024 functions'],
    ['bytes that end', `${ONE}${dump(Array<number>(48).fill(1))}`, 'x:4: the bytes of 0000:00:04.0 are cut off: 48 of them are here'],
    ['a line of bytes is missing', `${ONE}${dump(Array<number>(64).fill(1)).replace(/10: .*\n/, '')}`, 'x:3: bytes are missing: offset 10 comes next'],
  ])('%s', (_what, text, message) => {
    expect(() => functionsOfLspci(text, 'x')).toThrow(new UserMistake(message));
  }); // prettier-ignore
});
