/** What a driver can do wrong with its rings, and what it asks to hear of (devices.md 5.4, 5.7). */
import { describe, expect, test } from 'vitest';
import { FLUSH, blkRig, header } from '../../testing/devices/virtio-blk-rig.ts';
import {
  EVENT_IDX,
  INDIRECT,
  PACKED,
  type DriverQueue,
} from '../../testing/devices/virtio-driver.ts';

describe('what a driver may not do with a split ring', () => {
  const NEXT = 1;
  const TABLE = 4;
  test.for<[string, (queue: DriverQueue, desc: number) => void]>([
    ['a chain that never ends (V15)', (q, desc) => q.view.setUint16(desc + 16 + 12, NEXT, true)],
    ['an index beyond the table', (q, desc) => q.view.setUint16(desc + 14, 8, true)],
    ['a head beyond the table', (q) => q.view.setUint16(q.driverArea + 4, 8, true)],
    ['more heads than there are descriptors', (q) => q.view.setUint16(q.driverArea + 2, 9, true)],
    ['a table where none was agreed', (q, desc) => q.view.setUint16(desc + 12, TABLE, true)],
  ])('%s', ([, spoil]) => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8) as [DriverQueue];
    queue.add(header(FLUSH), 1);
    queue.add(header(FLUSH), 1);
    spoil(queue, queue.place.base);
    queue.notify();
    expect([all.driver.read('deviceStatus'), queue.reap()]).toEqual([0x4f, []]);
    all.driver.start(1, 8);
    expect(all.driver.read('deviceStatus')).toBe(0xf);
  });
  test.for<[string, number, number]>([
    ['half a descriptor', 24, TABLE],
    ['no descriptor', 0, TABLE],
    ['more than the queue has', 16 * 9, TABLE],
    ['that goes on', 32, TABLE | NEXT],
  ])('a table of %s', ([, length, flags]) => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8, INDIRECT) as [DriverQueue];
    queue.add(header(FLUSH), 1);
    queue.view.setUint32(queue.place.base + 8, length, true);
    queue.view.setUint16(queue.place.base + 12, flags, true);
    queue.notify();
    expect([all.driver.read('deviceStatus'), queue.reap()]).toEqual([0x4f, []]);
  });
  test('chains before a broken one are done', () => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8) as [DriverQueue];
    queue.add(header(FLUSH), 1);
    queue.add(header(FLUSH), 1);
    queue.view.setUint16(queue.driverArea + 6, 99, true);
    queue.notify();
    expect([all.driver.read('deviceStatus'), queue.reap().length]).toEqual([0x4f, 1]);
  });
});

describe('what a driver may not do with a packed ring', () => {
  test('a chain that never ends', () => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8, PACKED) as [DriverQueue];
    for (let n = 0; n < 8; n++) queue.view.setUint16(queue.place.base + 16 * n + 14, 0x81, true);
    queue.notify();
    expect(all.driver.read('deviceStatus')).toBe(0x4f);
  });
  test('a chain whose rest is not there', () => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8, PACKED) as [DriverQueue];
    queue.view.setUint16(queue.place.base + 14, 0x81, true);
    queue.notify();
    expect(all.driver.read('deviceStatus')).toBe(0x4f);
  });
});

test('EVENT_IDX: a vector when the index passes what was asked for (V12)', () => {
  const all = blkRig();
  const [queue] = all.driver.start(1, 64, EVENT_IDX) as [DriverQueue];
  queue.wantInterrupt(6);
  for (let n = 0; n < 8; n++) {
    queue.add(header(FLUSH), 1);
    queue.notify();
    expect(all.port.messages).toHaveLength(n < 5 ? 0 : 1);
  }
  expect(queue.view.getUint16(queue.deviceArea + 4 + 8 * 64, true)).toBe(8);
});
