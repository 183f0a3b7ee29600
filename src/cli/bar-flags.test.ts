/** --bar, above what the machine says. */
import { describe, expect, test } from 'vitest';
import { resolveMachine } from './machine-file.ts';
import { UserMistake } from './user-mistake.ts';

const BARS = 'bars=0:mem64:0x4000,2:io:32,3:mem32:16,msix_vectors=0,vfs=1';
const A = '0000:00:05.0';
const B = '0000:00:06.0';
const devices = [`generic,bdf=${A},${BARS}`, `generic,bdf=${B},bar=none`, 'edu,bdf=0000:00:07.0'];
const resolve = (bar: readonly string[], more: readonly string[] = []) =>
  resolveMachine({ nodefaults: true, device: [...devices, ...more], bar });
const wishes = (bar: readonly string[]) => resolve(bar).devices.map((device) => device.bar);

test.for<[string, readonly string[], readonly unknown[]]>([
  ['nothing leaves what the machine says', [], [undefined, 'none', undefined]],
  ['plain is for those that have plain pages', ['plain'], ['plain', 'plain', undefined]],
  ['trap is for all', ['trap'], ['trap', 'trap', 'trap']],
  ['a device', [`${A}=none`], ['none', 'none', undefined]],
  ['a BAR', [`${A}/3=none`], [{ '3': 'none' }, 'none', undefined]],
  [
    'a BAR of many',
    [`${A}/3=none`, `${A}=trap`],
    [{ '0': 'trap', '3': 'none' }, 'none', undefined],
  ],
  ['the narrower one counts', [`${A}/0=trap`, 'plain'], [{ '0': 'trap' }, 'plain', undefined]],
  [
    'each BAR keeps its own',
    [`${B}/0=plain`],
    [undefined, { '0': 'plain', '4': 'none' }, undefined],
  ],
])('%s', ([, bar, expected]) => {
  expect(wishes(bar)).toEqual(expected);
});

describe('a mistake is one line with the flag', () => {
  const HOW =
    'must be HOW, DDDD:BB:DD.F=HOW or DDDD:BB:DD.F/INDEX=HOW, where HOW is trap, plain, none';
  test.for<[string, readonly string[], string]>([
    ['no word', ['fast'], `--bar fast: ${HOW}`],
    ['nothing', [''], `--bar : ${HOW}`],
    ['two words', ['a=b=trap'], `--bar a=b=trap: ${HOW}`],
    ['no such device', ['0000:00:1f.0=trap'], "there is no device '0000:00:1f.0' in the machine"],
    ['no such BAR', [`${A}/1=trap`], 'BAR 1 is no memory BAR of generic; those are: 0, 3'],
    ['I/O space', [`${A}/2=none`], 'BAR 2 is no memory BAR of generic; those are: 0, 3'],
    ['no number', [`${A}/x=none`], 'BAR x is no memory BAR of generic; those are: 0, 3'],
    ['less than a page', [`${A}/3=plain`], 'BAR 3 of generic has no plain pages'],
    ['a model without', ['0000:00:07.0=plain'], 'edu has no BAR with plain pages'],
    ['twice', [`${A}=trap`, `${A}=none`], 'the same is said a second time'],
  ])('%s', ([, bar, message]) => {
    expect(() => resolve(bar)).toThrow(UserMistake);
    expect(() => resolve(bar)).toThrow(message);
  });
});

describe('as the machine says it', () => {
  test.for([
    [
      'generic,bar=fast',
      "must be trap, plain or none, or one of them by the index of a BAR, such as { '0': plain }, not 'fast'",
    ],
    ['edu,bar=plain', 'edu has no BAR with plain pages'],
  ] as const)('%s is refused', ([device, message]) => {
    expect(() => resolve([], [device])).toThrow(message);
  });
});
