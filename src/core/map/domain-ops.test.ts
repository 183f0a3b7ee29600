/** Coherency and quirks of a domain (core.md 3.7). */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import { EBUSY, EINVAL } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { enforceCacheCoherency, setPgtableQuirks } from './domain-ops.ts';

describe('quirks of a page table', () => {
  test('quirks of a page table are for unmanaged domains, else EINVAL', () => {
    const rig = new Rig();
    expect(setPgtableQuirks(rig.group.defaultDomain!, 1)).toBe(EINVAL);
    expect(setPgtableQuirks(rig.mock.ops.blockedDomain!, 1)).toBe(EINVAL);
  });
  test('quirks of a page table need a driver that has some, else EINVAL', () => {
    expect(setPgtableQuirks(new Rig().domain('U'), 1)).toBe(EINVAL);
  });
  test("quirks of a page table are the driver's to judge", () => {
    const u = new Rig().domain('U');
    const asked: number[] = [];
    u.ops = {
      ...u.ops,
      setPgtableQuirks(_domain, quirks) {
        asked.push(quirks);
        return quirks === 1 ? undefined : refuse(EBUSY, 'attached already');
      },
    };
    expect(setPgtableQuirks(u, 1)).toBeUndefined();
    expect(setPgtableQuirks(u, 2)).toBe(EBUSY);
    expect(asked).toEqual([1, 2]);
  });
});

test.for([true, false, undefined])('coherency is enforced as the driver says: %s', (answer) => {
  const rig = new Rig();
  rig.mock.domainKnobs.enforceCoherency = answer;
  expect(enforceCacheCoherency(rig.domain('U'))).toBe(answer === true);
});
test('a driver that throws while coherency is enforced is named', () => {
  const u = new Rig().domain('U');
  u.ops = { ...u.ops, enforceCacheCoherency: () => BigInt('x') > 0n };
  expect(() => enforceCacheCoherency(u)).toThrow(/^driver mock, enforce_cache_coherency: /);
});
