/** Wires of a description: both ends exist, and agree. */
import { describe, expect, test, vi } from 'vitest';
import { Bug } from '../../base/bug.ts';
import type { DeviceOptions, DeviceType } from '../../devices/port.ts';
import { IOMMU_TYPES } from '../../drivers/types.ts';
import { createMachine } from '../create-machine.ts';
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
    'a name that moves the cursor',
    ['ne\u0010t\u202e'],
    `no wire 'ne\\x10t\\u202e' is given to the machine; ${THERE}, 0000:00:04.0`,
  ],
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
test('a device is asked what it needs as often among many as among few', () => {
  const asked = (count: number): number => {
    const needs = vi.fn((options: DeviceOptions) => nic.needs?.(options) ?? []);
    const types = { ...TYPES, devices: new Map([['nic', { ...nic, needs }]]) };
    const devices = Array.from({ length: count }, (_, n) => ({
      type: 'nic',
      at: `0000:00:${(4 + n).toString(16).padStart(2, '0')}.0`,
    }));
    expect(parseDescription({ devices }, types, HOST)).not.toHaveProperty('problems');
    return needs.mock.calls.length / count;
  };
  expect(asked(20)).toBe(asked(2));
});

function outside(wires: object, ...names: string[]): string[] {
  const devices = names.map((wire, n) => ({
    type: 'nic',
    at: `0000:00:0${4 + n}.0`,
    options: { wire },
  }));
  const checked = parseDescription({ devices, wires }, TYPES, HOST);
  if (!('problems' in checked)) return [];
  return checked.problems.map((p) => `${p.path.join('.')}: ${p.message}`);
}

describe('wires out of the machine', () => {
  test.for([
    { tap: 'tap0' },
    { listen: 'a.sock' },
    { connect: '/run/a.sock', form: 'packets' },
    { datagram: 'a', to: 'b' },
  ])('%j can be', (wire) => {
    expect(outside({ out: wire }, 'out')).toEqual([]);
  });
  test.for<[object, string]>([
    [{}, 'wires.out: a wire has one end outside: one of tap, listen, connect, datagram'],
    [
      { tap: 'tap0', listen: 'x' },
      'wires.out: a wire has one end outside: one of tap, listen, connect, datagram',
    ],
    [{ datagram: 'x' }, 'wires.out: datagrams are sent somewhere: to is missing'],
    [{ listen: 'x', to: 'y' }, 'wires.out.to: to is said of datagram'],
    [{ tap: 'tap0', form: 'stream' }, 'wires.out.form: form is said of listen and connect'],
    [
      { listen: 'x', form: 'frames' },
      "wires.out.form: 'frames' is not allowed; allowed: stream, packets",
    ],
    [
      { tap: 'a/b' },
      "wires.out.tap: must be the name of a network interface, such as tap0, not 'a/b'",
    ],
    [{ listen: 'a\0b' }, "wires.out.listen: must be the name of a file, not 'a\\x00b'"],
    [
      { pipe: 'x' },
      "wires.out.pipe: unknown key 'pipe'; allowed: tap, listen, connect, datagram, to, form",
    ],
  ])('%j cannot: %s', ([wire, message]) => {
    expect(outside({ out: wire }, 'out')).toEqual([message]);
  });
});
describe('wires out of the machine', () => {
  test('have names that mean nothing else', () => {
    const wire = { tap: 'tap0' };
    expect(outside({ sink: wire })).toEqual([
      "wires.sink: 'sink' is a wire that leads nowhere out of the machine",
    ]);
    expect(outside({ '0000:00:04.0': wire })).toEqual([
      "wires.0000:00:04.0: must be a letter, and up to 31 letters, digits and . _ -, not '0000:00:04.0'",
    ]);
  });
  test('have one device', () => {
    expect(outside({ out: { tap: 'tap0' } }, 'out', 'out')).toEqual([
      "devices.1.options: the wire 'out' is already that of 0000:00:04.0",
    ]);
  });
  test('lead nowhere in a machine that is only looked at, and are given to one of the library', () => {
    const description = { devices: [], wires: { out: { tap: 'tap0' } } };
    const made = createMachine(description);
    expect('problems' in made && made.problems).toEqual([
      {
        path: ['wires', 'out'],
        message: 'wires are joined to the host by softiommu run only; give out in host.wires',
      },
    ]);
    const out = HOST.wires.get('lan')!;
    expect(
      'machine' in createMachine(description, { host: { wires: new Map([['out', out]]) } }),
    ).toBe(true);
  });
});

test('two that are wired to one', () => {
  expect(problems('sink', '0000:00:04.0', '0000:00:04.0')).toEqual([
    'devices.2.options: 0000:00:05.0 is wired to 0000:00:04.0 already',
  ]);
});
