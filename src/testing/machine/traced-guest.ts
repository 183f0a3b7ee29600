/** A program that uses edu through a container, and everything that was heard of it. */
import type { Stamped } from '../../base/events.ts';
import * as v from '../../uapi/vfio.ts';
import { must } from '../base/must.ts';
import { Client, EDU, machineOf } from './client.ts';

/** Where its two pages are mapped. */
export const MAPPED = 0x10_0000n;
const CONFIG = BigInt(v.VFIO_PCI_CONFIG_REGION_INDEX) << 40n;

/** Heard from the first event on. */
export class TracedGuest extends Client {
  readonly heard: Stamped[] = [];
  readonly mappings: number;

  /** With a device, bus mastering on, and two pages mapped. */
  constructor() {
    super(machineOf());
    this.machine.env.trace.listen((stamped) => this.heard.push(stamped));
    const { c, d } = this.device(v.VFIO_TYPE1v2_IOMMU, EDU);
    this.mappings = c;
    must(this.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
    must(this.map(c, { vaddr: this.memory(0x2000), iova: MAPPED, size: 0x2000n }));
  }
  /** As a device model asks for it; whether it reached memory is in what is heard. */
  dma(iova: bigint, length = 4): void {
    void this.machine.pci.device(EDU)!.slot.dma.write(iova, new Uint8Array(length));
  }
}
