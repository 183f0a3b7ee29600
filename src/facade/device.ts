/** A simulated device and domains from TypeScript: attach, map, DMA without any ioctl. */
import { ENODEV, type ErrnoName } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import {
  attachDevicePasid,
  attachGroup,
  detachDevicePasid,
  detachGroup,
  deviceClaimDmaOwner,
  deviceReleaseDmaOwner,
  domainFree,
  iommuMap,
  iommuUnmap,
  iovaToPhys,
  pagingDomainAlloc,
  testAttach,
  type TestStage,
} from '../core/index.ts';
import type { Domain } from '../core/contract/domain.ts';
import type { Explanation } from '../core/contract/remapping-unit.ts';
import { fieldsGiven } from '../machine/description/defined-fields.ts';
import type { Machine as Kernel } from '../machine/machine.ts';
import type { PciDev } from '../machine/kernel/pci-dev.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../pt/page-table.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER } from '../uapi/pci-regs.ts';
import { call } from './error.ts';
import type { Holdings } from './holdings.ts';

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

/** How to ask testAttach(). */
export interface TestAttachOptions {
  readonly pasid?: number;
  readonly mode?: 'attach' | 'replace';
  /** Only compatibility: leave out what may have changed by the time of the attach. */
  readonly whatIf?: boolean;
}

/** The answer of testAttach() for one device. */
export interface AttachAnswer {
  /** Its address. */
  readonly device: string | undefined;
  /** The errno the attach would fail with; undefined: it would succeed. */
  readonly code: ErrnoName | undefined;
  /** Which check refuses. */
  readonly stage: TestStage;
  /** The rule that would be broken, in words. */
  readonly reason: string;
}

/** A paging domain of one IOMMU. */
export class SimDomain {
  /** The domain as the kernel has it. */
  readonly kernel: Domain;
  readonly #holdings: Holdings;
  constructor(domain: Domain, holdings: Holdings) {
    this.kernel = domain;
    this.#holdings = holdings;
  }
  /** Map physical memory at an IOVA. EINVAL: not aligned; EADDRINUSE: something is mapped there. @kernel iommu_map */
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
  /** Bytes removed. @kernel iommu_unmap */
  unmap(iova: bigint, length: bigint): bigint {
    return iommuUnmap(this.kernel, iova, length);
  }
  /** 0 where nothing is mapped. @kernel iommu_iova_to_phys */
  iovaToPhys(iova: bigint): bigint {
    return iovaToPhys(this.kernel, iova);
  }
  /** Nobody may be attached any more. @kernel iommu_domain_free */
  free(): void {
    domainFree(this.kernel);
    this.#holdings.delete(this);
  }
}

/** A simulated PCI function with what its driver, its owner and the device itself can do. */
export class SimDevice {
  /** The function as the simulated kernel knows it. */
  readonly kernel: PciDev;
  readonly #machine: Kernel;
  readonly #holdings: Holdings;

  constructor(machine: Kernel, address: string, holdings: Holdings) {
    this.#machine = machine;
    this.#holdings = holdings;
    this.kernel = call(
      `device ${address}`,
      () =>
        machine.pci.device(address) ??
        refuse(ENODEV, 'there is no device at this address', { address }),
    );
  }
  /** As sysfs names it: '0000:00:04.0'. */
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

  /** A new domain that this device can be attached to. ENODEV: no IOMMU. @kernel iommu_paging_domain_alloc */
  allocDomain(): SimDomain {
    const made = call('alloc domain', () => pagingDomainAlloc(this.kernel.dev));
    const domain = new SimDomain(made, this.#holdings);
    this.#holdings.add(domain, `a domain of ${this.address} (free() it)`);
    return domain;
  }
  /** Memory of the machine that a domain can map. */
  allocMemory(length: number): DmaMemory {
    return new DmaMemory(this.#machine, length);
  }
  /**
   * Own the group's DMA as a user would: it is blocked until a domain is attached. EBUSY, EPERM: somebody else has it.
   * @kernel iommu_device_claim_dma_owner
   */
  claim(owner: object = this): void {
    call('claim', () => deviceClaimDmaOwner(this.kernel.dev, owner));
    this.#holdings.add(this.kernel.dev.iommuGroup, `the claim of ${this.address} (release() it)`);
  }
  /** Give the group back to the kernel: it goes to its default domain. @kernel iommu_device_release_dma_owner */
  release(): void {
    deviceReleaseDmaOwner(this.kernel.dev);
    this.#holdings.delete(this.kernel.dev.iommuGroup);
  }
  /**
   * Put the device's group on a domain, or one PASID of it.
   * EINVAL: this domain does not fit this device, another may; EBUSY: attached already.
   * @kernel iommu_attach_group
   */
  attach(domain: SimDomain, options: { pasid?: number } = {}): void {
    const { dev } = this.kernel;
    const { pasid } = options;
    call('attach', () => {
      if (pasid !== undefined) return attachDevicePasid(domain.kernel, dev, pasid);
      return dev.iommuGroup
        ? attachGroup(domain.kernel, dev.iommuGroup)
        : refuse(ENODEV, 'the device is in no group', { address: this.address });
    });
  }
  /** Back to the blocking domain of the owner, or nothing on the PASID. @kernel iommu_detach_group */
  detach(domain: SimDomain, options: { pasid?: number } = {}): void {
    const { dev } = this.kernel;
    if (options.pasid !== undefined) detachDevicePasid(domain.kernel, dev, options.pasid);
    else if (dev.iommuGroup) detachGroup(domain.kernel, dev.iommuGroup);
  }
  /**
   * Would attach() succeed? One answer per member of the group; nothing is attached, nothing changes.
   * @kernel test_dev
   */
  testAttach(domain: SimDomain, options: TestAttachOptions = {}): readonly AttachAnswer[] {
    const { pasid, mode, whatIf } = options;
    const { iommuGroup } = this.kernel.dev;
    const group = iommuGroup && !pasid ? { group: iommuGroup } : undefined;
    const input = { domain: domain.kernel, target: group ?? this.kernel.dev };
    const given = fieldsGiven({ pasid, mode });
    const report = testAttach([{ ...input, ...given }], fieldsGiven({ whatIf }));
    return report.results.map(({ device, errno, stage, reason }) => ({
      device: device?.name,
      code: errno?.name,
      stage,
      reason,
    }));
  }

  /** What the device would do itself: read memory through its IOMMU. EFAULT: blocked. */
  dmaRead(iova: bigint, length: number, pasid?: number): Uint8Array {
    const into = new Uint8Array(length);
    call('DMA read', () => this.kernel.slot.dma.read(iova, into, pasid));
    return into;
  }
  /** What the device would do itself: write memory through its IOMMU. EFAULT: blocked. */
  dmaWrite(iova: bigint, bytes: Uint8Array, pasid?: number): void {
    call('DMA write', () => this.kernel.slot.dma.write(iova, bytes, pasid));
  }

  /** How an IOVA of the device is translated now, level by level. */
  explain(iova: bigint, options: { pasid?: number; write?: boolean } = {}): Explanation {
    const { unit, requesterId } = this.kernel.slot.dma;
    if (!unit) return { tables: [], walk: [], pa: iova };
    return unit.explain(requesterId, options.pasid ?? -1, iova, options.write ?? false);
  }
}
