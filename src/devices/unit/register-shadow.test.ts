import { describe, expect, test } from 'vitest';
import { SparseMemory } from '../../base/sparse-memory.ts';
import { shadowPages } from './register-shadow.ts';
import { RegisterFile, type RegisterTable, type StoreHandlers } from './registers.ts';

const TABLE = {
  id: { offset: 0x00, width: 4, access: 'ro', reset: 0x1234_5678, shadow: true, help: '' },
  kick: { offset: 0x04, width: 4, access: 'wo', shadow: true, help: '' },
  address: { offset: 0x08, width: 8, access: 'rw', reset: 1n, shadow: true, help: '' },
  flags: { offset: 0x10, width: 2, access: 'w1c', reset: 0xffff, shadow: true, help: '' },
  cells: {
    ...{ offset: 0x1000, width: 4, count: 4, stride: 8, access: 'rw', reset: [1, 2] },
    ...{ also: [{ offset: 0x1800 }], shadow: true, help: '' },
  },
  events: { offset: 0x2000, width: 4, access: 'rc', help: '' },
} as const satisfies RegisterTable;

describe.for(['ones', 'zeros'] as const)('where nothing is are %s', (absent) => {
  test('memory has what loads give, whatever is stored, set, reset and restored', () => {
    const memory = new SparseMemory(0x4000);
    const stores: StoreHandlers<typeof TABLE> = { kick: (value) => file.set('id', value) };
    const rules = { widths: 'bytes', absent, shadow: memory } as const;
    const file: RegisterFile<typeof TABLE> = new RegisterFile(TABLE, stores, rules);
    const state = file.state();
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const places = [0x00, 0x04, 0x06, 0x08, 0x0c, 0x10, 0x11, 0x1000, 0x1008, 0x1800, 0x1818];
    const same = (): void => {
      for (const at of [...places, 0x20, 0x1004, 0xff8, 0x1ff8]) {
        const bytes = new Uint8Array(8);
        memory.read(at, bytes);
        const kept = new DataView(bytes.buffer).getBigUint64(0, true);
        expect([at, kept]).toEqual([at, file.load(at, 8)]);
      }
    };
    same();
    for (let n = 0; n < 500; n++) {
      const width = [1, 2, 4, 8][random(4)]!;
      file.store(places[random(places.length)]!, width, BigInt(random(2 ** 31)));
      if (n % 100 === 50) file.restore(state);
      if (n % 100 === 99) file.reset(['id', 'cells']);
      same();
    }
  });
});

test('a page with a register that is not, or without any, is none of them', () => {
  const page = (offset: number) => ({ offset, length: 0x1000 });
  expect(shadowPages(TABLE)).toEqual([page(0), page(0x1000)]);
  const one = { ...TABLE, more: { offset: 0x20, width: 4, access: 'rw', help: '' } } as const;
  expect(shadowPages(one)).toEqual([page(0x1000)]);
  expect(shadowPages({})).toEqual([]);
});

test.for([
  ['registers of declared widths', TABLE, {}, 'shadow registers answer any width'],
  [
    'a load that is handled',
    TABLE,
    { widths: 'bytes', loads: { id: (value: bigint) => value } },
    'a load of the shadow register id is handled',
  ],
  [
    'a load that clears',
    { a: { offset: 0, width: 4, access: 'rc', shadow: true, help: '' } },
    { widths: 'bytes' },
    'a: a load clears it',
  ],
] as const)('%s cannot be memory', ([, table, rules, why]) => {
  const shadow = new SparseMemory(0x4000);
  expect(() => new RegisterFile<RegisterTable>(table, {}, { ...rules, shadow })).toThrow(why);
});
