/** A disk over every kind of ring (devices.md 5.7). */
import { beforeEach, describe, expect, test } from 'vitest';
import {
  CAPACITY,
  DISCARD,
  FLUSH,
  GET_ID,
  IN,
  MEMORY,
  OUT,
  WRITE_ZEROES,
  blkRig,
  header,
  pattern,
  range,
  request,
  type BlkRig,
} from '../../testing/devices/virtio-blk-rig.ts';
import {
  EVENT_IDX,
  INDIRECT,
  PACKED,
  type DriverQueue,
} from '../../testing/devices/virtio-driver.ts';

const RINGS: readonly (readonly [string, readonly number[]])[] = [
  ['split', []],
  ['split, tables', [INDIRECT]],
  ['split, events', [EVENT_IDX]],
  ['packed', [PACKED]],
  ['packed, tables', [PACKED, INDIRECT]],
  ['packed, events', [PACKED, EVENT_IDX]],
];

function ready(bits: readonly number[]): [BlkRig, DriverQueue] {
  const all = blkRig();
  return [all, all.driver.start(1, 8, ...bits)[0]!];
}

describe.for(RINGS)('%s', ([, bits]) => {
  let all: BlkRig;
  let queue: DriverQueue;
  beforeEach(() => {
    [all, queue] = ready(bits);
  });

  test('what was written is read (V7)', () => {
    expect(request(all, queue, header(OUT, 5), pattern(1))).toMatchObject({
      status: 0,
      written: 1,
    });
    const read = request(all, queue, header(IN, 5), 512);
    expect(read).toEqual({ status: 0, written: 513, data: pattern(1) });
  });
  test('in pieces of any length', () => {
    const data = pattern(3, 1024);
    request(
      all,
      queue,
      header(OUT, 7),
      data.subarray(0, 1),
      data.subarray(1, 600),
      data.subarray(600),
    );
    const read = request(all, queue, header(IN, 7), 1000, 24);
    expect([read.status, read.written]).toEqual([0, 1025]);
    expect(request(all, queue, header(IN, 7), 1024).data).toEqual(data);
  });
  test('a hundred laps, each with as many as fit', () => {
    all = blkRig();
    [queue] = all.driver.start(1, 4, ...bits) as [DriverQueue];
    for (let n = 0; n < 100; n++) {
      const done = request(
        all,
        queue,
        header(n % 2 === 0 ? OUT : IN, n >> 1),
        n % 2 === 0 ? pattern(n) : 512,
      );
      expect(done.status).toBe(0);
      if (n % 2 === 1) expect(done.data).toEqual(pattern(n - 1));
    }
  });
  test('many chains are one walk and one interrupt', () => {
    [queue] = all.driver.start(1, 64, ...bits) as [DriverQueue];
    const sent = all.port.messages.length;
    for (let n = 0; n < 20; n++) queue.add(header(OUT, n), pattern(n), 1);
    queue.wantInterrupt(20);
    queue.notify();
    expect(queue.reap().map(({ token }) => token)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(all.port.messages.slice(sent)).toEqual([1]);
  });
  test('more chains than one visit takes are all done', () => {
    all = blkRig();
    [queue] = all.driver.start(1, 256, ...bits) as [DriverQueue];
    for (let n = 0; n < 85; n++) queue.add(header(FLUSH), 1);
    queue.notify();
    all.port.clock.advance(0);
    expect(queue.reap()).toHaveLength(85);
  });
});

describe.for(RINGS)('%s: requests', ([, bits]) => {
  let all: BlkRig;
  let queue: DriverQueue;
  beforeEach(() => {
    [all, queue] = ready(bits);
  });

  test('beyond the end is an error (V8), also of a write', () => {
    for (const sector of [CAPACITY, CAPACITY - 1]) {
      const read = request(all, queue, header(IN, sector), 1024);
      expect(read).toEqual({ status: 1, written: 1, data: new Uint8Array(1024) });
      expect(request(all, queue, header(OUT, sector), pattern(1, 1024)).status).toBe(1);
    }
  });
  test('an unknown type is unsupported (V9)', () => {
    expect(request(all, queue, header(99), 512)).toMatchObject({ status: 2, written: 1 });
  });
  test('the serial has 20 bytes (V10)', () => {
    const { status, written, data } = request(all, queue, header(GET_ID), 20);
    expect([status, written]).toEqual([0, 21]);
    expect(new TextDecoder().decode(data)).toBe('softiommu'.padEnd(20, '\0'));
    expect(request(all, queue, header(GET_ID), 19).status).toBe(1);
  });
  test('discards and write zeroes leave zeros', () => {
    for (const sector of [1, 2, 3, 4]) request(all, queue, header(OUT, sector), pattern(sector));
    expect(request(all, queue, header(DISCARD), range(1, 1)).status).toBe(0);
    const two = Uint8Array.from([...range(3, 1, 1), ...range(4, 1)]);
    expect(request(all, queue, header(WRITE_ZEROES), two).status).toBe(0);
    const left = [1, 2, 3, 4].map((at) => request(all, queue, header(IN, at), 512).data[1]);
    expect(left).toEqual([0, pattern(2)[1], 0, 0]);
  });
  test.for<[string, number, Uint8Array, number]>([
    ['a discard that unmaps', DISCARD, range(0, 1, 1), 2],
    ['flags nobody knows', WRITE_ZEROES, range(0, 1, 2), 2],
    ['beyond the end', DISCARD, range(CAPACITY, 1), 1],
    ['no range', DISCARD, new Uint8Array(0), 1],
    ['half a range', WRITE_ZEROES, new Uint8Array(24), 1],
    ['too many sectors', WRITE_ZEROES, range(0, 0x40_0000), 1],
    ['a write of half a sector', OUT, new Uint8Array(256), 1],
    ['a write of nothing', OUT, new Uint8Array(0), 1],
  ])('%s is refused', ([, type, data, status]) => {
    expect(request(all, queue, header(type), data).status).toBe(status);
  });
});

describe.for(RINGS)('%s: failures', ([, bits]) => {
  let all: BlkRig;
  let queue: DriverQueue;
  beforeEach(() => {
    [all, queue] = ready(bits);
  });

  test('a disk that is read-only takes no write, and is read', () => {
    all = blkRig({ read_only: true });
    [queue] = all.driver.start(1, 8, ...bits) as [DriverQueue];
    expect(request(all, queue, header(OUT), pattern(1)).status).toBe(1);
    expect(request(all, queue, header(DISCARD), range(0, 1)).status).toBe(1);
    expect(request(all, queue, header(IN), 512).status).toBe(0);
  });
  test('a chain without room for a status is given back (5.6)', () => {
    queue.add(header(FLUSH));
    queue.notify();
    expect(queue.reap()).toEqual([{ token: 0, written: 0 }]);
  });
  test('a chain without a header fails', () => {
    queue.add(Uint8Array.of(1, 2, 3), 1);
    queue.notify();
    expect(queue.reap()).toEqual([{ token: 0, written: 1 }]);
  });
  test.for<[string, (q: DriverQueue) => void, number]>([
    ['header', (q) => q.addEntries([entry(MEMORY, 16), entry(q.alloc(1), 1, true)]), 1],
    [
      'data',
      (q) => q.addEntries([...head(q, OUT), entry(MEMORY, 512), entry(q.alloc(1), 1, true)]),
      1,
    ],
    [
      'room for data',
      (q) => q.addEntries([...head(q, IN), entry(MEMORY, 512, true), entry(q.alloc(1), 1, true)]),
      1,
    ],
    ['status', (q) => q.addEntries([...head(q, FLUSH), entry(MEMORY, 1, true)]), 0],
  ])('memory of the %s that cannot be reached fails this request alone', ([, add, written]) => {
    add(queue);
    queue.notify();
    expect(queue.reap()).toEqual([{ token: 0, written }]);
    expect(all.driver.read('deviceStatus')).toBe(0xf);
    expect(request(all, queue, header(IN), 512).status).toBe(0);
  });
});

describe.for(RINGS)('%s: stops', ([, bits]) => {
  let all: BlkRig;
  let queue: DriverQueue;
  beforeEach(() => {
    [all, queue] = ready(bits);
  });

  test('no interrupt where none is wanted (V11)', () => {
    queue.wantInterrupt(undefined);
    const sent = all.port.messages.length;
    expect(request(all, queue, header(FLUSH)).status).toBe(0);
    expect(all.port.messages).toHaveLength(sent);
  });
  test('a table or ring that cannot be reached stops the queue (0x40), not another', () => {
    const other = all.driver.queue(1, 8, bits);
    all.driver.write('configMsixVector', 0);
    queue.add(header(FLUSH), 1);
    if (bits.includes(INDIRECT)) queue.view.setBigUint64(queue.place.base, BigInt(MEMORY), true);
    else breakOrder(queue);
    const sent = all.port.messages.length;
    queue.notify();
    expect(all.driver.read('deviceStatus')).toBe(0x4f);
    expect(all.port.messages.slice(sent)).toEqual([0]);
    queue.notify();
    expect([queue.reap(), all.port.messages.length]).toEqual([[], sent + 1]);
    expect(request(all, other, header(FLUSH)).status).toBe(0);
  });
  test('nothing moves while bus mastering is off, and then it does', () => {
    queue.add(header(FLUSH), 1);
    all.port.touched.length = 0;
    all.port.flip('busMaster', false);
    queue.notify();
    expect([all.port.touched, all.driver.read('deviceStatus')]).toEqual([[], 0xf]);
    all.port.flip('busMaster', true);
    expect(queue.reap()).toHaveLength(1);
  });
  test('nothing is taken before DRIVER_OK, and then what is there', () => {
    all.driver.negotiate(...bits);
    queue = all.driver.queue(0, 8, bits);
    queue.add(header(FLUSH), 1);
    queue.notify();
    expect(queue.reap()).toEqual([]);
    all.driver.write('deviceStatus', 0xf);
    expect(queue.reap()).toHaveLength(1);
  });
});

interface RawEntry {
  readonly addr: number;
  readonly len: number;
  readonly write: boolean;
}
const entry = (addr: number, len: number, write = false): RawEntry => ({ addr, len, write });
function head(queue: DriverQueue, type: number): RawEntry[] {
  const addr = queue.alloc(16);
  queue.place.driver.port.memory.set(header(type), addr);
  return [entry(addr, 16)];
}
/** The first descriptor, which is read by the device, becomes one it writes: the order of the chain is wrong. */
function breakOrder(queue: DriverQueue): void {
  const { base, size } = queue.place;
  for (let at = base; at < base + 16 * size; at += 16) {
    for (const flags of [at + 12, at + 14]) {
      const value = queue.view.getUint16(flags, true);
      if ((value & 1) !== 0 && (value & 2) === 0) queue.view.setUint16(flags, value | 2, true);
      else if ((value & 2) !== 0) queue.view.setUint16(flags, value & ~2, true);
    }
  }
}
