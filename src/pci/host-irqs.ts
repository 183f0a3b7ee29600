/**
 * The host's side of one function's interrupts: vectors handed out, messages received, the INTx line.
 *
 * Allocating writes the message address and data into the function as a kernel does; a message that comes back is
 * matched by what it says, so one that somebody scribbled over goes nowhere. Follows vfio.md 2.6.
 */
import { EBUSY, EINVAL, ENODEV, ENOSPC, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
  PCI_MSIX_FLAGS_ENABLE,
} from '../uapi/pci-regs.ts';
import type { PciDeviceFunction } from './function.ts';
import type { MsiMessage } from './msix.ts';

/** The MiB every message of this host ends in, and where in it the kernel sends those it sets up. */
export const DOORBELL = 0xfee0_0000n;
const DOORBELL_MIB = DOORBELL >> 20n;
const MSI_DATA = 0x40;
const MSIX_DATA = 0x1000;

/** What lies between a function and the doorbell: an IOMMU that translates messages too. */
export interface DoorbellRoute {
  /** The address to program for the doorbell, made reachable. @kernel iommu_dma_prepare_msi */
  prepare(doorbell: bigint): Result<bigint>;
  /** Where a write to an address ends; undefined: it is blocked on the way. */
  follow(address: bigint): bigint | undefined;
}

/** Does a translated message end at the doorbell? */
function followed(route: DoorbellRoute, { addressHi, addressLo }: MsiMessage): boolean {
  const end = route.follow((BigInt(addressHi) << 32n) | BigInt(addressLo));
  return end !== undefined && end >> 20n === DOORBELL_MIB;
}

export class HostIrqs {
  readonly #fn: PciDeviceFunction;
  readonly #handlers = new Map<number, () => void>();
  #intx: (() => void) | undefined;
  #kind: 'msi' | 'msix' | undefined;
  #allocated = 0;
  /** Undefined: messages are not translated. */
  route: DoorbellRoute | undefined;
  /** What the function was told to write to. */
  #address = DOORBELL;
  /** Vectors this host can spare for the function. */
  available = 2048;

  constructor(fn: PciDeviceFunction) {
    this.#fn = fn;
  }
  get kind(): 'msi' | 'msix' | undefined {
    return this.#kind;
  }

  /**
   * Enable the capability with up to `count` vectors, 1 at least. The result is how many there are.
   * ENODEV: no such capability; EBUSY: vectors are out already; ENOSPC: none to be had; those of the way to the
   * doorbell.
   * @kernel pci_alloc_irq_vectors
   */
  allocVectors(kind: 'msi' | 'msix', count: number): Result<number> {
    const fn = this.#fn;
    const cap = fn.config.capability(kind === 'msi' ? PCI_CAP_ID_MSI : PCI_CAP_ID_MSIX);
    if (cap === 0) return refuse(ENODEV, `the function has no ${kind} capability`);
    if (this.#kind) return refuse(EBUSY, 'vectors of the function are handed out already');
    const hardware = kind === 'msi' ? fn.msiCapacity : fn.msix!.vectors;
    const given = Math.min(count, hardware, this.available);
    if (given < 1) return refuse(ENOSPC, 'no interrupt vector is to be had', { count });
    const address = this.route ? this.route.prepare(DOORBELL) : DOORBELL;
    if (isErrno(address)) return address;
    this.#address = address;
    this.#kind = kind;
    this.#allocated = given;
    if (kind === 'msi') this.#programMsi(cap, given);
    else fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) | PCI_MSIX_FLAGS_ENABLE);
    return given;
  }
  /** One more MSI-X vector while the capability is on; nothing to do for one that is allocated. */
  allocAt(vector: number): Status {
    if (vector < this.#allocated) return undefined;
    if (this.#kind !== 'msix') return refuse(EINVAL, 'only MSI-X grows while it is enabled');
    if (vector >= this.available) return refuse(ENOSPC, 'no interrupt vector is to be had');
    this.#allocated = vector + 1;
    return undefined;
  }
  freeVectors(): void {
    const fn = this.#fn;
    const cap = fn.config.capability(this.#kind === 'msi' ? PCI_CAP_ID_MSI : PCI_CAP_ID_MSIX);
    if (this.#kind === 'msi') {
      fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) & ~PCI_MSI_FLAGS_ENABLE);
    } else if (this.#kind === 'msix') {
      for (let n = 0; n < this.#allocated; n++) this.free(n);
      fn.writeConfig(cap + 2, 2, fn.config.read(cap + 2, 2) & ~PCI_MSIX_FLAGS_ENABLE);
    }
    this.#handlers.clear();
    this.#kind = undefined;
    this.#allocated = 0;
  }
  /** @kernel request_irq */
  request(vector: number, handler: () => void): void {
    if (this.#kind === 'msix') {
      const data = MSIX_DATA + vector;
      this.#handlers.set(data, handler);
      this.#fn.msix!.program(vector, this.#message(data), false);
    } else {
      this.#handlers.set(MSI_DATA + vector, handler);
    }
  }
  /** @kernel free_irq */
  free(vector: number): void {
    if (this.#kind !== 'msix') {
      this.#handlers.delete(MSI_DATA + vector);
      return;
    }
    const data = MSIX_DATA + vector;
    this.#handlers.delete(data);
    this.#fn.msix!.program(vector, this.#message(data), true);
  }
  /** Take the INTx line; ENODEV when the function has no pin. */
  requestIntx(handler: () => void): Status {
    if (this.#fn.identity.interruptPin === 0) {
      return refuse(ENODEV, 'the function has no interrupt pin');
    }
    this.#intx = handler;
    return undefined;
  }
  freeIntx(): void {
    this.#intx = undefined;
  }

  /** A message arrived on the bus; false when it is nobody's. */
  deliver(message: MsiMessage): boolean {
    const reached = this.route
      ? followed(this.route, message)
      : message.addressHi === 0 && message.addressLo >>> 20 === Number(DOORBELL_MIB);
    return reached && this.arrive(message.data);
  }
  /** It reached the doorbell; false when it is nobody's. */
  arrive(data: number): boolean {
    const handler = this.#handlers.get(data);
    handler?.();
    return handler !== undefined;
  }
  /** The line went up, or was unmasked while up. */
  assertIntx(): boolean {
    this.#intx?.();
    return this.#intx !== undefined;
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
