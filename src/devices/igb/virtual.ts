/**
 * What belongs to a virtual function of the 82576 (devices.md 1.9): queues n and n+8, three of the vectors, and the way to
 * memory of these queues. The rest is the physical function's.
 */
import type { DeviceDma, DevicePort } from '../port.ts';
import { QUEUES } from './registers.ts';

export const MOST_VFS = 8;
export const VF_VECTORS = 3;
/** Vectors of the physical function. */
export const PF_VECTORS = 10;
const LAST_BIT = 24;

/** The lowest EICR bit of a virtual function. */
export function firstVector(index: number): number {
  return LAST_BIT - VF_VECTORS * (index + 1) + 1;
}

export class VirtualPorts {
  readonly #physical: DevicePort;
  readonly #ports: (DevicePort | undefined)[] = [];

  constructor(physical: DevicePort) {
    this.#physical = physical;
  }
  add(index: number, port: DevicePort): void {
    this.#ports[index] = port;
  }
  /** How many are switched on. */
  get count(): number {
    return Math.min(MOST_VFS, this.#physical.config.virtualFunctions);
  }
  /** EICR bits of theirs. */
  get vectors(): number {
    let bits = 0;
    for (let n = 0; n < this.count; n++) bits |= 7 << firstVector(n);
    return bits;
  }
  /** Their queues, as bits. */
  get queues(): number {
    return ((1 << this.count) - 1) * 0x101;
  }
  /** What the transfers of all functions have cost. */
  get work(): number {
    let work = this.#physical.dma.work;
    for (const port of this.#ports) work += port?.dma.work ?? 0;
    return work;
  }
  /** Undefined: the function is not there yet. */
  dmaOf(queue: number): DeviceDma | undefined {
    const pool = queue % (QUEUES / 2);
    return pool < this.count ? this.#ports[pool]?.dma : this.#physical.dma;
  }
  /** Send the message of an EICR bit. */
  vector(bit: number): void {
    const index = Math.floor((LAST_BIT - bit) / VF_VECTORS);
    if (index < this.count) this.#ports[index]?.irq.message(bit - firstVector(index));
    else if (bit < PF_VECTORS) this.#physical.irq.message(bit);
  }
}
