/**
 * A virtio driver for tests of virtio models: it negotiates, makes rings of either layout in the memory of a FakePort, and
 * counts as the standard says a driver does (virtio 1.2, 2.7 and 2.8), by code of its own.
 */
import type { DeviceModel } from '../../devices/port.ts';
import { VIRTIO_BAR, VIRTIO_REGISTERS as REG } from '../../devices/virtio/registers.ts';
import type { FakePort } from './fake-port.ts';

/** Feature bits by number. */
export const EVENT_IDX = 29;
export const INDIRECT = 28;
export const PACKED = 34;
const VERSION_1 = 32;

/** One buffer of a chain: bytes for the device, or room for so many of its own. */
export type Buffer = Uint8Array | number;
/** What the device gave back. */
export interface Done {
  readonly token: number;
  readonly written: number;
}

/** Where one queue lives: a ring of its own and room for buffers. */
const QUEUE_ROOM = 0x2_0000;
const DRIVER_AREA = 0x1000;
const DEVICE_AREA = 0x2000;
const BUFFERS = 0x4000;

/** A driver of one device. */
export class VirtioDriver {
  readonly device: DeviceModel;
  readonly port: FakePort;

  constructor(device: DeviceModel, port: FakePort) {
    this.device = device;
    this.port = port;
  }
  read(name: keyof typeof REG): number {
    const { offset, width } = REG[name];
    return Number(this.device.mmioRead(VIRTIO_BAR, offset, width));
  }
  write(name: keyof typeof REG, value: number | bigint): void {
    const { offset, width } = REG[name];
    this.device.mmioWrite(VIRTIO_BAR, offset, width, BigInt(value));
  }
  offered(): bigint {
    const half = (select: number): bigint => {
      this.write('deviceFeatureSelect', select);
      return BigInt(this.read('deviceFeature'));
    };
    return half(0) | (half(1) << 32n);
  }
  /** Up to FEATURES_OK with these feature bits and VERSION_1. The status after it. */
  negotiate(...bits: readonly number[]): number {
    const set = [VERSION_1, ...bits].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
    this.write('deviceStatus', 0);
    this.write('deviceStatus', 3);
    for (const select of [0, 1]) {
      this.write('driverFeatureSelect', select);
      this.write('driverFeature', (set >> BigInt(32 * select)) & 0xffff_ffffn);
    }
    this.write('deviceStatus', 0xb);
    return this.read('deviceStatus');
  }
  /** All of it, with queues of this size and vector n + 1 for queue n. */
  start(queues: number, size: number, ...bits: readonly number[]): DriverQueue[] {
    this.negotiate(...bits);
    const made = Array.from({ length: queues }, (_, n) => this.queue(n, size, bits));
    this.write('deviceStatus', 0xf);
    return made;
  }
  queue(index: number, size: number, bits: readonly number[]): DriverQueue {
    const base = index * QUEUE_ROOM;
    this.port.memory.fill(0, base, base + QUEUE_ROOM);
    this.write('queueSelect', index);
    this.write('queueSize', size);
    this.write('queueMsixVector', index + 1);
    this.write('queueDesc', base);
    this.write('queueDriver', base + DRIVER_AREA);
    this.write('queueDevice', base + DEVICE_AREA);
    this.write('queueEnable', 1);
    const place = { driver: this, index, size, base, indirect: bits.includes(INDIRECT) };
    return bits.includes(PACKED) ? new PackedQueue(place) : new SplitQueue(place);
  }
}

interface QueuePlace {
  readonly driver: VirtioDriver;
  readonly index: number;
  readonly size: number;
  readonly base: number;
  /** Chains go into tables. */
  readonly indirect: boolean;
}
interface Entry {
  readonly addr: number;
  readonly len: number;
  readonly write: boolean;
}

/** One queue of a driver. Buffers are taken from its room one after the other, and never given back. */
export abstract class DriverQueue {
  readonly view: DataView;
  readonly place: QueuePlace;
  protected tokens = 0;
  #room: number;

  constructor(place: QueuePlace) {
    this.place = place;
    this.view = new DataView(place.driver.port.memory.buffer);
    this.#room = place.base + BUFFERS;
  }
  /** Where the driver and the device area are. */
  get driverArea(): number {
    return this.place.base + DRIVER_AREA;
  }
  get deviceArea(): number {
    return this.place.base + DEVICE_AREA;
  }
  /** Make a chain available. Where its buffers are. */
  add(...buffers: readonly Buffer[]): number[] {
    const entries = buffers.map((buffer): Entry => {
      const len = typeof buffer === 'number' ? buffer : buffer.length;
      const addr = this.alloc(len);
      if (typeof buffer !== 'number') this.place.driver.port.memory.set(buffer, addr);
      return { addr, len, write: typeof buffer === 'number' };
    });
    this.addEntries(entries);
    return entries.map(({ addr }) => addr);
  }
  addEntries(entries: readonly Entry[]): void {
    if (!this.place.indirect) {
      this.publish(entries, this.tokens++);
      return;
    }
    const table = this.alloc(16 * entries.length);
    for (const [n, entry] of entries.entries()) {
      const last = n === entries.length - 1;
      this.tableEntry(table + 16 * n, entry, last ? undefined : n + 1);
    }
    this.publishTable({ addr: table, len: 16 * entries.length, write: false }, this.tokens++);
  }
  notify(): void {
    const at = REG.notify.offset + 4 * this.place.index;
    this.place.driver.device.mmioWrite(VIRTIO_BAR, at, 2, BigInt(this.place.index));
  }
  alloc(length: number): number {
    const at = this.#room;
    this.#room += (length + 15) & ~15;
    return at;
  }
  protected descriptor(at: number, addr: number, len: number, last: [number, number]): void {
    this.view.setBigUint64(at, BigInt(addr), true);
    this.view.setUint32(at + 8, len, true);
    this.view.setUint16(at + 12, last[0], true);
    this.view.setUint16(at + 14, last[1], true);
  }
  /** What the device gave back since last time. */
  abstract reap(): Done[];
  /** Ask for an interrupt after `count` more chains; undefined: for none. */
  abstract wantInterrupt(count: number | undefined): void;
  protected abstract publish(entries: readonly Entry[], token: number): void;
  protected abstract publishTable(table: Entry, token: number): void;
  protected abstract tableEntry(at: number, entry: Entry, next: number | undefined): void;
}

