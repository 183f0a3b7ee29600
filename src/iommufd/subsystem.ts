/**
 * What all iommufds of a machine share, and what iommufd needs of the world (iommufd.md chapter 1, 5.1).
 */
import type { Result, Status } from '../base/errno.ts';
import type { FileOps, SharedPages } from '../base/file.ts';
import type { KernelEnv } from '../base/kernel-env.ts';
import type { PhysicalMemory } from '../base/physical-memory.ts';
import type { UserAccounts } from '../base/task.ts';
import type { Device } from '../core/contract/device.ts';
import type { Domain } from '../core/contract/domain.ts';
import type { IommuCore } from '../core/contract/iommu-core.ts';
import { KernelAbi } from './kernel-abi.ts';
import { Accounting } from './io-pagetable/accounting.ts';
import type { PageWorld } from './io-pagetable/page-backing.ts';

/** A device of the selftest's own bus, with an IOMMU. */
export interface SelftestDevice {
  readonly dev: Device;
  /** Unregister it; nothing is bound to it any more. */
  remove(): void;
}

/** The simulated hardware behind IOMMU_TEST_CMD; machine/ implements it with the mock driver. */
export interface SelftestHardware {
  /** `flags` is checked: MOCK_FLAGS_DEVICE_NO_DIRTY, MOCK_FLAGS_DEVICE_PASID. */
  addDevice(flags: number): Result<SelftestDevice>;
  /** True for a domain whose dirty tracking is switched on. */
  isDirtyTracking(domain: Domain): boolean;
  /** As a device would: set the dirty bit of the leaf at a byte address; nothing happens where nothing is mapped. */
  markDirty(domain: Domain, iova: bigint): void;
  /** Word `id` (0…3) of the IOTLB of a nested domain of the mock driver; undefined for another domain. */
  nestedIotlb(domain: Domain, id: number): number | undefined;
  /** Word `id` (0…3) of the cache of a mock device. */
  deviceCache(dev: Device, id: number): number | undefined;
  /** Report an event to the vIOMMU the device is attached to. ENOENT: to none, or its virtual id is 0. */
  triggerVevent(dev: Device): Status;
}

/** What the constructor is given. */
export interface IommufdWorld {
  readonly core: IommuCore;
  readonly memory: PhysicalMemory;
  readonly accounts: UserAccounts;
  /** Those of main.ts: the commands stand above what they work on. */
  readonly fileOps: (abi: KernelAbi) => FileOps;
  /** Zeroed pages a program may mmap. */
  readonly newSharedPages: (lengthBytes: number) => Result<SharedPages>;
  /** Present when the kernel is built with the selftest. */
  readonly selftest?: SelftestHardware;
}

export const DEFAULT_MEMORY_LIMIT = 65536;

export class IommufdSubsystem implements PageWorld {
  readonly core: IommuCore;
  readonly env: KernelEnv;
  /** What this kernel knows of the ABI. */
  readonly abi: KernelAbi;
  /** Of /dev/iommu. */
  readonly fileOps: FileOps;
  readonly memory: PhysicalMemory;
  readonly accounting: Accounting;
  readonly newSharedPages: (lengthBytes: number) => Result<SharedPages>;
  readonly selftest: SelftestHardware | undefined;
  /** Bytes of temporary memory: sets the size of batches. IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT. */
  tempMemoryLimit = DEFAULT_MEMORY_LIMIT;
  /** Frame numbers on their way from a pin to a table. */
  readonly pinBuffer = new Float64Array(DEFAULT_MEMORY_LIMIT / 8);

  #contexts = 0;

  constructor(world: IommufdWorld) {
    this.core = world.core;
    this.env = world.core.env;
    this.abi = new KernelAbi(this.env);
    this.fileOps = world.fileOps(this.abi);
    this.memory = world.memory;
    this.accounting = new Accounting(world.accounts);
    this.newSharedPages = world.newSharedPages;
    this.selftest = world.selftest;
  }
  /** A number for a new context, for events. */
  newContextId(): string {
    return String(++this.#contexts);
  }
  /** Pages pinned at a time. */
  get chunkPages(): number {
    return Math.max(1, Math.floor(Math.min(this.tempMemoryLimit, DEFAULT_MEMORY_LIMIT) / 8));
  }
}
