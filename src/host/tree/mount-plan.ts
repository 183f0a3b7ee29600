/**
 * What a mount namespace must show: directories that mix the host's entries with simulated ones are rebuilt, all others
 * are bound as they are. Plain data, made by the supervisor and carried out by the launcher.
 */
import type { DirNode } from '../../machine/files/nodes.ts';

/** What the launcher mounts, as plain data. */
export interface MountPlan {
  /** An empty directory of the host to build in. */
  readonly staging: string;
  /** '/dev' and '/sys'. */
  readonly tops: readonly PlannedDir[];
}
/** A directory that is rebuilt from children. */
export interface PlannedDir {
  readonly name: string;
  readonly children: readonly PlannedChild[];
}
/** One entry of such a directory. */
export type PlannedChild =
  | ({ readonly kind: 'merged' } & PlannedDir)
  | { readonly kind: 'dir' | 'file'; readonly name: string }
  | { readonly kind: 'link'; readonly name: string; readonly target: string };

/**
 * What can be mounted. /proc and /lib are left as they are: a mount in /proc would forbid the program's own containers to
 * mount one, and /lib holds the program itself.
 */
export const MOUNTED_TOPS: readonly string[] = ['/dev', '/sys'];

/** Is this path in what is mounted? */
export function isInMounts(path: string): boolean {
  return MOUNTED_TOPS.some((top) => path === top || path.startsWith(`${top}/`));
}

/** Where in the staging directory the whole simulated tree is mounted. */
export function fuseAt(staging: string): string {
  return `${staging}/tree`;
}

/** Simulated entries of merged directories are taken as they are now: what comes and goes is deeper down. */
export function planMounts(root: DirNode, staging: string): MountPlan {
  const { children } = planDir('/', root);
  return { staging, tops: children.filter(isMounted) };
}

function isMounted(child: PlannedChild): child is PlannedChild & { kind: 'merged' } {
  return child.kind === 'merged' && isInMounts(`/${child.name}`);
}

function planDir(name: string, dir: DirNode): PlannedDir {
  const children = [...dir.entries()].map(([childName, child]): PlannedChild => {
    if (child.kind === 'link') return { kind: 'link', name: childName, target: child.target() };
    if (child.kind !== 'dir') return { kind: 'file', name: childName };
    if (!child.merged) return { kind: 'dir', name: childName };
    return { kind: 'merged', ...planDir(childName, child) };
  });
  return { name, children };
}
