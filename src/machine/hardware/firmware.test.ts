import { describe, expect, test } from 'vitest';
import { createMachine } from '../create-machine.ts';
import type { Machine } from '../machine.ts';
import type { MachineInput } from '../description/description.ts';
import { hull, openWindow, WINDOW_KINDS } from './bridge-windows.ts';

function machine(devices: MachineInput['devices']): Machine {
  const made = createMachine({ devices });
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  return made.machine;
}
/** memory, prefetchable, io of a bridge, in hex. */
function windows(made: Machine, name: string): string[] {
  return WINDOW_KINDS.map((kind) => {
    const window = openWindow(made.hardware.slot(name)!.fn, kind);
    return window ? `${window.start.toString(16)}-${window.last.toString(16)}` : '-';
  });
}
const behind = (device: object, at = '0000:01:00.0'): MachineInput['devices'] => [
  { type: 'root-port', at: '0000:00:01.0', devices: [{ ...device, at } as never] },
];

describe('the windows of a bridge', () => {
  test.for<[string, object, string[]]>([
    [
      'memory below 4 GiB',
      { type: 'edu', options: { pcie: true } },
      ['e0000000-e00fffff', '-', '-'],
    ],
    ['64-bit memory', { type: 'ioat' }, ['e0000000-e00fffff', '-', '-']],
    [
      'prefetchable memory',
      { type: 'virtio-blk' },
      ['e0000000-e00fffff', '100000000-1000fffff', '-'],
    ],
    [
      'memory of virtual functions',
      { type: 'igb' },
      ['e0000000-e00fffff', '100000000-1000fffff', '-'],
    ],
    [
      '64-bit memory that is too large below 4 GiB',
      { type: 'generic', options: { bar_size: 2 ** 28 } },
      ['e0000000-e00fffff', '100000000-10fffffff', '-'],
    ],
  ])('are open for %s', ([, device, expected]) => {
    expect(windows(machine(behind(device)), '0000:00:01.0')).toEqual(expected);
  });
  test('are open for ports, behind every bridge on the way', () => {
    const bridge = {
      type: 'pci-bridge',
      at: '0000:02:01.0',
      devices: [{ type: 'pci-testdev', at: '0000:03:00.0' }],
    };
    const made = machine([
      {
        type: 'root-port',
        at: '0000:00:01.0',
        devices: [{ type: 'pcie-to-pci-bridge', at: '0000:01:00.0', devices: [bridge] }],
      },
    ]);
    for (const name of ['0000:00:01.0', '0000:01:00.0', '0000:02:01.0']) {
      expect(windows(made, name)[2]).toBe('c000-cfff');
    }
  });
  test('of neighbours have nothing in common', () => {
    const port = (n: number) => ({
      type: 'root-port',
      at: `0000:00:0${n}.0`,
      devices: [{ type: 'igb', at: `0000:0${n}:00.0` }],
    });
    const made = machine([port(1), port(2), port(3)]);
    const all = [1, 2, 3].map((n) => windows(made, `0000:00:0${n}.0`));
    for (const kind of [0, 1]) expect(new Set(all.map((each) => each[kind])).size).toBe(3);
  });
});

describe('what is behind a bridge', () => {
  test('has every register within its windows', () => {
    const made = machine(behind({ type: 'igb' }));
    const port = made.hardware.slot('0000:00:01.0')!.fn;
    const ranges = WINDOW_KINDS.flatMap((kind) => openWindow(port, kind) ?? []);
    for (const bar of made.hardware.slot('0000:01:00.0')!.fn.bars) {
      if (!bar) continue;
      const isInside = ranges.some(
        ({ start, last }) => bar.address >= start && bar.address + bar.size - 1 <= last,
      );
      expect(isInside).toBe(true);
    }
  });
  test('widens them when it is plugged in, up to the root', () => {
    const withDevice = (type: string): Machine => {
      const end = { type, at: '0000:03:00.0' };
      const port = { type: 'downstream-port', at: '0000:02:00.0', devices: [end] };
      const up = { type: 'upstream-port', at: '0000:01:00.0', devices: [port] };
      return machine([{ type: 'root-port', at: '0000:00:01.0', devices: [up] }]);
    };
    const made = withDevice('ioat');
    expect(made.hotplug.unplug('0000:03:00.0')).toBeUndefined();
    const { description } = withDevice('virtio-blk');
    const [root] = description.devices;
    made.hotplug.plug(root!.devices[0]!.devices[0]!.devices[0]!, description);
    for (const name of ['0000:00:01.0', '0000:01:00.0', '0000:02:00.0']) {
      expect(windows(made, name)).toEqual(['e0000000-e01fffff', '100000000-1000fffff', '-']);
    }
  });
});

test('a hull has in it what it is made of', () => {
  expect(hull([])).toBeUndefined();
  expect(
    hull([
      { start: 5, last: 6 },
      { start: 1, last: 2 },
    ]),
  ).toEqual({ start: 1, last: 6 });
});
