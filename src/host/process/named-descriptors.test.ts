/** Descriptors by what they are open on: one look a call. */
import { expect, test } from 'vitest';
import { MOST_DESCRIPTORS, NamedDescriptors } from './named-descriptors.ts';

function setup(count: number) {
  let looks = 0;
  let told = 0;
  const named = new NamedDescriptors(function* (pid) {
    looks++;
    for (let fd = 0; fd < count; fd++) yield { fd: String(fd), link: `/${pid}/${fd % 3}` };
  });
  named.begin(() => told++);
  named.callBegins();
  return { named, looks: () => looks, told: () => told };
}

test('a process is looked at once a call, whatever is asked of it', () => {
  const { named, looks } = setup(6);
  expect(named.of(7, '/7/1')).toEqual(['1', '4']);
  expect(named.of(7, '/7/2')).toEqual(['2', '5']);
  expect(named.of(7, '/7/3')).toEqual([]);
  expect(looks()).toBe(1);
});
test('in the next call, and of another process, it is looked at again', () => {
  const { named, looks } = setup(6);
  named.of(7, '/7/1');
  named.callBegins();
  named.of(7, '/7/1');
  expect(looks()).toBe(2);
  expect(named.of(8, '/8/0')).toEqual(['0', '3']);
  expect(named.of(8, '/7/0')).toEqual([]);
  expect(looks()).toBe(3);
});
test('outside of a call each look is one of its own', () => {
  const { named, looks } = setup(6);
  named.callEnds();
  expect(named.of(7, '/7/1')).toEqual(['1', '4']);
  expect(named.of(7, '/7/1')).toEqual(['1', '4']);
  expect(looks()).toBe(2);
});
test('of too many descriptors the first are looked at, which is told', () => {
  const { named, told } = setup(MOST_DESCRIPTORS + 5);
  expect(named.of(7, '/7/0')).toHaveLength(Math.ceil(MOST_DESCRIPTORS / 3));
  expect(told()).toBe(1);
  const enough = setup(MOST_DESCRIPTORS);
  enough.named.of(7, '/7/0');
  expect(enough.told()).toBe(0);
});
