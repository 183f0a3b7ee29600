/** Which addresses still reach memory that went, against a Map of pages. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MapEvent } from '../../base/events.ts';
import { LostMemory } from './lost-memory.ts';

const PAGE = 0x1000n;
const RAM = 0x40_0000n;
const range = (kind: MapEvent['kind'], domain: string, iova: bigint, pages: bigint): MapEvent => ({
  ...{ kind, domain: { kind: 'domain', id: domain, born: undefined } },
  ...{ iova, length: pages * PAGE },
});
const mapped = (domain: string, iova: bigint, pages: bigint, pa = RAM): MapEvent => ({
  ...range('map', domain, iova, pages),
  pa,
});

test('of a mapping that was unmapped in part the rest is lost with its memory', () => {
  const memory = new LostMemory<string>();
  memory.mapped(mapped('a', 0x10_0000n, 3n));
  memory.unmapped(range('unmap', 'a', 0x10_1000n, 1n));
  expect(memory.lose([{ pa: RAM, length: 3n * PAGE }], 'munmap')).toEqual([
    { domain: 'a', iova: 0x10_0000n, pa: RAM, length: PAGE, loss: 'munmap' },
    { domain: 'a', iova: 0x10_2000n, pa: RAM + 2n * PAGE, length: PAGE, loss: 'munmap' },
  ]);
});
test('of lost memory that was unmapped in part the rest is still reached', () => {
  const memory = new LostMemory<string>();
  memory.mapped(mapped('a', 0x10_0000n, 2n));
  memory.lose([{ pa: RAM, length: 2n * PAGE }], 'munmap');
  memory.unmapped(range('unmap', 'b', 0x10_0000n, 2n));
  memory.unmapped(range('unmap', 'a', 0x10_0000n, 1n));
  const reached = (at: bigint) =>
    memory.reached({ iova: 0x10_0000n + at, pa: RAM + at, length: 4 });
  expect(reached(0n)).toBeUndefined();
  expect(reached(PAGE)).toMatchObject({ iova: 0x10_1000n, length: PAGE });
  memory.unmapped(range('unmap', 'a', 0x10_0000n, 9n));
  expect(memory.isSome).toBe(false);
});
test('what is lost are the addresses that lead to the memory, whatever was mapped and unmapped', () => {
  const step = fc.record({
    domain: fc.constantFrom('a', 'b'),
    page: fc.bigInt({ min: 0n, max: 12n }),
    pages: fc.bigInt({ min: 1n, max: 8n }),
    /** Undefined: it is an unmap. */
    frame: fc.option(fc.bigInt({ min: 0n, max: 12n }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.tuple(fc.nat(12), fc.nat(8)), (steps, at) => {
      const memory = new LostMemory<string>();
      const frames = new Map<string, bigint>();
      for (const { domain, page, pages, frame } of steps) {
        if (frame === undefined) memory.unmapped(range('unmap', domain, page * PAGE, pages));
        else memory.mapped(mapped(domain, page * PAGE, pages, frame * PAGE));
        for (let n = 0n; n < pages; n++) {
          if (frame === undefined) frames.delete(`${domain} ${page + n}`);
          else frames.set(`${domain} ${page + n}`, frame + n);
        }
      }
      const [first, count] = at.map(BigInt) as [bigint, bigint];
      const lost = memory.lose([{ pa: first * PAGE, length: (count + 1n) * PAGE }], 'munmap');
      const found = lost.flatMap(({ domain, iova, length }) =>
        Array.from(
          { length: Number(length / PAGE) },
          (_, n) => `${domain} ${iova / PAGE + BigInt(n)}`,
        ),
      );
      const wanted = [...frames].filter(([, frame]) => frame >= first && frame <= first + count);
      expect(found.sort()).toEqual(wanted.map(([page]) => page).sort());
    }),
  );
});
