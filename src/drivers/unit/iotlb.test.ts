import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Iotlb, TLB_READ, TLB_WRITE } from './iotlb.ts';

/** Entries of a unit with address space ids and nothing else. */
const newTlb = () => new Iotlb<number, string>(String);
const RW = TLB_READ | TLB_WRITE;

describe('what is cached under a tag', () => {
  it('is found for the accesses it was filled for, and under that tag only', () => {
    const tlb = newTlb();
    const [one, two] = [tlb.tag(1), tlb.tag(2)];
    tlb.fill(one, 0x1000, 0x55, TLB_READ, 0);
    expect(tlb.find(one, 0x1000, false)).toBe(0x55);
    expect(tlb.find(one, 0x1000, true)).toBe(-1);
    expect(tlb.find(two, 0x1000, false)).toBe(-1);
    expect(tlb.find(one, 0x1001, false)).toBe(-1);
    expect(tlb.tag(1)).toBe(one);
  });
  it('is found where granule and frame have more than 31 bits', () => {
    const tlb = newTlb();
    const tag = tlb.tag(1);
    const [iovaG, frame] = [2 ** 40 + 3, 2 ** 39 + 7];
    tlb.fill(tag, iovaG, frame, RW, 0);
    expect(tlb.find(tag, iovaG, true)).toBe(frame);
    expect(tlb.find(tag, 3, true)).toBe(-1);
  });
  it('tells its rights and the size of its leaf', () => {
    const tlb = newTlb();
    const tag = tlb.tag(1);
    tlb.fill(tag, 0x200, 0x400, TLB_READ, 9);
    expect(tlb.peek(tag, 0x200)).toBe(TLB_READ | (9 << 8));
    expect(tlb.peek(tag, 0x201)).toBe(0);
  });
});

describe('the front table', () => {
  it('answers a requester by the tag it was given, until that is retired', () => {
    const tlb = newTlb();
    const tag = tlb.tag(7);
    tlb.fill(tag, 9, 0x99, RW, 0);
    expect(tlb.hit(0x20, -1, 9, true)).toBe(-1);
    tlb.setFront(0x20, -1, tag, 'walker');
    expect(tlb.hit(0x20, -1, 9, true)).toBe(0x99);
    expect(tlb.hit(0x20, 5, 9, true)).toBe(-1);
    expect(tlb.walkedBy(0x20, -1)).toBe('walker');
    tlb.retire((of) => of === 8);
    expect(tlb.walkedBy(0x20, -1)).toBe('walker');
    tlb.retire((of) => of === 7);
    expect(tlb.hit(0x20, -1, 9, true)).toBe(-1);
    expect(tlb.walkedBy(0x20, -1)).toBeUndefined();
  });
});

describe('forgetting', () => {
  it('a retired tag has nothing under it when it is used again', () => {
    const tlb = newTlb();
    const tag = tlb.tag(1);
    tlb.fill(tag, 5, 50, RW, 0);
    tlb.retire(() => true);
    tlb.revive(tag);
    expect(tlb.find(tag, 5, false)).toBe(-1);
  });
  it('a range goes under the tags that match, and nothing beside it', () => {
    const tlb = newTlb();
    const [one, two] = [tlb.tag(1), tlb.tag(2)];
    for (const tag of [one, two]) for (const g of [4, 5, 6]) tlb.fill(tag, g, g, RW, 0);
    tlb.invalidate((of) => of === 1, 5, 1);
    expect([4, 5, 6].map((g) => tlb.find(one, g, false))).toEqual([4, -1, 6]);
    expect([4, 5, 6].map((g) => tlb.find(two, g, false))).toEqual([4, 5, 6]);
  });
  it('a piece of a large leaf goes with any granule of the leaf', () => {
    const tlb = newTlb();
    const tag = tlb.tag(1);
    tlb.fill(tag, 0x3ff, 0x5ff, RW, 9);
    tlb.fill(tag, 0x400, 0x700, RW, 0);
    tlb.invalidate(() => true, 0x200, 1);
    expect(tlb.find(tag, 0x3ff, false)).toBe(-1);
    expect(tlb.find(tag, 0x400, false)).toBe(0x700);
  });
  it('more tags than there are numbers: old entries are never found under a new tag', () => {
    const tlb = newTlb();
    const first = tlb.tag(0);
    tlb.fill(first, 1, 1, RW, 0);
    for (let n = 1; n < 5000; n++) expect(tlb.find(tlb.tag(n), 1, false)).toBe(-1);
  });
});

type Step =
  | { readonly fill: number; readonly tag: number; readonly frame: number }
  | { readonly forget: number; readonly tag: number; readonly count: number }
  | { readonly retire: number };

function apply(tlb: ReturnType<typeof newTlb>, step: Step): void {
  if ('fill' in step) tlb.fill(tlb.tag(step.tag), step.fill, step.frame, RW, 0);
  else if ('forget' in step) tlb.invalidate((of) => of === step.tag, step.forget, step.count);
  else tlb.retire((of) => of === step.retire);
}
/** What may be found: frames by tag and granule. */
function applyToMap(truth: Map<string, number>, step: Step): void {
  if ('fill' in step) truth.set(`${step.tag}:${step.fill}`, step.frame);
  for (const key of truth.keys()) {
    const [tag = 0, granule = 0] = key.split(':').map(Number);
    const isForgotten =
      'forget' in step
        ? tag === step.tag && granule >= step.forget && granule < step.forget + step.count
        : 'retire' in step && tag === step.retire;
    if (isForgotten) truth.delete(key);
  }
}

it('the cache never holds what a map of the same history does not', () => {
  const granules = Array.from({ length: 41 }, (_, n) => n * 0x400);
  const granule = fc.constantFrom(...granules);
  const step = fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ fill: granule, tag: fc.nat(2), frame: fc.nat(0xffff) }),
    fc.record({ forget: granule, tag: fc.nat(2), count: fc.integer({ min: 1, max: 0x1000 }) }),
    fc.record({ retire: fc.nat(2) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tlb = newTlb();
      const truth = new Map<string, number>();
      for (const each of steps) {
        apply(tlb, each);
        applyToMap(truth, each);
      }
      const found = [0, 1, 2].flatMap((tag) =>
        granules.map((g) => [`${tag}:${g}`, tlb.find(tlb.tag(tag), g, false)] as const),
      );
      for (const [key, frame] of found) if (frame >= 0) expect(frame).toBe(truth.get(key));
    }),
  );
});
