/** Frames over every kind of ring, and the control queue (devices.md 5.5, 5.7). */
import { beforeEach, describe, expect, test } from 'vitest';
import { plugInto, Segment } from '../../testing/devices/fake-port.ts';
import {
  EVENT_IDX,
  INDIRECT,
  PACKED,
  VirtioDriver,
  type DriverQueue,
} from '../../testing/devices/virtio-driver.ts';
import type { DeviceOptions } from '../port.ts';
import { VIRTIO_BAR } from './registers.ts';
import { virtioNet } from './virtio-net.ts';

const MEMORY = 0x20_0000;
const MRG_RXBUF = 15;
const MQ = 22;
const MAC = [2, 0, 0, 0, 0, 0x20];
const RX = 0;
const TX = 1;
const CTRL = 2;

/** An Ethernet frame. */
function frame(seed: number, length = 60, to: readonly number[] = MAC): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, n) => (n * 3 + seed) & 0xff);
  bytes.set([...to, 2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
  return bytes;
}

function netRig(
  options: DeviceOptions = {},
  bits: readonly number[] = [],
  segment = new Segment(),
) {
  const given = { wire: 'self', packed: true, ...options };
  const { device, port } = plugInto(virtioNet, given, { memory: MEMORY, segment });
  const driver = new VirtioDriver(device, port);
  const queues = driver.start(driver.read('numQueues'), 16, ...bits);
  segment.clock.advance(0);
  const at = (queue: number): DriverQueue => queues[queue]!;
  const transmit = (...frames: readonly Uint8Array[]): void => {
    for (const one of frames) at(TX).add(new Uint8Array(12), one);
    at(TX).notify();
    segment.clock.advance(0);
  };
  const command = (...bytes: readonly number[]): number => {
    const control = at(queues.length - 1);
    const [, ack] = control.add(Uint8Array.from(bytes), 1);
    port.memory[ack!] = 0xee;
    control.notify();
    expect(control.reap()).toHaveLength(1);
    return port.memory[ack!]!;
  };
  return { device, port, driver, at, transmit, command, segment };
}
type NetRig = ReturnType<typeof netRig>;

/** Room for frames, and what came into it: lengths as the device says, and the bytes. */
function receiver({ at, port }: NetRig, room: number, count: number, queue = RX) {
  const places = Array.from({ length: count }, () => at(queue).add(room)[0]!);
  return () =>
    at(queue)
      .reap()
      .map(({ token, written }) => {
        const place = places[token]!;
        const buffers = port.memory[place + 10]!;
        return { written, buffers, bytes: port.memory.slice(place + 12, place + written) };
      });
}

const RINGS: readonly (readonly [string, readonly number[]])[] = [
  ['split', []],
  ['split, tables', [INDIRECT]],
  ['split, events', [EVENT_IDX]],
  ['packed', [PACKED]],
  ['packed, tables', [PACKED, INDIRECT]],
];

describe.for(RINGS)('%s', ([, bits]) => {
  let all: NetRig;
  beforeEach(() => {
    all = netRig({}, bits);
  });

  test('a frame that comes back has a header of 12 bytes and one buffer (V13)', () => {
    const received = receiver(all, 1526, 2);
    all.transmit(frame(1));
    expect(received()).toEqual([{ written: 72, buffers: 1, bytes: frame(1) }]);
    expect(all.at(TX).reap()).toEqual([{ token: 0, written: 0 }]);
  });
  test('frames of one turn are one interrupt, in their order', () => {
    const received = receiver(all, 1526, 4);
    all.at(RX).wantInterrupt(3);
    const sent = all.port.messages.length;
    all.at(TX).wantInterrupt(undefined);
    all.transmit(frame(1), frame(2), frame(3));
    expect(received().map(({ bytes }) => bytes[20])).toEqual([1, 2, 3].map((n) => frame(n)[20]));
    expect(all.port.messages.slice(sent)).toEqual([RX + 1]);
  });
  test('what finds no buffer, or too small a one, is lost', () => {
    all.transmit(frame(1));
    const received = receiver(all, 100, 2);
    all.transmit(frame(2, 200), frame(3));
    expect(received()).toEqual([{ written: 72, buffers: 1, bytes: frame(3) }]);
  });
  test('merged buffers hold a long frame', () => {
    all = netRig({}, [...bits, MRG_RXBUF]);
    const received = receiver(all, 128, 4);
    all.transmit(frame(5, 300));
    const parts = received();
    expect(parts.map(({ written }) => written)).toEqual([128, 128, 56]);
    expect(parts[0]!.buffers).toBe(3);
    expect(parts[0]!.bytes).toEqual(frame(5, 300).subarray(0, 116));
  });
  test('a long frame leaves its buffers where they are not enough', () => {
    all = netRig({}, [...bits, MRG_RXBUF]);
    const received = receiver(all, 128, 2);
    all.transmit(frame(5, 300), frame(6));
    expect(received()).toMatchObject([{ written: 72, bytes: frame(6) }]);
  });
  test('a buffer that cannot be reached is given back empty', () => {
    all.at(RX).addEntries([{ addr: MEMORY, len: 1526, write: true }]);
    all.transmit(frame(1));
    expect(all.at(RX).reap()).toEqual([{ token: 0, written: 0 }]);
    expect(all.driver.read('deviceStatus')).toBe(0xf);
  });
  test('a frame that cannot be reached, or is none, is not sent', () => {
    const received = receiver(all, 1526, 2);
    all.at(TX).addEntries([{ addr: MEMORY, len: 100, write: false }]);
    all.transmit(new Uint8Array(13), new Uint8Array(0x1_0000 - 11), frame(2, 14));
    expect(received()).toHaveLength(1);
    expect(all.at(TX).reap()).toHaveLength(4);
  });
});

const OTHER = [2, 7, 7, 7, 7, 7];
const GROUP = [0x33, 0x33, 0, 0, 0, 1];
const ALL = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const NONE = [0, 0, 0, 0];

describe('the control queue', () => {
  test('always answers, also what it does not know (V14)', () => {
    const { command } = netRig();
    expect(command(9, 0)).toBe(1);
    expect(command(0)).toBe(1);
    expect(command(0, 9, 1)).toBe(1);
    expect([command(0, 0, 1), command(0, 1, 1)]).toEqual([0, 0]);
    expect(command(0, 0)).toBe(1);
  });
  test.for<[string, number[][], boolean[]]>([
    ['everything at first', [], [true, true, true, true]],
    ['its own and broadcasts', [[0, 0, 0]], [true, false, false, true]],
    [
      'all groups',
      [
        [0, 0, 0],
        [0, 1, 1],
      ],
      [true, false, true, true],
    ],
    [
      'a table of stations',
      [
        [0, 0, 0],
        [1, 0, 1, 0, 0, 0, ...OTHER, ...NONE],
      ],
      [true, true, false, true],
    ],
    [
      'a table of groups',
      [
        [0, 0, 0],
        [1, 0, ...NONE, 1, 0, 0, 0, ...GROUP],
      ],
      [true, false, true, true],
    ],
    [
      'another address',
      [
        [0, 0, 0],
        [1, 1, ...OTHER],
      ],
      [false, true, false, true],
    ],
  ])('takes %s', ([, commands, expected]) => {
    const all = netRig();
    expect(commands.map((bytes) => all.command(...bytes))).toEqual(commands.map(() => 0));
    const taken = [MAC, OTHER, GROUP, ALL].map((to) => {
      receiver(all, 1526, 1);
      const before = all.at(RX).reap().length;
      all.transmit(frame(1, 60, to));
      return all.at(RX).reap().length - before === 1;
    });
    expect(taken).toEqual(expected);
  });
});

describe('a command', () => {
  test.for<[string, number[]]>([
    ['no second table', [1, 0, ...NONE]],
    ['fewer addresses than it says', [1, 0, 2, 0, 0, 0, ...OTHER, ...NONE]],
    ['half an address', [1, 1, 2, 0]],
    ['no pairs', [4, 0, 0, 0]],
    ['more pairs than there are', [4, 0, 2, 0]],
  ])('%s is refused', ([, bytes]) => {
    expect(netRig().command(...bytes)).toBe(1);
  });
});

describe('addresses', () => {
  test('a table too long to keep takes all of its kind', () => {
    const all = netRig();
    all.command(0, 0, 0);
    const many = Array.from({ length: 65 }, () => [2, 1, 1, 1, 1, 1]).flat();
    expect(all.command(1, 0, 65, 0, 0, 0, ...many, ...NONE)).toBe(0);
    const received = receiver(all, 1526, 1);
    all.transmit(frame(1, 60, OTHER));
    expect(received()).toHaveLength(1);
  });
  test('a new address is in the registers, and gone after a reset', () => {
    const { command, device, driver } = netRig();
    const mac = () =>
      Array.from({ length: 6 }, (_, n) => Number(device.mmioRead(VIRTIO_BAR, 0x2000 + n, 1)));
    expect(mac()).toEqual(MAC);
    command(1, 1, ...OTHER);
    expect(mac()).toEqual(OTHER);
    driver.write('deviceStatus', 0);
    expect(mac()).toEqual(MAC);
  });
});

describe('several pairs', () => {
  test('the control queue is the last with MQ, and the third without', () => {
    expect(netRig({ queue_pairs: 4 }, [MQ]).command(4, 0, 4, 0)).toBe(0);
    const all = netRig({ queue_pairs: 4 });
    const [, ack] = all.at(CTRL).add(Uint8Array.of(0, 0, 1), 1);
    all.port.memory[ack!] = 0xee;
    all.at(CTRL).notify();
    expect(all.port.memory[ack!]).toBe(0);
  });
  test('a conversation stays in its queue, and others go elsewhere', () => {
    const all = netRig({ queue_pairs: 2 }, [MQ]);
    all.command(4, 0, 2, 0);
    const receivers = [0, 2].map((queue) => receiver(all, 1526, 12, queue));
    const from = (last: number): Uint8Array => frame(1).fill(last, 11, 12);
    for (let n = 0; n < 8; n++) all.transmit(from(n % 4));
    const got = receivers.map((received) => received().map(({ bytes }) => bytes[11]!));
    expect(got.flat()).toHaveLength(8);
    expect(got.every((list) => list.length > 0)).toBe(true);
    expect(new Set(got[0]!.filter((one) => got[1]!.includes(one))).size).toBe(0);
  });
});

describe('the link', () => {
  const up = ({ device }: NetRig) => Number(device.mmioRead(VIRTIO_BAR, 0x2006, 2));
  test('is up while a driver is at the other end', () => {
    const segment = new Segment();
    const a = netRig({ wire: 'b' }, [], segment);
    expect(up(a)).toBe(0);
    a.driver.write('configMsixVector', 0);
    const b = netRig({ wire: 'a' }, [], segment);
    segment.clock.advance(0);
    expect([up(a), up(b), a.port.messages]).toEqual([1, 1, [0]]);
    const received = receiver(b, 1526, 1);
    a.transmit(frame(4));
    expect(received()).toMatchObject([{ bytes: frame(4) }]);
    expect(a.driver.read('configGeneration')).toBe(1);
    b.driver.write('deviceStatus', 0);
    segment.clock.advance(0);
    expect(up(a)).toBe(0);
  });
  test('after a reset nothing arrives', () => {
    const all = netRig();
    const received = receiver(all, 1526, 1);
    all.at(TX).add(new Uint8Array(12), frame(1));
    all.at(TX).notify();
    all.driver.write('deviceStatus', 0);
    all.port.touched.length = 0;
    all.segment.clock.advance(1e9);
    expect([received(), all.port.touched]).toEqual([[], []]);
  });
  test('frames on their way, and buffers taken for them, are part of the state', () => {
    const all = netRig();
    const received = receiver(all, 1526, 3);
    all.transmit(frame(1));
    expect(received()).toHaveLength(1);
    all.at(TX).add(new Uint8Array(12), frame(2));
    all.at(TX).notify();
    const state = structuredClone(all.device.state());
    const other = netRig();
    other.port.memory.set(all.port.memory);
    other.device.restore(state);
    for (const one of [all, other]) one.segment.clock.advance(0);
    expect(Buffer.compare(other.port.memory, all.port.memory)).toBe(0);
    expect(other.device.state()).toEqual(all.device.state());
  });
});
