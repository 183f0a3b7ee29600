/** The vectors of devices.md 8.1. */
import { expect, test } from 'vitest';
import { withDefaults } from '../../base/options.ts';
import { plugInto } from '../../testing/devices/fake-port.ts';
import { PCI_TESTS, pciTestdev } from './pci-testdev.ts';

function setup() {
  const { device } = plugInto(pciTestdev);
  const read = (at: number, width: number, bar = 0) => Number(device.mmioRead(bar, at, width));
  const write = (at: number, value: number, width = 1, bar = 0): void =>
    device.mmioWrite(bar, at, width, BigInt(value));
  const name = (bar = 0): string => {
    const bytes = Array.from({ length: 40 }, (_, n) => read(16 + n, 1, bar));
    return String.fromCharCode(...bytes.slice(0, bytes.indexOf(0)));
  };
  return { device, read, write, name, count: () => read(12, 4) };
}

test('V1 nothing is selected at power-on, and everything reads 0', () => {
  const { read } = setup();
  expect([read(0, 1), read(1, 1), read(0, 8)]).toEqual([0, 0, 0]);
});
test.for(PCI_TESTS.map((row, index) => [row.name, index, row] as const))(
  'V2 V7 V8 V10 the header of %s',
  ([, index, { bar, offset, data, name: called }]) => {
    const { write, read, name } = setup();
    write(0, index % 3, 1, bar);
    const header = [read(0, 1, bar), read(1, 1, bar), read(4, 4, bar), read(8, 1, bar)];
    expect(header).toEqual([index, 1, offset, data]);
    expect([read(12, 4, bar), name(bar)]).toEqual([0, called]);
  },
);
test('V3 V4 V5 V6 writes of the data to the place count, and a selection counts anew', () => {
  const { write, count } = setup();
  write(0, 0);
  write(0x800, 0xfa);
  write(0x800, 0xfa);
  expect(count()).toBe(2);
  write(0x800, 0);
  write(0x801, 0xfa);
  expect(count()).toBe(2);
  write(0x7ff, 0xfafa, 2); //       one byte of it is there
  expect(count()).toBe(3);
  write(0, 0);
  expect(count()).toBe(0);
});
test('a test of I/O space counts what is written there', () => {
  const { write, read } = setup();
  write(0, 0, 1, 1);
  write(0x83, 0xfa);
  expect(read(12, 4, 1)).toBe(0);
  write(0x83, 0xfa, 1, 1);
  expect(read(12, 4, 1)).toBe(1);
});
test('a write that is an event does not count', () => {
  const { write, count } = setup();
  write(0, 1);
  write(0x801, 0xce);
  expect(count()).toBe(0);
});
test.for([3, 7, 0xff])('V9 number %i deselects', (number) => {
  const { write, read } = setup();
  write(0, 0);
  write(0, number);
  expect([read(1, 1), read(4, 4)]).toEqual([0, 0]);
});
test('V11 a reset deselects', () => {
  const { device, write, read } = setup();
  write(0, 0);
  device.reset('bus');
  expect(read(1, 1)).toBe(0);
});
test('BAR 2 is there when it is asked for, and holds nothing', () => {
  const bars = (membar: number) =>
    pciTestdev.identity(withDefaults(pciTestdev.options, { membar })).bars.map(({ size }) => size);
  expect([bars(0), bars(0x10_0000)]).toEqual([
    [0x1000, 0x100],
    [0x1000, 0x100, 0x10_0000],
  ]);
  const { write, read } = setup();
  write(0, 0, 1, 2);
  expect([read(0, 4, 2), read(1, 1)]).toEqual([0, 0]);
});
