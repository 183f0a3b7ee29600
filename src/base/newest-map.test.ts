import { expect, test } from 'vitest';
import { NewestMap } from './newest-map.ts';

test('of many entries the newest are remembered', () => {
  const map = new NewestMap<number, string>(3);
  const known = () => [...Array(9).keys()].map((key) => map.get(key)).filter(Boolean);
  const seen = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((value, key) => {
    map.add(key, value);
    return known().join('');
  });
  expect(seen).toEqual(['a', 'ab', 'abc', 'bcd', 'cde', 'def', 'efg', 'fgh']);
});
