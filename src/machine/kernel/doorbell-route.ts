/**
 * The way of interrupt messages through an IOMMU that translates them, as on Arm: the kernel maps the doorbell where
 * the user of the device left a window, and the hardware walks the tables for every message (core.md 3.7; iommufd.md 4.6).
 */
import { dmaPrepareMsi } from '../../core/dma/msi.ts';
import type { DoorbellRoute } from '../../pci/host-irqs.ts';
import type { PciDev } from './pci-dev.ts';

/** The route of a function whose unit translates messages. */
export function translatedRoute(pci: PciDev): DoorbellRoute {
  return {
    prepare: (doorbell) => dmaPrepareMsi(pci.dev, doorbell),
    follow(address) {
      const { unit, requesterId } = pci.port;
      if (!unit) return address;
      const lg2 = BigInt(unit.granuleLg2);
      const granule = unit.translate(requesterId, -1, Number(address >> lg2), true);
      return granule < 0 ? undefined : (BigInt(granule) << lg2) | (address & ((1n << lg2) - 1n));
    },
  };
}
