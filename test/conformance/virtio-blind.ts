/**
 * A virtio driver that keeps nothing of its own: what it has to know of a split ring is in the memory it shares (virtio
 * 1.2, 2.7). So it can go on with a device that was saved and restored.
 */
import { VIRTIO_BAR, VIRTIO_REGISTERS as REG } from '../../src/devices/virtio/registers.ts';
import type { DeviceRig } from '../../src/testing/index.ts';
import { wordsOf } from './workload-parts.ts';

/** Descriptors of a ring. */
export const QUEUE_SIZE = 128;
/** A queue has its parts behind each other; `queueReach` is all of them. */
const AVAIL = 0x800;
const USED = 0xa00;
const QUEUE_ROOM = 0xf00;
const NEXT = 1;
const WRITE = 2;
const VERSION_1 = 1n << 32n;

export const queueReach = (base: number): readonly [number, number] => [base, base + QUEUE_ROOM];

function write({ device }: DeviceRig, name: keyof typeof REG, value: number | bigint): void {
  const { offset, width } = REG[name];
  device.mmioWrite(VIRTIO_BAR, offset, width, BigInt(value));
}
/** Negotiate VERSION_1 alone, and make the first queues: one at each of these places, vector n + 1 for queue n. */
export function startVirtio(rig: DeviceRig, bases: readonly number[]): void {
  for (const status of [0, 1, 3]) write(rig, 'deviceStatus', status);
  for (const half of [0n, 1n]) {
    write(rig, 'driverFeatureSelect', half);
    write(rig, 'driverFeature', (VERSION_1 >> (32n * half)) & 0xffff_ffffn);
  }
  write(rig, 'deviceStatus', 0xb);
  for (const [index, base] of bases.entries()) {
    write(rig, 'queueSelect', index);
    write(rig, 'queueSize', QUEUE_SIZE);
    write(rig, 'queueMsixVector', index + 1);
    write(rig, 'queueDesc', base);
    write(rig, 'queueDriver', base + AVAIL);
    write(rig, 'queueDevice', base + USED);
    write(rig, 'queueEnable', 1);
  }
  write(rig, 'deviceStatus', 0xf);
}

/** A buffer, and whether the device writes it. */
export interface Part {
  readonly at: number;
  readonly length: number;
  readonly forDevice?: boolean;
}
/** Descriptors from `first` on are this chain, which is made available. */
export function makeAvailable(
  rig: DeviceRig,
  base: number,
  first: number,
  parts: readonly Part[],
): void {
  const words = wordsOf(rig);
  for (const [n, { at, length, forDevice }] of parts.entries()) {
    const entry = base + 16 * (first + n);
    const isLast = n === parts.length - 1;
    words.setBigUint64(entry, BigInt(at), true);
    words.setUint32(entry + 8, length, true);
    words.setUint16(entry + 12, (forDevice ? WRITE : 0) | (isLast ? 0 : NEXT), true);
    words.setUint16(entry + 14, isLast ? 0 : first + n + 1, true);
  }
  const index = words.getUint16(base + AVAIL + 2, true);
  words.setUint16(base + AVAIL + 4 + 2 * (index % QUEUE_SIZE), first, true);
  words.setUint16(base + AVAIL + 2, index + 1, true);
}
export function notify({ device }: DeviceRig, queue: number): void {
  device.mmioWrite(VIRTIO_BAR, REG.notify.offset + 4 * queue, 2, BigInt(queue));
}
/** How many chains came back, and the last `count` of them: heads and bytes written. */
export function usedOf(
  rig: DeviceRig,
  base: number,
  count: number,
): readonly [number, (readonly [head: number, written: number])[]] {
  const words = wordsOf(rig);
  const index = words.getUint16(base + USED + 2, true);
  const last = Array.from({ length: count }, (_, n) => {
    const at = base + USED + 4 + 8 * ((index - count + n) % QUEUE_SIZE);
    return [words.getUint32(at, true), words.getUint32(at + 4, true)] as const;
  });
  return [index, last];
}
