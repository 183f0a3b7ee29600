/** A simulated device and domains from TypeScript: attach, map, DMA without any ioctl. */
import { ENODEV, type Errno } from '../base/errno.ts';
import { listening, refuse, type Refusal } from '../base/refuse.ts';
import { domainFree, iommuMap, iommuUnmap, iovaToPhys, pagingDomainAlloc } from '../core/index.ts';
import {
  attachGroup,
  deviceClaimDmaOwner,
  deviceReleaseDmaOwner,
  detachGroup,
} from '../core/index.ts';
import type { Domain } from '../core/domain.ts';
import type { Explanation } from '../core/remapping-unit.ts';
import type { Machine as Kernel } from '../machine/machine.ts';
import type { PciDev } from '../machine/pci-dev.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../pt/page-table.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../uapi/pci-regs.ts';
import { unwrap } from './error.ts';

function call<T>(what: string, run: () => T | Errno): T {
  const refusals: Refusal[] = [];
  const result = listening((refusal) => refusals.push(refusal), run);
  return unwrap(result, what, refusals);
}

/** A run of the machine's RAM that DMA can reach. */
export class DmaMemory {
  readonly #kernel: Kernel;
  readonly pa: bigint;
  readonly bytes: Uint8Array;

  constructor(kernel: Kernel, length: number) {
    this.#kernel = kernel;
    const frames = Math.ceil(length / 4096);
    const first = call('alloc', () => kernel.ram.allocRun(frames));
    this.pa = BigInt(first) << 12n;
    this.bytes = kernel.ram.bytes.subarray(first * 4096, (first + frames) * 4096);
  }
  /** Give it back; nothing may be mapped to it any more. */
  free(): void {
    this.#kernel.ram.free(Number(this.pa >> 12n), this.bytes.length / 4096);
  }
}

/** A paging domain of one IOMMU. */
export class SimDomain {
  /** The domain as the kernel has it. */
  readonly kernel: Domain;
  constructor(domain: Domain) {
    this.kernel = domain;
  }
  /** Map physical memory at an IOVA. EINVAL: not aligned; EADDRINUSE: something is mapped there. */
  map(
    iova: bigint,
    memory: { readonly pa: bigint; readonly bytes: Uint8Array },
    access: { read?: boolean; write?: boolean } = {},
  ): void {
    const prot =
      ((access.read ?? true) ? IOMMU_READ : 0) | ((access.write ?? true) ? IOMMU_WRITE : 0);
    const size = BigInt(memory.bytes.length);
    call('map', () => iommuMap(this.kernel, iova, memory.pa, size, prot));
  }
  /** Bytes removed. */
  unmap(iova: bigint, length: bigint): bigint {
    return iommuUnmap(this.kernel, iova, length);
  }
  /** 0 where nothing is mapped. */
  iovaToPhys(iova: bigint): bigint {
    return iovaToPhys(this.kernel, iova);
  }
  /** Nobody may be attached any more. @kernel iommu_domain_free */
  free(): void {
    domainFree(this.kernel);
  }
}

/** A simulated PCI function with what its driver, its owner and the device itself can do. */
export class SimDevice {
  /** The function as the simulated kernel knows it. */
  readonly kernel: PciDev;
  readonly #machine: Kernel;

  constructor(machine: Kernel, address: string) {
    this.#machine = machine;
    this.kernel = call(
      `device ${address}`,
      () =>
        machine.hardware.device(address) ??
        refuse(ENODEV, 'there is no device at this address', { address }),
    );
  }
  /** The address, as sysfs names it. */
  get name(): string {
    return this.kernel.name;
  }
  get address(): string {
    return this.kernel.name;
  }
  /** Undefined without an IOMMU. */
  get groupId(): number | undefined {
    return this.kernel.dev.iommuGroup?.id;
  }
  /** Bus mastering: a device that may not start transfers has every DMA refused. */
  set busMaster(on: boolean) {
    const { fn } = this.kernel;
    const command = fn.command & ~PCI_COMMAND_MASTER;
    fn.writeConfig(PCI_COMMAND, 2, on ? command | PCI_COMMAND_MASTER : command);
  }

  /** A new domain that this device can be attached to. */
  allocDomain(): SimDomain {
    return new SimDomain(call('alloc domain', () => pagingDomainAlloc(this.kernel.dev)));
  }
  /** Memory of the machine that a domain can map. */
  allocMemory(length: number): DmaMemory {
    return new DmaMemory(this.#machine, length);
  }
  /** Own the group's DMA as a user would, so that a domain can be attached. EBUSY, EPERM: somebody else has it. */
  claim(owner: object): void {
    call('claim', () => deviceClaimDmaOwner(this.kernel.dev, owner));
  }
  /** Give the group back to the kernel: it goes to its default domain. @kernel iommu_device_release_dma_owner */
  release(): void {
    deviceReleaseDmaOwner(this.kernel.dev);
  }
  /** Put the device's group on a domain. */
  attach(domain: SimDomain): void {
    call('attach', () => attachGroup(domain.kernel, this.kernel.dev.iommuGroup!));
  }
  /** Back to the blocking domain of the owner. @kernel iommu_detach_group */
  detach(domain: SimDomain): void {
    detachGroup(domain.kernel, this.kernel.dev.iommuGroup!);
  }

  /** What the device would do itself: read memory through its IOMMU. EFAULT: blocked. */
  dmaRead(iova: bigint, length: number, pasid?: number): Uint8Array {
    const into = new Uint8Array(length);
    call('DMA read', () => this.kernel.port.read(iova, into, pasid));
    return into;
  }
  /** What the device would do itself: write memory through its IOMMU. EFAULT: blocked. */
  dmaWrite(iova: bigint, bytes: Uint8Array, pasid?: number): void {
    call('DMA write', () => this.kernel.port.write(iova, bytes, pasid));
  }

  /** How an IOVA of the device is translated now, level by level. */
  explain(iova: bigint, options: { pasid?: number; write?: boolean } = {}): Explanation {
    const { unit, requesterId } = this.kernel.port;
    if (!unit) return { tables: [], walk: [], pa: iova };
    return unit.explain(requesterId, options.pasid ?? -1, iova, options.write ?? false);
  }
}
