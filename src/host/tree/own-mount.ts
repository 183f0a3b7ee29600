/** What a mount of ours shows, by its path as a program sees it, or by a descriptor, whatever the file is called. */
import { isErrno } from '../../base/errno.ts';
import { KERNEL } from '../../machine/files/rights.ts';
import type { Vfs } from '../../machine/files/vfs.ts';
import { deviceOf, type DescriptorLink } from '../sys/look.ts';
import type { TreeBackend } from './tree-backend.ts';

/** Directories that are the host's as well are no part of the mount. */
export function showsPath(tree: TreeBackend, vfs: Vfs, path: string): boolean {
  if (!tree.isMounted(path)) return false;
  const place = vfs.resolve(path, { cred: KERNEL, follow: false });
  return (
    !isErrno(place) && place.kind === 'node' && !(place.node.kind === 'dir' && place.node.merged)
  );
}
export function showsFile({ device }: TreeBackend, file: DescriptorLink): boolean {
  return device !== undefined && deviceOf(file) === device;
}
