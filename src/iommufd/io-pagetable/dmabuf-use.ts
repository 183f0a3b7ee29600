/** A dma-buf as the memory of mappings: attached while an area of it is in a table, and dead once it was revoked meanwhile. */
import type { Dmabuf } from './dmabuf.ts';

export class DmabufUse {
  readonly #dmabuf: Dmabuf;
  /** Areas, each with what unmaps it when the memory is taken away. */
  readonly #mapped = new Map<object, () => void>();
  #attachment: Disposable | undefined;
  /** For ever: it was revoked while mapped. */
  isRevoked = false;

  constructor(dmabuf: Dmabuf) {
    this.#dmabuf = dmabuf;
  }
  /** An area of this memory is in a table now. */
  join(area: object, unmap: () => void): void {
    this.#attachment ??= this.#dmabuf.attach({ revoke: () => this.#revoke() });
    this.#mapped.set(area, unmap);
  }
  leave(area: object): void {
    this.#mapped.delete(area);
    if (this.#mapped.size > 0) return;
    this.#attachment?.[Symbol.dispose]();
    this.#attachment = undefined;
  }
  /** The exporter takes the memory away: the areas stay, with nothing behind them. */
  #revoke(): void {
    for (const unmap of this.#mapped.values()) unmap();
    this.isRevoked = true;
  }
}
