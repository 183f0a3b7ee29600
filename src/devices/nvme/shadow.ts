/**
 * Doorbells in memory (devices.md 4.4, Doorbell Buffer Config): the host writes tails and heads there, and rings a register
 * only when it crosses the index that the controller has written beside them.
 */
import type { DeviceDma } from '../port.ts';

/** Where the two pages are. */
export interface ShadowPlaces {
  readonly doorbells: bigint;
  readonly events: bigint;
}

/** The doorbells of the I/O queues of one controller; those of the admin queue are registers for every host. */
export class ShadowDoorbells {
  readonly places: ShadowPlaces;
  readonly #dma: DeviceDma;

  constructor(dma: DeviceDma, places: ShadowPlaces) {
    this.#dma = dma;
    this.places = places;
  }
  /** How far the host has filled a submission queue; undefined: it cannot be read, or is no entry of that many. */
  tail(queue: number, entries: number): number | undefined {
    return this.#read(8 * queue, entries);
  }
  /** How far it has looked at a completion queue. */
  head(queue: number, entries: number): number | undefined {
    return this.#read(8 * queue + 4, entries);
  }
  /** Ring when the tail, or the head, goes beyond this. False: it cannot be said. */
  tailEvent(queue: number, index: number): boolean {
    return this.#write(this.places.events, 8 * queue, index);
  }
  headEvent(queue: number, index: number): boolean {
    return this.#write(this.places.events, 8 * queue + 4, index);
  }
  /** A queue that was there before: its doorbells as they are. */
  begin(queue: number, { tail, head }: { readonly tail?: number; readonly head?: number }): void {
    if (tail !== undefined) this.#write(this.places.doorbells, 8 * queue, tail);
    if (head !== undefined) this.#write(this.places.doorbells, 8 * queue + 4, head);
  }

  #read(at: number, entries: number): number | undefined {
    const word = new DataView(new ArrayBuffer(4));
    if (this.#dma.read(this.places.doorbells + BigInt(at), new Uint8Array(word.buffer))) {
      return undefined;
    }
    const value = word.getUint32(0, true);
    return value < entries ? value : undefined;
  }
  #write(page: bigint, at: number, value: number): boolean {
    const word = new DataView(new ArrayBuffer(4));
    word.setUint32(0, value, true);
    return !this.#dma.write(page + BigInt(at), new Uint8Array(word.buffer));
  }
}
