/**
 * A dma-buf as iommufd maps it: device memory in consecutive frames that its exporter can take away (iommufd.md 2.5).
 */
import { OpenFile, type FileOps } from '../../base/file.ts';

export interface DmabufUser {
  /** Unmap now; the memory is gone for good. */
  revoke(): void;
}

export class Dmabuf {
  readonly length: bigint;
  /** First frame; undefined for an exporter iommufd does not know. */
  readonly firstPfn: number | undefined;
  revoked = false;
  readonly #users = new Set<DmabufUser>();

  readonly #free: (() => void) | undefined;
  #fileOpen = true;

  /** `free` is called when the file is closed and nothing is mapped any more. */
  constructor(length: bigint, firstPfn: number | undefined, free?: () => void) {
    this.length = length;
    this.firstPfn = firstPfn;
    this.#free = free;
  }
  get pfn(): number {
    return this.firstPfn ?? -1;
  }
  attach(user: DmabufUser): Disposable {
    this.#users.add(user);
    return {
      [Symbol.dispose]: () => {
        this.#users.delete(user);
        this.#freeIfIdle();
      },
    };
  }
  setRevoked(revoked: boolean): void {
    this.revoked = revoked;
    if (!revoked) return;
    for (const user of this.#users) user.revoke();
  }
  closeFile(): void {
    this.#fileOpen = false;
    this.#freeIfIdle();
  }
  #freeIfIdle(): void {
    if (!this.#fileOpen && this.#users.size === 0) this.#free?.();
  }
}

const dmabufOps: FileOps = {
  release(file) {
    if (file.priv instanceof Dmabuf) file.priv.closeFile();
  },
};

/** The file of a dma-buf. */
export function dmabufFile(dmabuf: Dmabuf): OpenFile {
  return new OpenFile('/dmabuf:', dmabufOps, dmabuf);
}
