/**
 * Which kernel the machine runs. A version is a set of traits, and a description adds or removes single ones; what
 * joined the ABI of /dev/iommu in which version is in uapi/iommufd-since.ts.
 */
import { Bug } from '../../base/bug.ts';
import {
  isSince,
  nearestRelease,
  NEWEST_RELEASE,
  type Release,
} from '../../base/kernel-release.ts';
import { KERNEL_TRAITS, type KernelTrait } from '../../base/kernel-traits.ts';

/** The releases that have a trait by themselves: from one on, up to the one before another. */
export interface ReleaseSpan {
  readonly since?: Release;
  readonly before?: Release;
}

/**
 * What a released kernel did by itself. Proposals that never landed ('test-dev', 'aux-domains' after 5.15) are not in
 * any later version; a machine without a word about its kernel gets them on top (DEFAULT_KERNEL). What the
 * specification knows of 6.12 and of 7.3 only changes with 6.13 here.
 */
export const TRAIT_SPANS: Readonly<Partial<Record<KernelTrait, ReleaseSpan>>> = {
  'aux-domains': { before: '5.18' },
  'bus-domain-alloc-refuse': { since: '6.8', before: '6.13' },
  'hwpt-invalidate-nested-only': { before: '6.13' },
  'iommufd-noiommu': { since: '7.3' },
  'map-length-first': { before: '6.13' },
  'nested-wants-invalidate': { before: '6.13' },
  'no-iommufd': { before: '6.2' },
  'noiommu-cdev': { since: '7.3' },
  'pin-writes-any-file': { before: '6.5' },
  'type1-loses-end': { before: '6.13' },
  'type1-nesting': { before: '6.13' },
  'type1-wrap-einval': { before: '6.13' },
  'vfio-bind-plain': { before: '6.13' },
  'vfio-dmabuf': { since: '7.3' },
  'vfio-err-irq-pcie-only': { before: '6.13' },
  'vfio-groups-only': { before: '6.6' },
  'vfio-msix-fixed': { before: '6.5' },
  'vfio-no-fdinfo': { before: '6.13' },
  'vfio-no-migration': { before: '6.2' },
  'vfio-no-precopy-info': { before: '6.13' },
};

/** The kernel of a description: a version, and single traits that differ from it. */
export interface KernelDescription {
  readonly version: string;
  /** Traits besides those of the version. */
  readonly with: readonly KernelTrait[];
  readonly without: readonly KernelTrait[];
}

/** The newest, with the posted series the project is about. */
export const DEFAULT_KERNEL: KernelDescription = {
  version: NEWEST_RELEASE,
  with: ['test-dev', 'aux-domains'],
  without: [],
};

/** Every trait. */
// cast: Object.keys forgets that the keys are traits
export const TRAIT_NAMES = Object.keys(KERNEL_TRAITS) as KernelTrait[];

/** The release that the kernel of a checked description behaves as; what is no version is a Bug. */
export function releaseOf({ version }: Pick<KernelDescription, 'version'>): Release {
  const release = nearestRelease(version);
  if (!release) throw new Bug(`no kernel is called ${version}`);
  return release;
}
/** A line for whoever asked for a version that is not known itself. */
export function versionNote(kernel: Pick<KernelDescription, 'version'>): string | undefined {
  const release = releaseOf(kernel);
  if (release === kernel.version) return undefined;
  return `kernel ${kernel.version} behaves as ${release}, the nearest release that is known`;
}

/** The traits of the version, with those added and without those taken away. */
export function traitsOf(kernel: KernelDescription): Set<KernelTrait> {
  const release = releaseOf(kernel);
  const traits = new Set(TRAIT_NAMES.filter((trait) => isInSpan(release, TRAIT_SPANS[trait])));
  for (const trait of kernel.with) traits.add(trait);
  for (const trait of kernel.without) traits.delete(trait);
  return traits;
}

/** Traits that need something a kernel with the other trait does not have yet. */
const EXCLUDES: readonly (readonly [trait: KernelTrait, old: KernelTrait])[] = [
  ['iommufd-noiommu', 'no-iommufd'],
  ['iommufd-selftest', 'no-iommufd'],
  ['vfio-container-iommufd', 'no-iommufd'],
  ['noiommu-cdev', 'vfio-groups-only'],
  ['vfio-cdev-only', 'vfio-groups-only'],
];

/** Why there can be no such kernel, if there cannot. */
export function contradictionsOf(kernel: KernelDescription): string[] {
  const traits = traitsOf(kernel);
  return EXCLUDES.filter(([trait, old]) => traits.has(trait) && traits.has(old)).map(
    ([trait, old]) => `${trait} cannot be in a kernel with ${old}: ${KERNEL_TRAITS[old]}`,
  );
}

function isInSpan(release: Release, span: ReleaseSpan | undefined): boolean {
  if (!span) return false;
  const { since, before } = span;
  return (!since || isSince(release, since)) && !(before && isSince(release, before));
}
