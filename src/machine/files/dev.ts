/** The tree below /dev, as far as it is ours: iommu and vfio/ (vfio.md 1.1). */
import { ENODEV, type Result } from '../../base/errno.ts';
import type { OpenFile } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import { openIommufd, openVfioCompat } from '../../iommufd/main.ts';
import type { IommufdSubsystem } from '../../iommufd/subsystem.ts';
import type { VfioNode, VfioSubsystem } from '../../vfio/vfio-core.ts';
import type { DeviceNode, DirNode, Node } from './nodes.ts';
import { dir } from './tree.ts';

/** The subsystems that have nodes in /dev. */
export interface DevWorld {
  readonly vfio: VfioSubsystem;
  readonly iommufd: IommufdSubsystem;
}

/** A misc device with a dynamic minor, as a kernel that has just booted hands them out. */
const IOMMU_NODE = { kind: 'device', mode: 0o660, major: 10, minor: 126 } as const;
const CONTAINER_NODE = { kind: 'device', mode: 0o666, major: 10, minor: 196 } as const;

/** A device of major 10 as sysfs and /proc/misc show it. @kernel miscdevice */
export interface MiscDevice {
  readonly name: string;
  /** Below /dev. */
  readonly devname: string;
  readonly node: { readonly mode: number; readonly major: number; readonly minor: number };
  /** Does this kernel have it? */
  isIn(world: DevWorld): boolean;
}
/** All that a kernel here can have. */
export const MISC_DEVICES: readonly MiscDevice[] = [
  {
    name: 'iommu',
    devname: 'iommu',
    node: IOMMU_NODE,
    isIn: ({ iommufd }) => !iommufd.env.has('no-iommufd'),
  },
  {
    name: 'vfio',
    devname: 'vfio/vfio',
    node: CONTAINER_NODE,
    isIn: ({ iommufd, vfio }) =>
      iommufd.env.has('vfio-container-iommufd') ||
      [...vfio.nodes()].some(({ path }) => path === 'vfio/vfio'),
  },
];

/** The directory /dev; real entries of the host show through beside it. */
export function devRoot(world: DevWorld): DirNode {
  const vfio = vfioDir(world);
  const iommu: DeviceNode = { ...IOMMU_NODE, open: () => openIommu(world.iommufd) };
  return dir(() => ({ iommu, vfio }), true);
}

/** A kernel without iommufd has the node too: without it the host's own would show through. */
function openIommu(iommufd: IommufdSubsystem): Result<OpenFile> {
  const { env } = iommufd;
  if (!env.has('no-iommufd')) return openIommufd(iommufd);
  return refuse(ENODEV, 'this kernel has no iommufd', { kernel: env.release, since: '6.2' });
}

/** A kernel without cdevs has no devices/ below it. */
function vfioDir(world: DevWorld): DirNode {
  return dir(() => {
    const out: Record<string, Node> = {};
    if (world.iommufd.env.has('vfio-container-iommufd')) {
      out['vfio'] = { ...CONTAINER_NODE, open: () => openVfioCompat(world.iommufd) };
    }
    const cdevs: Record<string, Node> = {};
    for (const node of world.vfio.nodes()) {
      const [, first = '', second] = node.path.split('/');
      if (second === undefined) out[first] = deviceNode(node);
      else cdevs[second] = deviceNode(node);
    }
    if (Object.keys(cdevs).length > 0) out['devices'] = dir(() => cdevs);
    return out;
  });
}

function deviceNode(node: VfioNode): DeviceNode {
  const { mode, major, minor, identity } = node;
  return { kind: 'device', mode, major, minor, identity, open: (task) => node.open(task) };
}
