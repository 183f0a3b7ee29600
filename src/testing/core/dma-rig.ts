/** For the tests of the DMA API: one device on a DMA default domain, and an IOTLB that forgets only when told to. */
import { KernelEnv } from '../../base/kernel-env.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import type { PhysicalMemory } from '../../base/physical-memory.ts';
import type { Device, DeviceConfig } from '../../core/contract/device.ts';
import type { Domain } from '../../core/contract/domain.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { iovaToPhys } from '../../core/map/map.ts';
import {
  createMockDriver,
  type MockDeviceKnobs,
  type MockDriver,
} from '../../drivers/mock/index.ts';
import { Ram } from '../../pt/ram.ts';
import { FaultSwitch } from '../base/fault-switch.ts';
import { must } from '../base/must.ts';

type DomainKnobs = MockDriver['domainKnobs'];

export interface DmaOptions {
  /** Default: strict. */
  readonly traits?: readonly KernelTrait[];
  readonly config?: Partial<DeviceConfig>;
  readonly knobs?: Partial<MockDeviceKnobs>;
  readonly domainKnobs?: Partial<DomainKnobs>;
  /** False: the core has no memory to copy bounce buffers with. */
  readonly bounces?: boolean;
}

export interface DmaRig {
  readonly core: IommuCore;
  /** What makes allocations of frames fail. */
  readonly failing: FaultSwitch;
  readonly mock: MockDriver;
  readonly dev: Device;
  readonly domain: Domain;
  readonly add: (name: string, config?: Partial<DeviceConfig>) => Device;
}

export const GIB = 0x4000_0000n;

/** Pages of 4 KiB, 2 MiB, 1 GiB, an aperture of 1 MiB to 64 GiB, a device that reaches all of it. */
export function newDma(options: DmaOptions = {}): DmaRig {
  const failing = new FaultSwitch();
  const ram = new Ram(1 << 22, failing);
  const memory = options.bounces === false ? undefined : ramAsMemory(ram);
  const core = new IommuCore(new KernelEnv(options.traits ?? ['strict-default']), ram, memory);
  const mock = createMockDriver(core, { default: 'none', group: 'instance' });
  Object.assign(mock.domainKnobs, {
    backing: 'map-pages',
    aperture: { start: 0x10_0000n, end: 64n * GIB - 1n },
    ...options.domainKnobs,
  });
  must(mock.registerInstance({}));
  const add = (name: string, config: Partial<DeviceConfig> = {}): Device =>
    mock.addDevice({
      config: { name, bus: 'pci', dmaMask: (1n << 40n) - 1n, ...config },
      ...(options.knobs && { knobs: options.knobs }),
    });
  const dev = add('A', options.config);
  return { core, failing, mock, dev, domain: dev.iommuGroup!.defaultDomain!, add };
}

/** Physical memory that is the RAM of the tables. */
export function ramAsMemory(ram: Ram): PhysicalMemory {
  const at = (pfn: number, offset: number): number => pfn * 4096 + offset;
  return {
    read(pfn, offset, into) {
      into.set(ram.bytes.subarray(at(pfn, offset), at(pfn, offset) + into.length));
      return undefined;
    },
    write(pfn, offset, from) {
      ram.bytes.set(from, at(pfn, offset));
      return undefined;
    },
    addPin: () => undefined,
    unpin: () => undefined,
    pins: () => 0,
    isCompound: () => false,
  };
}

/** A cache of translations in front of a domain: filled by use, emptied by the callbacks of the core only. */
export class TestTlb {
  readonly #domain: Domain;
  readonly #cache = new Map<bigint, bigint>();
  flushes = 0;
  syncs = 0;

  constructor(domain: Domain) {
    this.#domain = domain;
    domain.ops.flushIotlbAll = () => {
      this.flushes++;
      this.#cache.clear();
    };
    domain.ops.iotlbSync = (_domain, { start, end }) => {
      this.syncs++;
      for (const page of this.#cache.keys()) {
        if (page >= start && page <= end) this.#cache.delete(page);
      }
    };
  }
  /** Where the device's access goes; 0 for nowhere. */
  translate(iova: bigint): bigint {
    const page = iova >> 12n;
    const cached = this.#cache.get(page) ?? iovaToPhys(this.#domain, page << 12n);
    if (cached === 0n) return 0n;
    this.#cache.set(page, cached);
    return cached | (iova & 0xfffn);
  }
}
