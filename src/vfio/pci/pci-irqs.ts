/** Interrupts of a PCI function as its kernel gives them to the driver that is bound to it (vfio.md 2.6). */
import type { Result, Status } from '../../base/errno.ts';

/** One function's vectors and line. Messages or the line, not both, and one kind of message at a time. */
export interface PciIrqs {
  /**
   * Enable the capability with up to `count` vectors, 1 at least. The result is how many there are.
   * ENODEV: no such capability; EBUSY: vectors are out already; ENOSPC: none to be had; those of the way to the
   * doorbell.
   * @kernel pci_alloc_irq_vectors
   */
  allocVectors(kind: 'msi' | 'msix', count: number): Result<number>;
  /**
   * One more MSI-X vector while the capability is on; nothing to do for one that is allocated.
   * EINVAL: it is not on; ENOSPC: none to be had.
   * @kernel pci_msix_alloc_irq_at
   */
  allocAt(vector: number): Status;
  /** Disable the capability; handlers that are left are forgotten. @kernel pci_free_irq_vectors */
  freeVectors(): void;
  /** @kernel request_irq */
  request(vector: number, handler: () => void): void;
  /** @kernel free_irq */
  free(vector: number): void;
  /** Listen to the INTx line. ENODEV: the function has no pin. */
  requestIntx(handler: () => void): Status;
  freeIntx(): void;
}
