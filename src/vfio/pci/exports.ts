/** The dma-bufs a vfio-pci device has exported: they follow whether its registers answer (vfio.md 2.10). */
import type { Dmabuf } from '../../iommufd/io-pagetable/dmabuf.ts';

/** What a device has exported. */
export class BarExports {
  readonly #exported = new Set<Dmabuf>();

  get isEmpty(): boolean {
    return this.#exported.size === 0;
  }
  add(dmabuf: Dmabuf): void {
    this.#exported.add(dmabuf);
  }
  forget(dmabuf: Dmabuf): void {
    this.#exported.delete(dmabuf);
  }
  /** Registers answer now, or do not. */
  follow(accessible: boolean): void {
    for (const dmabuf of this.#exported) {
      if (dmabuf.revoked === accessible) dmabuf.setRevoked(!accessible);
    }
  }
  /** The last close: what is out stays revoked. */
  close(): void {
    this.follow(false);
    this.#exported.clear();
  }
}
