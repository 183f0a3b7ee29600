/**
 * The ways Linux offers a device to a program, each as a kernel that was built or started for it alone: what a program that
 * can use several finds when it may use only one.
 */
import { isSince, type Release } from '../../base/kernel-release.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import type { BackendName } from './backend-names.ts';
import type { MachineDescription } from './description.ts';
import { contradictionsOf, releaseOf } from './releases.ts';

/** A kernel with one way only. */
export interface Backend {
  /** How such a kernel is made. */
  readonly summary: string;
  /** The first release that has it. */
  readonly since?: Release;
  readonly with: readonly KernelTrait[];
  readonly without: readonly KernelTrait[];
  /** There is no IOMMU. */
  readonly noiommu?: true;
}

/** CONFIG_IOMMUFD=n, and so no cdev. */
const NO_IOMMUFD = ['no-iommufd', 'vfio-groups-only'] as const;
const NEEDS_IOMMUFD = [
  'vfio-container-iommufd',
  'vfio-cdev-only',
  'iommufd-noiommu',
  'noiommu-cdev',
] as const;
const CDEV_ONLY = {
  with: ['vfio-cdev-only'],
  without: ['no-iommufd', 'vfio-groups-only', 'vfio-container-iommufd'],
} as const;

// prettier-ignore
const BACKENDS: Readonly<Record<BackendName, Backend>> = {
  type1: {
    summary: 'groups, and containers that know type 1 only: CONFIG_IOMMUFD=n, VFIO as before Linux 3.15',
    with: [...NO_IOMMUFD, 'type1-v1-only'], without: NEEDS_IOMMUFD,
  },
  type1v2: {
    summary: 'groups and containers: CONFIG_IOMMUFD=n',
    with: NO_IOMMUFD, without: [...NEEDS_IOMMUFD, 'type1-v1-only'],
  },
  compat: {
    summary: 'groups, and containers that iommufd plays: CONFIG_IOMMUFD_VFIO_CONTAINER=y, CONFIG_VFIO_DEVICE_CDEV=n',
    since: '6.2', with: ['vfio-container-iommufd', 'vfio-groups-only'],
    without: ['no-iommufd', 'vfio-cdev-only', 'noiommu-cdev'],
  },
  cdev: {
    summary: 'cdevs and /dev/iommu: CONFIG_VFIO_DEVICE_CDEV=y, CONFIG_VFIO_GROUP=n',
    since: '6.6', ...CDEV_ONLY,
  },
  'noiommu-group': {
    summary: 'groups without an IOMMU: vfio.enable_unsafe_noiommu_mode=1, CONFIG_IOMMUFD=n',
    with: [...NO_IOMMUFD, 'unsafe-noiommu-mode'], without: NEEDS_IOMMUFD, noiommu: true,
  },
  'noiommu-cdev': {
    summary: 'cdevs without an IOMMU: vfio.enable_unsafe_noiommu_mode=1, CONFIG_VFIO_GROUP=n',
    since: '7.3', with: [...CDEV_ONLY.with, 'unsafe-noiommu-mode', 'iommufd-noiommu', 'noiommu-cdev'],
    without: CDEV_ONLY.without, noiommu: true,
  },
};

/** The machine with one way only, or why its kernel cannot have it. */
export function withBackend(
  machine: MachineDescription,
  name: BackendName,
): MachineDescription | { readonly problem: string } {
  const backend = BACKENDS[name];
  const { kernel } = machine;
  const release = releaseOf(kernel);
  if (backend.since !== undefined && !isSince(release, backend.since)) {
    return { problem: `Linux ${release} has no ${name}: it is there since ${backend.since}` };
  }
  const changed = {
    ...kernel,
    with: joined(kernel.with, backend.with, backend.without),
    without: joined(kernel.without, backend.without, backend.with),
  };
  const [problem] = contradictionsOf(changed);
  if (problem !== undefined) return { problem };
  const placed = { ...machine, kernel: changed };
  return backend.noiommu ? withoutIommus(placed) : placed;
}
/** What was there and is not taken away, and what is added. */
function joined(
  own: readonly KernelTrait[],
  added: readonly KernelTrait[],
  removed: readonly KernelTrait[],
): KernelTrait[] {
  return [...new Set([...own.filter((trait) => !removed.includes(trait)), ...added])];
}

function withoutIommus(machine: MachineDescription): MachineDescription {
  return { ...machine, iommus: [], devices: machine.devices.map(withoutIommu) };
}
type DeviceEntry = MachineDescription['devices'][number];
function withoutIommu(device: DeviceEntry): DeviceEntry {
  return { ...device, iommu: undefined, devices: device.devices.map(withoutIommu) };
}
