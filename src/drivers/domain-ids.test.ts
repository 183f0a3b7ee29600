import { expect, test } from 'vitest';
import { Bug } from '../base/bug.ts';
import { ENOSPC } from '../base/errno.ts';
import { DomainIds } from './domain-ids.ts';

test('a domain has one id, until the last that is attached to it is released', () => {
  const ids = new DomainIds<string>('u', 2, 4);
  expect([ids.take('a'), ids.take('a'), ids.take('b')]).toEqual([undefined, undefined, undefined]);
  expect([ids.of('a'), ids.of('b'), ids.of('c'), ids.size]).toEqual([2, 3, undefined, 2]);
  ids.release('a');
  expect(ids.of('a')).toBe(2);
  ids.release('a');
  expect([ids.of('a'), ids.size]).toEqual([undefined, 1]);
});
test('with every id taken a new domain gets ENOSPC, one that has an id does not', () => {
  const ids = new DomainIds<string>('u', 2, 4);
  expect([ids.take('a'), ids.take('b')]).toEqual([undefined, undefined]);
  expect(ids.take('c')).toBe(ENOSPC);
  expect(ids.take('b')).toBeUndefined();
  ids.release('a');
  expect([ids.take('c'), ids.of('c')]).toEqual([undefined, 2]);
});
test('what has no id is not released', () => {
  expect(() => {
    new DomainIds<string>('u', 0, 1).release('a');
  }).toThrow(Bug);
});
