import { describe, expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { entriesOf } from '../../machine/description/entries.ts';
import { KNOWN } from '../machine-file.ts';
import { machineOf, type MadeMachine } from './description.ts';
import { functionsOfLspci } from './lspci-text.ts';

const MACHINES = fileURLToPath(new URL('../../../test/machines/', import.meta.url));
const made = (text: string): MadeMachine => machineOf(functionsOfLspci(text, 'x'), KNOWN, 'x');
const madeOf = (name: string): MadeMachine =>
  made(readFileSync(join(MACHINES, `${name}.txt`), 'utf8'));
const outline = ({ machine }: MadeMachine): string[] =>
  entriesOf(machine).map(({ device: { type, at, driver, acs } }) =>
    [at, type, ...(driver === undefined ? [] : [driver]), ...(acs ? [] : ['no ACS'])].join(' '),
  );
const reasons = ({ leftOut }: MadeMachine): string[] =>
  leftOut.map(({ found, why }) => `${found.at}: ${why}`);

describe('of a real machine there is what a description can have', () => {
  test.each([
    ['laptop',
      [
        '0000:00:00.0 generic none',
        '0000:00:02.0 generic none',
        '0000:00:1c.0 root-port',
        '0000:02:00.0 generic nvme',
        '0000:00:1f.0 generic none no ACS',
        '0000:00:1f.4 generic none no ACS',
      ],
      ['0000:00:1d.0: nothing is behind this bridge'],
    ],
    ['server',
      [
        '0000:00:00.0 generic none',
        '0000:00:04.0 ioat none',
        '0000:00:1c.0 root-port',
        '0000:01:00.0 pcie-to-pci-bridge',
        '0000:02:00.0 generic none',
        '0000:80:02.0 root-port',
        '0000:81:00.0 upstream-port',
        '0000:82:08.0 downstream-port',
        '0000:83:00.0 generic vfio-pci',
      ],
      ['0000:82:10.0: nothing is behind this bridge'],
    ],
    ['sriov-nic',
      ['0000:00:03.0 root-port', '0000:03:00.0 igb igb', '0000:03:00.1 generic none'],
      [
        '0000:03:01.2: a virtual function of 0000:03:00.1, which makes it (sriov_numvfs)',
        '0000:04:10.0: a virtual function of 0000:03:00.0, which makes it (sriov_numvfs)',
        '0000:04:10.2: a virtual function of 0000:03:00.0, which makes it (sriov_numvfs)',
      ],
    ],
  ])('%s', (name, devices, leftOut) => {
    const machine = madeOf(name);
    expect(outline(machine)).toEqual(devices);
    expect(reasons(machine)).toEqual(leftOut);
  }); // prettier-ignore
});

describe('what a machine has is not always what was found, and the reason is said', () => {
  const BRIDGE = (at: string, second: string, more = ''): string =>
    `${at} PCI bridge [0604]: X [8086:a0bc]\n` +
    `\tBus: primary=00, secondary=${second}, subordinate=${second}, sec-latency=0\n${more}`;
  const NIC = (at: string, more = ''): string =>
    `${at} Ethernet controller [0200]: X [8086:15b8]\n\tInterrupt: pin A routed to IRQ 1\n${more}`;
  test.each([
    ['a long domain', `10000:e0:06.0 System peripheral [0880]: X [8086:09ab]\n${NIC('00:1f.6', NIC('00:1f.0'))}`, ['10000:e0:06.0: a machine file has no domain of so many digits']],
    ['a bridge of another kind', `${BRIDGE('00:1e.0', '05', '\tCapabilities: [40] Express (v1) PCI/PCI-X to PCI-Express Bridge, MSI 00\n')}${NIC('05:00.0')}${NIC('00:19.0')}`, ['0000:00:1e.0: a bridge of another kind', '0000:05:00.0: it is behind 0000:00:1e.0']],
    ['a slot without function 0', `${NIC('00:1f.6')}${NIC('00:19.0')}`, ['0000:00:1f.6: a slot without function 0 is never looked at: add 0000:00:1f.0']],
    ['no device number behind a link', `${BRIDGE('00:1c.0', '02')}${NIC('02:00.0')}${NIC('02:03.0')}`, ['0000:02:03.0: the device at the end of a PCIe link has device number 00']],
    ['a bus below a bridge that nobody leads to', `${BRIDGE('00:1c.0', '02').replace('subordinate=02', 'subordinate=04')}${NIC('02:00.0')}${NIC('04:00.0')}`, ['0000:04:00.0: no bridge here leads to its bus']],
  ])('%s', (_what, text, leftOut) => {
    expect(reasons(made(text))).toEqual(leftOut);
  }); // prettier-ignore

  test('nothing that can be there', () => {
    expect(() => made(BRIDGE('00:1c.0', '02'))).toThrow('x: nothing here can be in a machine file');
  });
  test('one address twice', () => {
    const twice = NIC('00:19.0') + NIC('00:19.0');
    expect(() => made(twice)).toThrow('x:3: 0000:00:19.0 is there twice, also at x:1');
  });
  test('sizes that no BAR of the platform has, and a table of MSI-X without room', () => {
    const { machine, about } = made(
      NIC(
        '00:19.0',
        '\tRegion 0: Memory at 0 (64-bit, prefetchable) [size=128G]\n' +
          '\tRegion 2: Memory at 0 (32-bit, non-prefetchable)\n' +
          '\tCapabilities: [40] MSI-X: Enable- Count=2048 Masked-\n' +
          '\t\tVector table: BAR=2 offset=00000000\n\t\tPBA: BAR=0 offset=00008000\n',
      ),
    );
    expect(about.get('0000:00:19.0')).toEqual([
      'X',
      'BAR 0 has 137438953472 bytes; 68719476736 are made',
      'the size of BAR 2 is not said; 32768 bytes are assumed',
      'MSI-X with 2048 vectors: its BAR 2 has no room for it',
    ]);
    expect(machine.devices[0]?.options).toMatchObject({
      bars: '0:mem64p:0x1000000000,2:mem32:0x8000',
      msix_vectors: 0,
    });
  });
});
