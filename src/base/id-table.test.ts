import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { ENOSPC, isErrno } from './errno.ts';
import { IdTable } from './id-table.ts';

function reserve(table: IdTable<object>): number {
  const id = table.reserve();
  if (isErrno(id)) throw new Error('full');
  return id;
}

describe('ids', () => {
  test('ids are the lowest free ones, from the first on', () => {
    const table = new IdTable<object>();
    expect([reserve(table), reserve(table), reserve(table)]).toEqual([1, 2, 3]);
    table.abort(2);
    expect(reserve(table)).toBe(2);
    expect(reserve(table)).toBe(4);
  });
  test('ids are found only when published', () => {
    const table = new IdTable<object>();
    const id = reserve(table);
    const object = {};
    expect(table.get(id)).toBeUndefined();
    table.publish(id, object);
    expect(table.get(id)).toBe(object);
    expect(table.remove(id)).toBe(object);
    expect(table.isTaken(id)).toBe(false);
  });
  test('ids stay taken when buried', () => {
    const table = new IdTable<object>();
    const id = reserve(table);
    table.publish(id, {});
    table.bury(id);
    expect(table.get(id)).toBeUndefined();
    expect(reserve(table)).toBe(id + 1);
  });
  test('ids run out with ENOSPC', () => {
    const table = new IdTable<object>(0, 1);
    expect([table.reserve(), table.reserve(), table.reserve()]).toEqual([0, 1, ENOSPC]);
  });
  test('ids published twice, removed twice or aborted without being reserved are bugs', () => {
    const table = new IdTable<object>();
    expect(() => table.publish(1, {})).toThrow('without being reserved');
    expect(() => table.abort(1)).toThrow('without being reserved');
    expect(() => table.remove(1)).toThrow('not published');
    expect(() => table.bury(1)).toThrow('not published');
  });
  test('ids agree with a plain set', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1, max: 20 })), (steps) => {
        const table = new IdTable<object>();
        const model = new Set<number>();
        for (const step of steps) {
          if (step < 0) {
            let want = 1;
            while (model.has(want)) want++;
            model.add(want);
            const id = reserve(table);
            expect(id).toBe(want);
            table.publish(id, {});
          } else if (model.delete(step)) table.remove(step);
        }
        expect([...table.entries()].map(([id]) => id)).toEqual([...model].sort((a, b) => a - b));
      }),
    );
  });
});
