import { expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import type { DeviceType } from '../../devices/port.ts';
import { allowedValues, optionProblems } from './options.ts';

const TYPE: DeviceType = {
  type: 'printer',
  summary: 'prints',
  options: {
    ink: { kind: 'choice', values: ['black', 'blue'], default: 'black', help: '' },
    label: { kind: 'text', default: '', help: '' },
    mac: {
      kind: 'text',
      default: '02:00',
      form: { words: 'two bytes in hex', pattern: /^[0-9a-f]{2}:[0-9a-f]{2}$/ },
      help: '',
    },
    lanes: { kind: 'choice', values: [1, 4, 16], default: 4, help: '' },
    pages: { kind: 'integer', min: 1, default: 1, help: '' },
    duplex: { kind: 'boolean', default: false, help: '' },
  },
  identity: () => ({
    ...{ vendor: 1, device: 1, revision: 1, classCode: 0 },
    bars: [],
    interruptPin: 0,
  }),
  create: () => {
    throw new Bug('options are checked before a device is made');
  },
};

test.for([
  ['ink', 'red', "'red' is not allowed; allowed: black, blue"],
  ['label', 7, '7 is not allowed; allowed: any text'],
  ['mac', '02:0', "'02:0' is not allowed; allowed: two bytes in hex"],
  ['lanes', 2, '2 is not allowed; allowed: 1, 4, 16'],
  ['lanes', '4', "'4' is not allowed; allowed: 1, 4, 16"],
  ['pages', 0, '0 is not allowed; allowed: whole numbers from 1 to 2^53 - 1'],
  ['pages', NaN, 'NaN is not allowed; allowed: whole numbers from 1 to 2^53 - 1'],
  [
    'pages',
    2 ** 60,
    '1152921504606847000 is not allowed; allowed: whole numbers from 1 to 2^53 - 1',
  ],
  ['duplex', 'yes', "'yes' is not allowed; allowed: true, false"],
  [
    'toString',
    1,
    "printer has no option 'toString'; allowed: ink, label, mac, lanes, pages, duplex",
  ],
] as const)('%s: %o is refused with what would be allowed', ([option, value, message]) => {
  expect(optionProblems(TYPE, { [option]: value })).toEqual([{ option, message }]);
});

test('the default of an option is a value of it', () => {
  const defaults = Object.entries(TYPE.options).map(([key, option]) => [key, option.default]);
  expect(optionProblems(TYPE, Object.fromEntries(defaults) as Record<string, string>)).toEqual([]);
  expect(Object.values(TYPE.options).map(allowedValues)).toHaveLength(6);
});
