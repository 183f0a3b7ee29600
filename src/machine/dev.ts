/** The tree below /dev, as far as it is ours: iommu and vfio/ (vfio.md 1.1). */
import type { VfioNode, VfioSubsystem } from '../vfio/vfio-core.ts';
import type { DeviceNode, DirNode, Node } from './nodes.ts';
import { dir } from './tree.ts';

export interface DevWorld {
  readonly vfio: VfioSubsystem;
}

export function devRoot(world: DevWorld): DirNode {
  const vfio = vfioDir(world);
  return dir(() => ({ vfio }), true);
}

/** A kernel without cdevs has no devices/ below it. */
function vfioDir(world: DevWorld): DirNode {
  return dir(() => {
    const out: Record<string, Node> = {};
    const cdevs: Record<string, Node> = {};
    for (const node of world.vfio.nodes()) {
      const [, first, second] = node.path.split('/') as [string, string, string | undefined];
      if (second === undefined) out[first] = deviceNode(node);
      else cdevs[second] = deviceNode(node);
    }
    if (Object.keys(cdevs).length > 0) out['devices'] = dir(() => cdevs);
    return out;
  });
}

function deviceNode(node: VfioNode): DeviceNode {
  const { mode, major, minor } = node;
  return { kind: 'device', mode, major, minor, open: (task) => node.open(task) };
}
