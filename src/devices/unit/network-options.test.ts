/** Station addresses: given, or following from the place. */
import { expect, test } from 'vitest';
import { MAC_OPTION, stationAddress } from './network-options.ts';

const text = (given: string, place: string): string =>
  Buffer.from(stationAddress(given, place)).toString('hex');

test.for([
  ['0000:00:04.0', '020000000020'],
  ['0000:00:05.0', '020000000028'],
  ['0000:00:05.7', '02000000002f'],
  ['0000:c1:1f.3', '02000000c1fb'],
  ['12ab:03:00.0', '020012ab0300'],
])('of a device at %s it is %s, one station of one machine', ([place, address]) => {
  expect(text('', place!)).toBe(address);
});
test('what the option says counts', () => {
  expect(text('02:11:22:33:44:55', '0000:00:04.0')).toBe('021122334455');
});
test.for([
  ['', true],
  ['02:11:22:33:44:5f', true],
  ['03:11:22:33:44:55', false],
  ['02:11:22:33:44', false],
])("'%s': may the option be that? %s", ([given, may]) => {
  expect(MAC_OPTION.form.pattern.test(String(given))).toBe(may);
});
