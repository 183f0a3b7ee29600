/** DMA aliases: the requester ids under which a function's requests arrive at the IOMMU (core.md 2.3; VT-d 3.12). */
import type { PciFunction } from './topology.ts';

/** A requester id (16 bits) a function's requests carry, and who put it there. */
export interface DmaAlias {
  readonly requesterId: number;
  /** The function that sends under it: the device itself or a bridge above. */
  readonly by: PciFunction;
}

/** All aliases in order, the one seen at the top last. @kernel pci_for_each_dma_alias */
export function dmaAliases(fn: PciFunction): DmaAlias[] {
  const real = fn.config.realDmaDevice ?? fn;
  const aliases: DmaAlias[] = [{ requesterId: real.requesterId, by: real }];
  for (const devfn of real.config.aliasDevfns ?? []) {
    aliases.push({ requesterId: (real.bus.number << 8) | devfn, by: real });
  }
  for (let bus = real.bus; bus.parent !== undefined; bus = bus.parent) {
    const bridge = bus.bridge;
    if (bridge === undefined) continue;
    if (bridge.config.translationRoot === true) break;
    const requesterId = aliasOfBridge(bridge, bus.number);
    if (requesterId !== undefined) aliases.push({ requesterId, by: bridge });
  }
  return aliases;
}

/** The requester id the IOMMU sees for requests of this function: the alias nearest to it. */
export function requesterIdAtRoot(fn: PciFunction): number {
  const real = fn.config.realDmaDevice ?? fn;
  const bridges = dmaAliases(fn).filter((alias) => alias.by !== real);
  return (bridges[bridges.length - 1] ?? { requesterId: real.requesterId }).requesterId;
}

function aliasOfBridge(bridge: PciFunction, subordinate: number): number | undefined {
  switch (bridge.type) {
    case 'pcie-to-pci-bridge':
      return bridge.config.noAlias === true ? undefined : subordinate << 8;
    case 'pci-to-pcie-bridge':
      return bridge.requesterId;
    case 'pci-bridge':
    case 'pci':
      return bridge.config.aliasLikePcieBridge === true ? subordinate << 8 : bridge.requesterId;
    default:
      return undefined;
  }
}

/** @kernel pci_devs_are_dma_aliases */
export function areDmaAliases(a: PciFunction, b: PciFunction): boolean {
  const holds = (of: PciFunction, other: PciFunction): boolean =>
    of.config.aliasDevfns?.includes(other.devfn) ?? false;
  return holds(a, b) || holds(b, a) || a.config.realDmaDevice === b || b.config.realDmaDevice === a;
}
