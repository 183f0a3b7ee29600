/** `type: mock` of a machine description: the kernel's mock driver with a unit that does DMA. */
import { isErrno } from '../../base/errno.ts';
import type { OptionsOf, OptionTable } from '../../base/options.ts';
import {
  IOMMU_RESV_DIRECT,
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_SW_MSI,
  type ResvRegion,
} from '../../core/contract/resv-region.ts';
import { MESSAGE_WINDOW, MESSAGE_WINDOW_SIZE } from '../../pci/messages.ts';
import { IOMMU_MMIO, IOMMU_NOEXEC, IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import type { FirmwareRegion, IommuType } from '../iommu-type.ts';
import { createMockDriver } from './driver.ts';
import { createMockUnit } from './unit.ts';

const OPTIONS = {
  pasidBits: { kind: 'integer', min: 0, max: 20, default: 20, help: 'width of a PASID' },
  dirtyTracking: { kind: 'boolean', default: true, help: 'domains can track dirty pages' },
  cacheCoherency: { kind: 'boolean', default: true, help: 'DMA is cache-coherent' },
  messages: {
    kind: 'choice',
    values: ['pass', 'translated'],
    default: 'pass',
    help: 'translated: interrupt messages go through the tables, as on Arm',
  },
} as const satisfies OptionTable;

export const mockType: IommuType = {
  type: 'mock',
  summary: "the kernel's mock IOMMU",
  prefix: 'mock',
  options: OPTIONS,
  createDriver({ core, grouping }) {
    const driver = createMockDriver(core, {
      identity: true,
      default: 'none',
      group: (dev) => grouping.deviceGroup(dev),
    });
    return {
      create({ name, fwnode, directRegions }, options: OptionsOf<typeof OPTIONS>) {
        const maxPasids = 2 ** options.pasidBits;
        const instance = driver.registerInstance({ name, fwnode, maxPasids });
        if (isErrno(instance)) return instance;
        const unit = createMockUnit(core.env, name, options.messages);
        const window = options.messages === 'translated' ? SW_MSI_WINDOW : MSI_WINDOW;
        return {
          instance,
          unit,
          summary: "the kernel's mock IOMMU: 2 KiB granules, 51-bit addresses",
          connect(dev, requesterId) {
            const fn = grouping.functionOf(dev);
            const direct = directRegions.filter((region) => fn && region.of(fn)).map(resvRegion);
            Object.assign(driver.knobsOf(dev), {
              resvRegions: [window, ...direct],
              noDirty: !options.dirtyTracking,
              cacheCoherency: options.cacheCoherency,
            });
            unit.requesters.connect(requesterId, dev);
          },
          disconnect: (requesterId) => {
            unit.requesters.disconnect(requesterId);
          },
        };
      },
    };
  },
};

/** Message-signalled interrupts are written here on this platform. */
const MSI_WINDOW: ResvRegion = {
  start: MESSAGE_WINDOW,
  length: MESSAGE_WINDOW_SIZE,
  prot: 0,
  type: IOMMU_RESV_MSI,
};

/** Left to the kernel for doorbells, where drivers of units that translate messages have it. */
const SW_MSI_WINDOW: ResvRegion = {
  start: 0x800_0000n,
  length: 0x10_0000n,
  prot: IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO,
  type: IOMMU_RESV_SW_MSI,
};

function resvRegion({ start, length, relaxable }: FirmwareRegion): ResvRegion {
  const type = relaxable ? IOMMU_RESV_DIRECT_RELAXABLE : IOMMU_RESV_DIRECT;
  return { start, length, prot: IOMMU_READ | IOMMU_WRITE, type };
}
