/** Negotiation, registers and interrupts of every virtio device (devices.md 5.7). */
import { describe, expect, test } from 'vitest';
import { FLUSH, blkRig, header, request } from '../../testing/devices/virtio-blk-rig.ts';
import { INDIRECT, PACKED, type DriverQueue } from '../../testing/devices/virtio-driver.ts';
import { VIRTIO_BAR } from './registers.ts';

describe('negotiation', () => {
  test('status reads 0 after a reset (V1)', () => {
    const { driver } = blkRig();
    driver.write('deviceStatus', 3);
    driver.write('deviceStatus', 0);
    expect(driver.read('deviceStatus')).toBe(0);
  });
  test('what is offered (V2)', () => {
    const { driver } = blkRig();
    driver.write('deviceFeatureSelect', 1);
    expect(driver.read('deviceFeature') & 3).toBe(3);
    driver.write('deviceFeatureSelect', 2);
    expect(driver.read('deviceFeature')).toBe(0);
    const named = [1, 2, 6, 9, 11, 12, 13, 14, 28, 29, 32, 33, 34, 36, 40];
    expect(driver.offered()).toBe(named.reduce((set, bit) => set | (1n << BigInt(bit)), 0n));
    expect(blkRig({ packed: false }).driver.offered() & (1n << 34n)).toBe(0n);
    expect(blkRig({ read_only: true }).driver.offered() & 0x6020n).toBe(0x20n);
    expect(blkRig({ queues: 1 }).driver.offered() & 0x1000n).toBe(0n);
  });
  test('features without VERSION_1 are not accepted (V3)', () => {
    const { driver } = blkRig();
    driver.write('deviceStatus', 3);
    driver.write('deviceStatus', 0xb);
    expect(driver.read('deviceStatus')).toBe(3);
  });
  test('nor are bits that were not offered (V4)', () => {
    const { driver } = blkRig();
    expect(driver.negotiate(INDIRECT)).toBe(0xb);
    expect(driver.negotiate(38)).toBe(3);
    expect(driver.negotiate(63)).toBe(3);
  });
  test('what was accepted stays', () => {
    const { driver } = blkRig();
    driver.negotiate();
    driver.write('driverFeatureSelect', 0);
    driver.write('driverFeature', 0xffff_ffff);
    expect(driver.read('driverFeature')).toBe(0);
    driver.write('driverFeatureSelect', 1);
    expect(driver.read('driverFeature')).toBe(1);
  });
});

describe('queues', () => {
  test('a queue that is not there has no size (V5)', () => {
    const { driver } = blkRig();
    driver.write('queueSelect', 99);
    expect([driver.read('queueSize'), driver.read('numQueues')]).toEqual([0, 4]);
    driver.write('queueEnable', 1);
    expect(driver.read('queueEnable')).toBe(0);
  });
  test.for(['queueMsixVector', 'configMsixVector'] as const)(
    '%s takes vectors there are (V6)',
    (name) => {
      const { driver } = blkRig();
      driver.write(name, 4);
      expect(driver.read(name)).toBe(4);
      driver.write(name, 5);
      expect(driver.read(name)).toBe(0xffff);
    },
  );
  test('sizes are powers of two up to the largest, unless the ring is packed', () => {
    const { driver } = blkRig();
    driver.negotiate();
    for (const [size, then] of [
      [64, 64],
      [100, 64],
      [512, 64],
      [0, 64],
    ] as const) {
      driver.write('queueSize', size);
      expect(driver.read('queueSize')).toBe(then);
    }
    driver.negotiate(PACKED);
    driver.write('queueSize', 100);
    expect(driver.read('queueSize')).toBe(100);
  });
  test('an enabled queue keeps what it has, but for its vector', () => {
    const { driver } = blkRig();
    driver.start(1, 64);
    for (const name of ['queueSize', 'queueEnable', 'queueDesc', 'queueMsixVector'] as const) {
      driver.write(name, 2);
    }
    expect(driver.read('queueSize')).toBe(64);
    expect(driver.read('queueEnable')).toBe(1);
    expect(driver.read('queueDesc')).toBe(0);
    expect(driver.read('queueMsixVector')).toBe(2);
  });
});

describe('registers', () => {
  test('addresses are written by halves, and bytes', () => {
    const { driver, device } = blkRig();
    device.mmioWrite(VIRTIO_BAR, 36, 4, 0x12n);
    device.mmioWrite(VIRTIO_BAR, 32, 4, 0x3456_7000n);
    device.mmioWrite(VIRTIO_BAR, 33, 1, 0x88n);
    expect(driver.device.mmioRead(VIRTIO_BAR, 32, 8)).toBe(0x12_3456_8800n);
  });
  test('the configuration says what the disk is', () => {
    const { device } = blkRig({ block_size: 4096, queue_size: 64 });
    const at = (offset: number, width: number) =>
      device.mmioRead(VIRTIO_BAR, 0x2000 + offset, width);
    expect([at(0, 8), at(8, 4), at(12, 4), at(20, 4), at(34, 2)]).toEqual([
      2048n,
      0x8000n,
      62n,
      4096n,
      4n,
    ]);
  });
});

describe('interrupts without messages', () => {
  test('the pin is up until isr is read', () => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8) as [DriverQueue];
    all.port.flip('messages', false);
    request(all, queue, header(FLUSH));
    expect([all.port.pin, all.port.messages]).toEqual([true, []]);
    expect([all.driver.read('isr'), all.driver.read('isr'), all.port.pin]).toEqual([1, 0, false]);
  });
  test('a queue that stops is a change of the configuration', () => {
    const all = blkRig();
    const [queue] = all.driver.start(1, 8) as [DriverQueue];
    all.port.flip('messages', false);
    queue.view.setUint16(queue.driverArea + 2, 9, true);
    queue.notify();
    expect([all.driver.read('isr'), all.driver.read('deviceStatus')]).toEqual([2, 0x4f]);
  });
});
