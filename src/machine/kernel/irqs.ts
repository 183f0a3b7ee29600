/**
 * The kernel's side of one function's interrupts: vectors handed out, what the function is programmed with, and
 * what the controller runs when a message comes back (vfio.md 2.6).
 *
 * A message is matched by what it says, so one that somebody scribbled over goes nowhere.
 */
import {
  EBUSY,
  EINVAL,
  ENODEV,
  ENOSPC,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import { MESSAGE_WINDOW, type MsiMessage } from '../../pci/messages.ts';
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
  PCI_MSIX_FLAGS_ENABLE,
} from '../../uapi/pci-regs.ts';
import type { PciIrqs } from '../../vfio/pci/pci-irqs.ts';
import type { InterruptController } from '../hardware/interrupt-controller.ts';

const MSI_DATA = 0x40;
const MSIX_DATA = 0x1000;

/** Interrupts of a function the kernel knows. */
export class PciDevIrqs implements PciIrqs {
  readonly #fn: PciDeviceFunction;
  readonly #controller: InterruptController;
  readonly #prepare: (doorbell: bigint) => Result<bigint>;
  #kind: 'msi' | 'msix' | undefined;
  /** Numbers of the vectors handed out, by vector. */
  #numbers: number[] = [];
  /** What the function was told to write to. */
  #address = MESSAGE_WINDOW;
  /** Vectors this kernel can spare for the function. */
  available = 2048;

  constructor(parts: {
    fn: PciDeviceFunction;
    controller: InterruptController;
    /** The address to program for the doorbell, made reachable for the function. @kernel iommu_dma_prepare_msi */
    prepare: (doorbell: bigint) => Result<bigint>;
  }) {
    this.#fn = parts.fn;
    this.#controller = parts.controller;
    this.#prepare = parts.prepare;
  }

  /** The vectors handed out, as the kernel numbers them, by vector. Undefined: none are. @kernel pci_irq_vector */
  get vectors():
    { readonly kind: 'msi' | 'msix'; readonly numbers: readonly number[] } | undefined {
    return this.#kind && { kind: this.#kind, numbers: this.#numbers };
  }
  get #allocated(): number {
    return this.#numbers.length;
  }

  /** As PciIrqs says. @kernel pci_alloc_irq_vectors */
  allocVectors(kind: 'msi' | 'msix', count: number): Result<number> {
    const fn = this.#fn;
    const cap = fn.config.capability(kind === 'msi' ? PCI_CAP_ID_MSI : PCI_CAP_ID_MSIX);
    if (cap === 0) return refuse(ENODEV, `the function has no ${kind} capability`);
    if (this.#kind) return refuse(EBUSY, 'vectors of the function are handed out already');
    const hardware = kind === 'msi' ? fn.msiCapacity : fn.msix!.vectors;
    const given = Math.min(count, hardware, this.available);
    if (given < 1) return refuse(ENOSPC, 'no interrupt vector is to be had', { count });
    const address = this.#prepare(MESSAGE_WINDOW);
    if (isErrno(address)) return address;
    this.#address = address;
    this.#kind = kind;
    this.#numbers = this.#controller.takeNumbers(given);
    if (kind === 'msi') this.#programMsi(cap, given);
    else fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) | PCI_MSIX_FLAGS_ENABLE);
    return given;
  }
  /** @kernel pci_msix_alloc_irq_at */
  allocAt(vector: number): Status {
    if (vector < this.#allocated) return undefined;
    if (this.#kind !== 'msix') return refuse(EINVAL, 'only MSI-X grows while it is enabled');
    if (vector >= this.available) return refuse(ENOSPC, 'no interrupt vector is to be had');
    this.#numbers.push(...this.#controller.takeNumbers(vector + 1 - this.#allocated));
    return undefined;
  }
  /** @kernel pci_free_irq_vectors */
  freeVectors(): void {
    const fn = this.#fn;
    const cap = fn.config.capability(this.#kind === 'msi' ? PCI_CAP_ID_MSI : PCI_CAP_ID_MSIX);
    if (this.#kind === 'msi') {
      fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) & ~PCI_MSI_FLAGS_ENABLE);
    } else if (this.#kind === 'msix') {
      for (let n = 0; n < this.#allocated; n++) this.free(n);
      fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) & ~PCI_MSIX_FLAGS_ENABLE);
    }
    this.#controller.disconnect(fn);
    this.#kind = undefined;
    this.#controller.giveNumbers(this.#numbers.splice(0));
  }
  /** @kernel request_irq */
  request(vector: number, handler: () => void): void {
    const data = this.#dataOf(vector);
    this.#controller.connect(this.#fn, data, handler);
    if (this.#kind === 'msix') this.#fn.msix!.program(vector, this.#message(data), false);
  }
  /** @kernel free_irq */
  free(vector: number): void {
    const data = this.#dataOf(vector);
    this.#controller.disconnect(this.#fn, data);
    if (this.#kind === 'msix') this.#fn.msix!.program(vector, this.#message(data), true);
  }
  /** As PciIrqs says. */
  requestIntx(handler: () => void): Status {
    if (this.#fn.identity.interruptPin === 0) {
      return refuse(ENODEV, 'the function has no interrupt pin');
    }
    this.#controller.connectLine(this.#fn, handler);
    return undefined;
  }
  freeIntx(): void {
    this.#controller.disconnectLine(this.#fn);
  }

  #dataOf(vector: number): number {
    return (this.#kind === 'msix' ? MSIX_DATA : MSI_DATA) + vector;
  }
  #message(data: number): MsiMessage {
    const address = this.#address;
    return {
      addressLo: Number(address & 0xffff_ffffn),
      addressHi: Number(address >> 32n),
      data,
    };
  }
  #programMsi(cap: number, count: number): void {
    const fn = this.#fn;
    const flags = fn.config.read(cap + 2, 2);
    const wide = (flags & PCI_MSI_FLAGS_64BIT) !== 0;
    const { addressLo, addressHi } = this.#message(MSI_DATA);
    fn.writeConfig(cap + 4, 4, addressLo);
    if (wide) fn.writeConfig(cap + 8, 4, addressHi);
    fn.writeConfig(cap + (wide ? 12 : 8), 2, MSI_DATA);
    const mme = Math.min(Math.ceil(Math.log2(count)), (flags & PCI_MSI_FLAGS_QMASK) >> 1) << 4;
    fn.writeConfig(cap + 2, 2, (flags & ~PCI_MSI_FLAGS_QSIZE) | mme | PCI_MSI_FLAGS_ENABLE);
  }
}
