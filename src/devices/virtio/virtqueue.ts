/**
 * One queue: what software said of it, and the ring while it is enabled (virtio 1.2, 2.6; devices.md 5.2).
 *
 * A queue whose driver broke a rule, or whose ring cannot be reached, stops until it is reset; the others go on.
 */
import type { DeviceDma } from '../port.ts';
import type { Chain, VirtRing, VirtRingPlace, VirtRingState, UsedChain } from './chain.ts';
import {
  featureBits,
  VIRTIO_F_RING_PACKED,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from './numbers.ts';
import { PackedRing } from './packed-ring.ts';
import { SplitRing } from './split-ring.ts';

/** What a queue asks of its device. */
export interface QueueOwner {
  readonly dma: DeviceDma;
  /** Feature bits that were accepted. */
  readonly features: bigint;
  /** Buffers of a queue were used, and the driver wants to know. */
  used(queue: Virtqueue): void;
  /** A queue has stopped. */
  failed(queue: Virtqueue): void;
}

/** A queue at one moment. */
export interface VirtqueueState {
  readonly size: number;
  readonly vector: number;
  readonly desc: bigint;
  readonly driver: bigint;
  readonly device: bigint;
  readonly enabled: boolean;
  readonly broken: boolean;
  readonly ring: VirtRingState | undefined;
}

/** One queue of a device. */
export class Virtqueue {
  readonly index: number;
  readonly largest: number;
  /** Descriptors, as software has it. */
  size: number;
  vector = VIRTIO_MSI_NO_VECTOR;
  desc = 0n;
  driver = 0n;
  device = 0n;
  readonly #owner: QueueOwner;
  #ring: VirtRing | undefined;
  #broken = false;

  constructor(owner: QueueOwner, index: number, largest: number) {
    this.#owner = owner;
    this.index = index;
    this.largest = largest;
    this.size = largest;
  }

  get enabled(): boolean {
    return this.#ring !== undefined;
  }
  /** Chains can be taken and used. */
  get works(): boolean {
    return this.#ring !== undefined && !this.#broken;
  }
  reset(): void {
    this.size = this.largest;
    this.vector = VIRTIO_MSI_NO_VECTOR;
    this.desc = this.driver = this.device = 0n;
    this.#ring = undefined;
    this.#broken = false;
  }
  /** With the size, addresses and features of now. */
  enable(): void {
    this.#ring ??= this.#makeRing();
  }

  /** The next chains, at most so many, and whether there are more. */
  take(limit: number): { readonly chains: readonly Chain[]; readonly more: boolean } {
    if (!this.#ring || this.#broken) return { chains: [], more: false };
    const { chains, broken, more } = this.#ring.take(limit);
    if (broken) this.#fail();
    return { chains, more: more && !broken };
  }
  /** Give chains back together; the driver hears of it if it wants to. */
  use(list: readonly UsedChain[]): void {
    if (!this.#ring || list.length === 0) return;
    const wanted = this.#ring.use(list);
    if (wanted === undefined) this.#fail();
    else if (wanted) this.#owner.used(this);
  }

  state(): VirtqueueState {
    const { size, vector, desc, driver, device, enabled } = this;
    const ring = this.#ring?.state();
    return { size, vector, desc, driver, device, enabled, broken: this.#broken, ring };
  }
  restore(state: VirtqueueState): void {
    this.reset();
    const { size, vector, desc, driver, device } = state;
    Object.assign(this, { size, vector, desc, driver, device });
    if (state.enabled) this.enable();
    if (state.ring) this.#ring?.restore(state.ring);
    this.#broken = state.broken;
  }

  #fail(): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#owner.failed(this);
  }
  #makeRing(): VirtRing {
    const { features, dma } = this.#owner;
    const has = (bit: number): boolean => (features & featureBits(bit)) !== 0n;
    const place: VirtRingPlace = {
      dma,
      size: this.size,
      desc: this.desc,
      driver: this.driver,
      device: this.device,
      eventIdx: has(VIRTIO_RING_F_EVENT_IDX),
      indirect: has(VIRTIO_RING_F_INDIRECT_DESC),
    };
    return has(VIRTIO_F_RING_PACKED) ? new PackedRing(place) : new SplitRing(place);
  }
}
