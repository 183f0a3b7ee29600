import { describe, expect, it } from 'vitest';
import { registerOf } from '../../base/word-pair.ts';
import { Area } from './area.ts';
import type { PageBacking } from './page-backing.ts';
import { Pages } from './pages.ts';

// cast: an area asks where its memory comes from, and nothing of the rest
const BACKING = { origin: { kind: 'user' }, writable: true } as PageBacking;

/** Two pages and a half from the middle of a page on, which touches three. Words of all sizes. */
const PLACES = [
  { start: 0x10_0800n, from: 0x4000_0800n },
  { start: 0xffff_f800n, from: 0x7fff_ffff_f800n },
  { start: 0xffff_ffff_ffff_0800n, from: 0xffff_ffff_ffff_0800n },
];
const LENGTH = 0x2800n;

function newArea({ start, from }: { start: bigint; from: bigint }, memory: Pages | PageBacking) {
  const last = registerOf(start + LENGTH - 1n);
  return new Area(registerOf(start), last, { memory, from: registerOf(from) }, 3);
}

describe.each(PLACES)('the memory of an area at $start', (place) => {
  it('says the same before and after its pages object was made, and as one that was given it', () => {
    const lazy = newArea(place, BACKING);
    const firstPage = Number(place.from >> 12n);
    const given = newArea(place, new Pages(BACKING, { firstPage, npages: 3 }));
    for (const area of [lazy, given]) {
      const before = [area.firstIndex, area.lastIndex, area.pageOffset, area.backing.writable];
      expect(before).toEqual([0, 2, 0x800, true]);
      const { pages } = area;
      expect(area.pages).toBe(pages);
      expect([pages.firstPage, pages.npages]).toEqual([firstPage, 3]);
      expect([area.firstIndex, area.lastIndex, area.pageOffset, area.backing.writable]).toEqual(
        before,
      );
      expect([area.start, area.last]).toEqual([place.start, place.start + LENGTH - 1n]);
    }
  });

  it('is one pages object for whoever shares a part of it', () => {
    const area = newArea(place, BACKING);
    const piece = area.pieceAt(registerOf(place.start + 0x1234n));
    expect(piece.memory).toBe(area.pages);
    const part = new Area(registerOf(0n), registerOf(0xfffn), piece, 1);
    expect(part.pages).toBe(area.pages);
    expect([part.firstIndex, part.pageOffset]).toEqual([1, 0xa34]);
  });

  it('is not that of the next area of the same backing', () => {
    expect(newArea(place, BACKING).pages).not.toBe(newArea(place, BACKING).pages);
  });
});
