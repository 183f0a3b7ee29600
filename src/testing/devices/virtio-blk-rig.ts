/** A virtio disk with a driver, for tests (devices.md 5.6). */
import { expect } from 'vitest';
import type { BlockBacking } from '../../devices/host-services.ts';
import type { DeviceOptions } from '../../devices/port.ts';
import { virtioBlk } from '../../devices/virtio/virtio-blk.ts';
import { plugInto } from './fake-port.ts';
import { VirtioDriver, type DriverQueue } from './virtio-driver.ts';

/** Types of requests. */
export const IN = 0;
export const OUT = 1;
export const FLUSH = 4;
export const GET_ID = 8;
export const DISCARD = 11;
export const WRITE_ZEROES = 13;
/** Sectors of the disk, and bytes of memory. */
export const CAPACITY = 2048;
export const MEMORY = 0x10_0000;

/** The header of a request. */
export function header(type: number, sector = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(0, type, true);
  new DataView(bytes.buffer).setBigUint64(8, BigInt(sector), true);
  return bytes;
}
/** A range of a discard or write zeroes. */
export function range(sector: number, count: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, count, true);
  view.setUint32(12, flags, true);
  return bytes;
}
/** Bytes that tell seeds apart. */
export const pattern = (seed: number, length = 512): Uint8Array =>
  Uint8Array.from({ length }, (_, n) => (n * 7 + seed) & 0xff);

/** A disk of a MiB, and a driver. */
export function blkRig(options: DeviceOptions = {}, backing?: BlockBacking) {
  const host = backing && { blocks: new Map([['disk0', backing]]) };
  const given = { size_mib: 1, packed: true, ...(backing && { drive: 'disk0' }), ...options };
  const { device, port } = plugInto(virtioBlk, given, { memory: MEMORY, ...(host && { host }) });
  return { device, port, driver: new VirtioDriver(device, port) };
}
export type BlkRig = ReturnType<typeof blkRig>;

/** One request to its end: status, bytes written, and what was read. */
export function request(
  { port }: BlkRig,
  queue: DriverQueue,
  head: Uint8Array,
  ...buffers: (Uint8Array | number)[]
): { status: number; written: number; data: Uint8Array } {
  const at = queue.add(head, ...buffers, 1);
  queue.notify();
  port.clock.advance(0);
  const done = queue.reap();
  expect(done).toHaveLength(1);
  const length = buffers.reduce<number>((sum, one) => sum + (typeof one === 'number' ? one : 0), 0);
  const data = port.memory.slice(at[1], at[1]! + length);
  return { status: port.memory[at.at(-1)!]!, written: done[0]!.written, data };
}
