/** Which device sends requests under which id, as far as it is known. */
import type { Ref } from '../../base/refs.ts';
import type { Device } from '../../core/contract/device.ts';
import { requesterRef } from '../../core/contract/refs.ts';
import { bdf } from '../../pci/topology.ts';

/** The devices below one IOMMU. A requester id is bus << 8 | devfn. */
export class Requesters {
  readonly #devices = new Map<number, Device>();

  /** The device will send requests under this id. */
  connect(requesterId: number, dev: Device): void {
    this.#devices.set(requesterId, dev);
  }
  /** Nobody does any more. */
  disconnect(requesterId: number): void {
    this.#devices.delete(requesterId);
  }
  /** Undefined: nobody is known by that id. */
  deviceOf(requesterId: number): Device | undefined {
    return this.#devices.get(requesterId);
  }
  /** As events name it: the device, or its place on the bus where none is known. */
  refOf(requesterId: number): Ref {
    return requesterRef(this.#devices.get(requesterId), bdf(requesterId));
  }
}
