import { describe, expect, test } from 'vitest';
import { offsetsOf, RegisterFile, type RegisterTable } from './registers.ts';

const TABLE = {
  id: { offset: 0x00, width: 4, access: 'ro', reset: 0x1234_5678, help: '' },
  kick: { offset: 0x04, width: 4, access: 'wo', help: '' },
  address: { offset: 0x08, width: 8, narrow: [4], access: 'rw', reset: 1n, help: '' },
  byte: { offset: 0x10, width: 1, access: 'rw', help: '' },
} as const satisfies RegisterTable;

describe('loads', () => {
  test.for<[offset: number, width: number, value: bigint]>([
    [0x00, 4, 0x1234_5678n],
    [0x00, 2, 0xffffn],
    [0x01, 1, 0xffn],
    [0x04, 4, 0xffff_ffffn],
    [0x08, 8, 1n],
    [0x08, 4, 1n],
    [0x0c, 4, 0xffff_ffffn],
    [0x10, 1, 0n],
    [0x20, 8, 0xffff_ffff_ffff_ffffn],
  ])('at %i with %i bytes give %s', ([offset, width, value]) => {
    expect(new RegisterFile(TABLE).load(offset, width)).toBe(value);
  });
});

describe('stores', () => {
  test('replace the value, cut to the width', () => {
    const file = new RegisterFile(TABLE);
    file.store(0x10, 1, 0x1ffn);
    file.store(0x08, 4, 0xffff_ffffn);
    expect([file.get('byte'), file.get('address')]).toEqual([0xffn, 0xffff_ffffn]);
  });
  test('to what cannot be written, or not so, do nothing', () => {
    const file = new RegisterFile(TABLE);
    const before = file.state();
    file.store(0x00, 4, 0n);
    file.store(0x08, 2, 0n);
    file.store(0x0c, 4, 0n);
    file.store(0x40, 4, 0n);
    expect(file.state()).toEqual(before);
  });
  test('go to the handler of the register instead, when it has one', () => {
    const seen: bigint[] = [];
    const file = new RegisterFile(TABLE, { kick: (value) => seen.push(value) });
    file.store(0x04, 4, 7n);
    expect([seen, file.get('kick')]).toEqual([[7n], 0n]);
  });
});

test('a state is a copy that brings everything back, a reset the values of power-on', () => {
  const file = new RegisterFile(TABLE);
  file.set('address', 99n);
  const state = file.state();
  file.reset();
  expect([file.get('address'), file.get('id')]).toEqual([1n, 0x1234_5678n]);
  file.restore(state);
  expect(file.get('address')).toBe(99n);
});

test('names and offsets are those of the table', () => {
  expect(offsetsOf(TABLE)).toEqual({ id: 0, kick: 4, address: 8, byte: 16 });
  const file = new RegisterFile(TABLE);
  expect([file.nameAt(8), file.nameAt(12)]).toEqual(['address', undefined]);
});
