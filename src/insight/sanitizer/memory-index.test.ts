/** Overlapping ranges of memory, against a list that is searched as a whole; and how much of it is looked at. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryIndex, type MemoryRange } from './memory-index.ts';

const range = fc.record({
  start: fc.bigInt({ min: 0n, max: 5000n }),
  length: fc.oneof(fc.bigInt({ min: 1n, max: 9n }), fc.bigInt({ min: 1n, max: 3000n })),
});
function overlapping(list: Iterable<MemoryRange>, { start, length }: MemoryRange): MemoryRange[] {
  return [...list].filter((one) => one.start < start + length && start < one.start + one.length);
}
const itself = (range: MemoryRange) => range;

test('finds those that overlap, whatever was added and deleted', () => {
  const step = fc.oneof(
    fc.record({ add: range }),
    fc.record({ ask: range }),
    fc.record({ drop: fc.nat(50) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [index, list] = [new MemoryIndex(itself), new Set<MemoryRange>()];
      for (const one of steps) {
        if ('add' in one) {
          index.add(one.add);
          list.add(one.add);
        } else if ('ask' in one) {
          const all = new Set(overlapping(list, one.ask));
          expect(index.allOverlapping(one.ask)).toEqual(all);
          const any = index.overlapping(one.ask);
          expect(any === undefined ? all.size === 0 : all.has(any)).toBe(true);
        } else {
          const gone = [...list][one.drop];
          if (!gone) continue;
          index.delete(gone);
          list.delete(gone);
        }
      }
    }),
  );
});

test('of many ranges a search looks at its neighbours only', () => {
  let looks = 0;
  const index = new MemoryIndex(itself);
  for (let n = 0n; n < 5000n; n++) {
    index.add({
      get start() {
        looks++;
        return n * 8192n;
      },
      length: 4096n,
    });
  }
  looks = 0;
  for (let n = 0n; n < 5000n; n++) index.overlapping({ start: n * 8192n + 4096n, length: 4096n });
  expect(looks).toBeLessThan(5 * 5000);
});
