/** Wires of a description: both ends exist, and agree. */
import { expect, test } from 'vitest';
import { Bug } from '../../base/bug.ts';
import type { DeviceType } from '../../devices/port.ts';
import { IOMMU_TYPES } from '../../drivers/types.ts';
import { parseDescription } from './description-check.ts';

const IDENTITY = {
  ...{ vendor: 1, device: 1, revision: 1, classCode: 0x02_0000 },
  bars: [],
  interruptPin: 0,
};
function never(): never {
  throw new Bug('a description is checked before a device is made');
}
const nic: DeviceType = {
  type: 'nic',
  summary: 'has a plug',
  options: { wire: { kind: 'text', default: 'sink', help: '' } },
  identity: () => IDENTITY,
  needs: (options) => [{ kind: 'wire', name: String(options['wire']) }],
  create: never,
};
const dumb: DeviceType = {
  ...{ type: 'dumb', summary: 'has none', options: {} },
  identity: () => IDENTITY,
  create: never,
};
const TYPES = { devices: new Map([nic, dumb].map((t) => [t.type, t])), iommus: IOMMU_TYPES };
const HOST = {
  wires: new Map([
    [
      'lan',
      {
        carrier: true,
        power: () => undefined,
        send: () => undefined,
        listen: () => ({ [Symbol.dispose]: () => undefined }),
      },
    ],
  ]),
};

/** Devices 04.0, 05.0 … with these wires; undefined: one without a plug. */
function problems(...wires: (string | undefined)[]): string[] {
  const devices = wires.map((wire, n) => ({
    type: wire === undefined ? 'dumb' : 'nic',
    at: `0000:00:0${4 + n}.0`,
    options: wire === undefined ? {} : { wire },
  }));
  const checked = parseDescription({ devices }, TYPES, HOST);
  if (!('problems' in checked)) return [];
  return checked.problems.map((p) => `${p.path.join('.')}: ${p.message}`);
}

test.for<[string, ...(string | undefined)[]]>([
  ['plain', 'sink', 'self', 'unplugged', 'lan'],
  ['each names the other', '0000:00:05.0', '0000:00:04.0'],
  ['the first names the second', '0000:00:05.0', 'sink'],
  ['the second names the first', 'sink', '0000:00:04.0'],
])('%s: such wires can be', ([, ...wires]) => {
  expect(problems(...wires)).toEqual([]);
});

const THERE = 'given: sink, self, unplugged, lan';
test.for<[string, (string | undefined)[], string]>([
  ['a name nobody knows', ['net'], `no wire 'net' is given to the machine; ${THERE}, 0000:00:04.0`],
  [
    'a device without a plug',
    ['0000:00:05.0', undefined],
    `no wire '0000:00:05.0' is given to the machine; ${THERE}, 0000:00:04.0`,
  ],
  ['the device itself', ['0000:00:04.0'], "a wire from 0000:00:04.0 to itself is 'self'"],
  [
    'a device that is wired otherwise',
    ['0000:00:05.0', 'self'],
    "the wire of 0000:00:05.0 leads to 'self', and not here",
  ],
])('%s is no end of a wire', ([, wires, message]) => {
  expect(problems(...wires)).toEqual([`devices.0.options: ${message}`]);
});
test('two that are wired to one', () => {
  expect(problems('sink', '0000:00:04.0', '0000:00:04.0')).toEqual([
    'devices.2.options: 0000:00:05.0 is wired to 0000:00:04.0 already',
  ]);
});
