/** A disk of the host takes its time: resets, snapshots and limits meanwhile (devices.md 5.6, 5.7). */
import { describe, expect, test } from 'vitest';
import { blockOf, type BlockBacking, type Completion } from '../host-services.ts';
import { FLUSH, IN, OUT, blkRig, header, pattern } from '../../testing/devices/virtio-blk-rig.ts';
import { INDIRECT, type DriverQueue } from '../../testing/devices/virtio-driver.ts';
import { VIRTIO_BAR } from './registers.ts';

/** A disk of the host that is done when the test says so. */
class SlowDisk implements BlockBacking {
  readonly #inner = blockOf(new Uint8Array(0x10_0000));
  readonly length = this.#inner.length;
  readonly isReadOnly = false;
  readonly asked: string[] = [];
  readonly pending: (() => void)[] = [];

  read(at: bigint, into: Uint8Array, done: Completion): void {
    this.#later('read', () => this.#inner.read(at, into, done));
  }
  write(at: bigint, from: Uint8Array, done: Completion): void {
    this.#later('write', () => this.#inner.write(at, from, done));
  }
  zero(at: bigint, length: bigint, done: Completion): void {
    this.#later('zero', () => this.#inner.zero(at, length, done));
  }
  flush(done: Completion): void {
    this.#later('flush', () => this.#inner.flush(done));
  }
  finish(): void {
    for (const run of this.pending.splice(0)) run();
  }
  #later(what: string, run: () => void): void {
    this.asked.push(what);
    this.pending.push(run);
  }
}

function slow(...bits: number[]) {
  const disk = new SlowDisk();
  const all = blkRig({}, disk);
  const [queue] = all.driver.start(2, 256, ...bits) as [DriverQueue];
  return { ...all, disk, queue };
}

describe('a disk of the host', () => {
  test('answers of one tick are one interrupt', () => {
    const { port, disk, queue } = slow();
    for (let n = 0; n < 3; n++) queue.add(header(IN, n), 512, 1);
    queue.notify();
    expect(queue.reap()).toEqual([]);
    disk.finish();
    port.clock.advance(0);
    expect(queue.reap()).toHaveLength(3);
    expect(port.messages).toEqual([1]);
  });
  test('a reset during the work forgets it (V16)', () => {
    const { driver, port, disk, queue } = slow();
    queue.add(header(IN), 512, 1);
    queue.notify();
    driver.write('deviceStatus', 0);
    expect(driver.read('deviceStatus')).toBe(0);
    port.touched.length = 0;
    disk.finish();
    port.clock.advance(1e9);
    expect([port.touched, port.messages]).toEqual([[], []]);
  });
  test('a reset of one queue forgets its work alone', () => {
    const { driver, port, disk, queue } = slow(40);
    const other = driver.queue(1, 8, []);
    for (const one of [queue, other]) {
      one.add(header(IN), 512, 1);
      one.notify();
    }
    driver.write('queueSelect', 0);
    driver.write('queueReset', 1);
    expect([
      driver.read('queueReset'),
      driver.read('queueEnable'),
      driver.read('queueSize'),
    ]).toEqual([0, 0, 256]);
    disk.finish();
    port.clock.advance(0);
    expect([queue.reap(), other.reap().length]).toEqual([[], 1]);
  });
  test('without the feature a queue is not reset', () => {
    const { driver } = slow();
    driver.write('queueSelect', 0);
    driver.write('queueReset', 1);
    expect(driver.read('queueEnable')).toBe(1);
  });
});

describe('work under way', () => {
  test('a write is durable when it is answered, unless the driver flushes', () => {
    const { driver, disk } = slow();
    const write = (...bits: number[]): string[] => {
      const [queue] = driver.start(1, 8, ...bits) as [DriverQueue];
      disk.asked.length = 0;
      queue.add(header(OUT), pattern(1), 1);
      queue.notify();
      disk.finish();
      driver.port.clock.advance(0);
      return [...disk.asked];
    };
    expect(write()).toEqual(['write', 'flush']);
    expect(write(9)).toEqual(['write']);
    expect(write(9, 11)).toEqual(['write']);
    driver.negotiate(9, 11);
    driver.device.mmioWrite(VIRTIO_BAR, 0x2020, 1, 0n);
    const queue = driver.queue(0, 8, []);
    driver.write('deviceStatus', 0xf);
    disk.asked.length = 0;
    queue.add(header(OUT), pattern(1), 1);
    queue.notify();
    disk.finish();
    driver.port.clock.advance(0);
    expect(disk.asked).toEqual(['write', 'flush']);
  });
  test('so many may be under way, and the others follow', () => {
    const { port, disk, queue, driver } = slow(INDIRECT);
    const second = driver.queue(1, 256, [INDIRECT]);
    for (let n = 0; n < 200; n++) {
      for (const one of [queue, second]) one.add(header(FLUSH), 1);
    }
    queue.notify();
    second.notify();
    let total = 0;
    for (let n = 0; n < 6; n++) {
      port.clock.advance(0);
      expect(disk.pending.length).toBeLessThan(300);
      disk.finish();
      port.clock.advance(0);
      total += queue.reap().length + second.reap().length;
    }
    expect(total).toBe(400);
  });
  test('work under way goes on after a restore', () => {
    const { device, disk, queue, port } = slow();
    queue.add(header(OUT, 4), pattern(9), 1);
    const at = queue.add(header(IN, 4), 512, 1);
    queue.notify();
    const state = structuredClone(device.state());
    const other = blkRig({}, disk);
    other.port.memory.set(port.memory);
    disk.pending.length = 0;
    other.device.restore(state);
    disk.finish();
    other.port.clock.advance(0);
    expect(other.port.memory.slice(at[1], at[1]! + 512)).toEqual(pattern(9));
    expect(other.port.messages).toEqual([1]);
  });
});