const NEXT = 1;
const WRITE = 2;
const TABLE = 4;

class SplitQueue extends DriverQueue {
  #desc = 0;
  #avail = 0;
  #used = 0;
  readonly #tokens = new Map<number, number>();

  reap(): Done[] {
    const done: Done[] = [];
    for (; this.#used !== this.view.getUint16(this.deviceArea + 2, true); this.#used++) {
      const at = this.deviceArea + 4 + 8 * (this.#used % this.place.size);
      const token = this.#tokens.get(this.view.getUint32(at, true))!;
      done.push({ token, written: this.view.getUint32(at + 4, true) });
    }
    return done;
  }
  wantInterrupt(count: number | undefined): void {
    this.view.setUint16(this.driverArea, count === undefined ? 1 : 0, true);
    const event = this.#used + (count ?? 0) - 1;
    this.view.setUint16(this.driverArea + 4 + 2 * this.place.size, event & 0xffff, true);
  }
  protected publish(entries: readonly Entry[], token: number): void {
    const indexes = entries.map(() => this.#desc++ % this.place.size);
    for (const [n, { addr, len, write }] of entries.entries()) {
      const next = indexes[n + 1];
      const flags = (write ? WRITE : 0) | (next === undefined ? 0 : NEXT);
      this.descriptor(this.place.base + 16 * indexes[n]!, addr, len, [flags, next ?? 0]);
    }
    this.makeAvailable(indexes[0]!, token);
  }
  protected publishTable({ addr, len }: Entry, token: number): void {
    const index = this.#desc++ % this.place.size;
    this.descriptor(this.place.base + 16 * index, addr, len, [TABLE, 0]);
    this.makeAvailable(index, token);
  }
  protected tableEntry(at: number, { addr, len, write }: Entry, next: number | undefined): void {
    const flags = (write ? WRITE : 0) | (next === undefined ? 0 : NEXT);
    this.descriptor(at, addr, len, [flags, next ?? 0]);
  }
  makeAvailable(head: number, token: number): void {
    this.#tokens.set(head, token);
    this.view.setUint16(this.driverArea + 4 + 2 * (this.#avail % this.place.size), head, true);
    this.view.setUint16(this.driverArea + 2, ++this.#avail & 0xffff, true);
  }
}

const AVAIL = 0x80;
const USED = 0x8000;

class PackedQueue extends DriverQueue {
  /** Positions counted without end. */
  #avail = 0;
  #used = 0;
  readonly #slots = new Map<number, number>();

  reap(): Done[] {
    const done: Done[] = [];
    for (;;) {
      const at = this.#at(this.#used);
      const flags = this.view.getUint16(at + 14, true);
      const lap = this.#lap(this.#used);
      if (((flags & AVAIL) !== 0) !== lap || ((flags & USED) !== 0) !== lap) return done;
      const token = this.view.getUint16(at + 12, true);
      done.push({ token, written: this.view.getUint32(at + 8, true) });
      this.#used += this.#slots.get(token)!;
    }
  }
  wantInterrupt(count: number | undefined): void {
    const at = this.driverArea;
    this.view.setUint16(at + 2, count === undefined ? 1 : 2, true);
    if (count === undefined) return;
    // Every chain of these tests has the slots of the last one.
    const slots = this.#slots.get(this.tokens - 1) ?? 1;
    const event = this.#used + slots * (count - 1);
    const lap = this.#lap(event) ? 0x8000 : 0;
    this.view.setUint16(at, (event % this.place.size) | lap, true);
  }
  protected publish(entries: readonly Entry[], token: number): void {
    const first = this.#avail;
    for (let n = entries.length - 1; n >= 0; n--) {
      const { addr, len, write } = entries[n]!;
      const more = n < entries.length - 1 ? NEXT : 0;
      const flags = (write ? WRITE : 0) | more | this.#available(first + n);
      this.descriptor(this.#at(first + n), addr, len, [token, flags]);
    }
    this.#avail += entries.length;
    this.#slots.set(token, entries.length);
  }
  protected publishTable({ addr, len }: Entry, token: number): void {
    const flags = TABLE | this.#available(this.#avail);
    this.descriptor(this.#at(this.#avail), addr, len, [token, flags]);
    this.#avail++;
    this.#slots.set(token, 1);
  }
  protected tableEntry(at: number, { addr, len, write }: Entry): void {
    this.descriptor(at, addr, len, [0, write ? WRITE : 0]);
  }
  #at(position: number): number {
    return this.place.base + 16 * (position % this.place.size);
  }
  #lap(position: number): boolean {
    return Math.floor(position / this.place.size) % 2 === 0;
  }
  #available(position: number): number {
    return this.#lap(position) ? AVAIL : USED;
  }
}
