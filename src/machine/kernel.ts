/**
 * Which kernel the machine runs: the only place that knows versions. A version is a set of traits, and a
 * description adds or removes single ones.
 */
import { KERNEL_TRAITS, type KernelTrait } from '../base/kernel-traits.ts';

/**
 * What a released kernel did by itself. Seeds that never landed ('test-dev', 'aux-domains' after 5.15) are not in
 * any version; a machine without a word about its kernel gets them on top (DEFAULT_KERNEL).
 */
const VERSIONS: Readonly<Record<string, readonly KernelTrait[]>> = {
  '5.8': ['aux-domains'],
  '6.6': [],
  '6.8': ['bus-domain-alloc-refuse'],
  '6.12': ['bus-domain-alloc-refuse'],
  '7.3': ['iommufd-noiommu', 'noiommu-cdev', 'vfio-dmabuf'],
};

export const KERNEL_VERSIONS: readonly string[] = Object.keys(VERSIONS);

export interface KernelDescription {
  readonly version: string;
  /** Traits besides those of the version. */
  readonly with: readonly KernelTrait[];
  readonly without: readonly KernelTrait[];
}

/** 7.3, with the posted series the project is about. */
export const DEFAULT_KERNEL: KernelDescription = {
  version: '7.3',
  with: ['test-dev', 'aux-domains'],
  without: [],
};

export const TRAIT_NAMES = Object.keys(KERNEL_TRAITS) as KernelTrait[];

export function traitsOf(kernel: KernelDescription): Set<KernelTrait> {
  const traits = new Set(VERSIONS[kernel.version] ?? []);
  for (const trait of kernel.with) traits.add(trait);
  for (const trait of kernel.without) traits.delete(trait);
  return traits;
}
