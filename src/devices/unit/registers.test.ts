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

test('the first elements of an array may have values of their own at power-on', () => {
  const array = {
    offset: 0,
    width: 4,
    count: 4,
    access: 'rw',
    reset: [7, 9, 2],
    help: '',
  } as const;
  const file = new RegisterFile({ array });
  const elements = (): bigint[] => [0, 4, 8, 12].map((at) => file.load(at, 4));
  expect(elements()).toEqual([7n, 9n, 2n, 2n]);
  file.store(0, 4, 1n);
  file.reset();
  expect(elements()).toEqual([7n, 9n, 2n, 2n]);
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

const BYTES = {
  control: { offset: 0x00, width: 4, access: 'rw', writable: 0x00ff_ffff, help: '', reset: 1 },
  status: { offset: 0x04, width: 4, access: 'w1c', reset: 0xf0, help: '' },
  count: { offset: 0x08, width: 4, access: 'rc', reset: 5, help: '' },
  chain: { offset: 0x10, width: 8, access: 'rw', acts: 'any', help: '' },
  bell: { offset: 0x20, width: 4, access: 'wo', count: 3, stride: 8, help: '' },
  queue: {
    offset: 0x100,
    count: 4,
    stride: 0x10,
    also: [{ offset: 0x80, count: 2, stride: 0x8 }],
    width: 4,
    access: 'rw',
    help: '',
  },
} as const satisfies RegisterTable;
const RULES = { absent: 'zeros', widths: 'bytes' } as const;

describe('registers that are bytes', () => {
  test('are cut and joined by any access', () => {
    const file = new RegisterFile(BYTES, {}, RULES);
    expect(file.load(0, 8)).toBe(0xf0_0000_0001n);
    expect([file.load(4, 1), file.load(5, 2), file.load(0x40, 8)]).toEqual([0xf0n, 0n, 0n]);
    file.store(1, 2, 0xabcdn);
    expect(file.load(0, 4)).toBe(0xab_cd01n);
  });
  test('two halves are one whole', () => {
    const [halves, whole] = [
      new RegisterFile(BYTES, {}, RULES),
      new RegisterFile(BYTES, {}, RULES),
    ];
    halves.store(0x10, 4, 0x1111_2222n);
    halves.store(0x14, 4, 0x3333_4444n);
    whole.store(0x10, 8, 0x3333_4444_1111_2222n);
    expect(halves.state()).toEqual(whole.state());
  });
  test('bits that cannot be written stay, ones clear, loads clear', () => {
    const file = new RegisterFile(BYTES, {}, RULES);
    file.store(0, 4, 0xffff_ffffn);
    file.store(4, 1, 0x30n);
    expect([file.get('control'), file.get('status')]).toEqual([0xff_ffffn, 0xc0n]);
    expect([file.load(9, 1), file.load(8, 4), file.load(8, 4)]).toEqual([0n, 5n, 0n]);
  });
});

describe('handlers and arrays of registers that are bytes', () => {
  test('an action is the lowest byte’s, or any byte’s where the table says so', () => {
    const seen: string[] = [];
    const file = new RegisterFile(
      BYTES,
      {
        bell: (value, index) => seen.push(`bell ${index} ${value}`),
        chain: (value) => seen.push(`chain ${value.toString(16)}`),
      },
      RULES,
    );
    file.store(0x28, 2, 7n);
    file.store(0x31, 1, 7n);
    file.store(0x14, 4, 1n);
    expect(seen).toEqual(['bell 1 7', 'chain 100000000']);
  });
  test('an array is one name with places, and another place shows the same cells', () => {
    const file = new RegisterFile(BYTES, {}, RULES);
    file.store(0x110, 4, 9n);
    expect([file.get('queue', 1), file.load(0x88, 4), file.load(0x90, 4)]).toEqual([9n, 9n, 0n]);
    expect([file.nameAt(0x110), file.nameAt(0x88), file.nameAt(0x111)]).toEqual([
      'queue[1]',
      'queue[1]',
      undefined,
    ]);
  });
  test('a load that has a handler gives what it says', () => {
    const file = new RegisterFile(
      BYTES,
      {},
      { ...RULES, loads: { status: (value) => value + 1n } },
    );
    expect([file.load(4, 4), file.load(6, 2)]).toEqual([0xf1n, 0n]);
  });
});
