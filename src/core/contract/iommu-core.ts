/**
 * The state the IOMMU layer keeps outside of any device: registered instances, groups, devices by bus.
 * One per machine; every Device, IommuGroup and Domain knows its core.
 */
import { EPROBE_DEFER, type Errno } from '../../base/errno.ts';
import { IdTable } from '../../base/id-table.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { Lock } from '../../base/lock.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import type { Ram } from '../../pt/ram.ts';
import { SCANNED_BUSES, type BusName, type Device } from './device.ts';
import type { Domain } from './domain.ts';
import type { IommuDevice } from './driver.ts';
import type { IommuGroup } from './group.ts';

/** The state the IOMMU layer keeps outside of any device. */
export class IommuCore {
  readonly env: KernelEnv;
  readonly ram: Ram;
  /** What the DMA API copies bounce buffers with. */
  readonly memory: PhysicalMemory | undefined;
  /** In order of registration. */
  readonly instances: IommuDevice[] = [];
  /** Lowest free id first, from 0 as in /sys/kernel/iommu_groups. */
  readonly groups = new IdTable<IommuGroup>(0);
  /** References to groups taken and not yet put, of all groups together. */
  groupRefs = 0;
  /** Allocated and not yet freed. Static domains are not among them. */
  readonly domains = new Set<Domain>();
  /** Devices by bus, in order of discovery. */
  readonly buses = new Map<BusName, Device[]>();
  /** Buses whose devices are probed as they come: the scanned ones, and those an instance was registered on. */
  readonly notifiedBuses = new Set<BusName>(SCANNED_BUSES);
  /** PASIDs of the machine in use. */
  readonly globalPasids = new IdTable<object>(1, 0xffff_fffe);
  /** What the driver core says about a missing supplier: EPROBE_DEFER, or ENODEV once waiting is pointless. */
  deferredProbeVerdict: Errno = EPROBE_DEFER;
  readonly probeLock = new Lock('iommu_probe_device_lock');
  #domainSeq = 0;

  /** Without `memory` nothing can be bounced: DMA that asks for it is refused. */
  constructor(env: KernelEnv, ram: Ram, memory?: PhysicalMemory) {
    this.env = env;
    this.ram = ram;
    this.memory = memory;
  }
  /** A name for a new domain, for traces: 'paging#3'. */
  nameDomain(kind: string): string {
    return `${kind}#${++this.#domainSeq}`;
  }
}
