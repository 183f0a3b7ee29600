/** Overlapping ranges of memory, against a list that is searched as a whole; and how much of it is looked at. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryIndex } from './memory-index.ts';

interface Range {
  readonly va: bigint;
  readonly length: bigint;
}
const range = fc.record({
  va: fc.bigInt({ min: 0n, max: 5000n }),
  length: fc.oneof(fc.bigInt({ min: 1n, max: 9n }), fc.bigInt({ min: 1n, max: 3000n })),
});
function has(list: Iterable<Range>, { va, length }: Range): boolean {
  return [...list].some((one) => one.va < va + length && va < one.va + one.length);
}

test('finds one that overlaps, if there is one, whatever was added and deleted', () => {
  const step = fc.oneof(
    fc.record({ add: range }),
    fc.record({ ask: range }),
    fc.record({ drop: fc.nat(50) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [index, list] = [new MemoryIndex<Range>(), new Set<Range>()];
      for (const one of steps) {
        if ('add' in one) {
          index.add(one.add);
          list.add(one.add);
        } else if ('ask' in one) {
          const found = index.overlapping(one.ask);
          expect(found !== undefined).toBe(has(list, one.ask));
          if (found) expect([list.has(found), has([found], one.ask)]).toEqual([true, true]);
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
  const index = new MemoryIndex<Range>();
  for (let n = 0n; n < 5000n; n++) {
    index.add({
      get va() {
        looks++;
        return n * 8192n;
      },
      length: 4096n,
    });
  }
  looks = 0;
  for (let n = 0n; n < 5000n; n++) index.overlapping({ va: n * 8192n + 4096n, length: 4096n });
  expect(looks).toBeLessThan(5 * 5000);
});
