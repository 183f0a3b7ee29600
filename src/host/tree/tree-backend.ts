/**
 * How the simulated /dev and /sys, and what is simulated of /proc and /lib, reach a program: path traps over a shadow tree, or a mount namespace.
 *
 * Path traps need nothing but the seccomp listener. A mount namespace lets the kernel do all path work but opening
 * device nodes.
 */
import type { DirNode } from '../../machine/files/nodes.ts';
import type { Vfs } from '../../machine/files/vfs.ts';
import { isHostDirectory } from './directory-rights.ts';
import type { FuseServer } from './fuse-server.ts';
import type { MountPlan } from './mount-plan.ts';
import { ShadowTree } from './shadow-tree.ts';
import { TemporaryDirectory } from './temporary-directory.ts';
import { join } from '../../machine/files/vfs.ts';

/** What the loop asks of a way to show the tree. */
export interface TreeBackend {
  /** The kernel itself sees /dev and /sys: only what a mount cannot do is answered by traps. */
  readonly native: boolean;
  /** Is this path in a mount of ours, where the kernel sees the tree? */
  isMounted(path: string): boolean;
  /** The directory of the run on the host. */
  readonly temporary: string;
  /** Mounts of the namespace, and who answers for the tree in it; not with path traps. */
  readonly plan?: MountPlan;
  readonly server?: FuseServer | undefined;
  /** `launcher`: the process that has mounted it. */
  mounted?(fd: number, launcher: number): FuseServer;
  /** The number of its file system, 'major:minor' in hex: whatever a file is called, it is known by it. */
  readonly device?: string | undefined;
  /** Before the last programs are ended: none may wait for us. */
  unmount(): void;
  /** Could this absolute host path lead into the simulated tree? */
  concerns(path: string): boolean;
  /** Is this merged directory one of the host's too? Then it is left to the host, whatever of ours is in it. */
  isHosts(path: string): boolean;
  /** The simulated path that a host path, seen as a descriptor or current directory, stands for. */
  virtualPath(hostPath: string): string | undefined;
  /** A host directory that shows the entries of a simulated one as they are now. */
  directory(path: string, node: DirNode): string;
  /** A host file that stands for a simulated one. */
  place(path: string): string;
  close(): void;
}

/** Could an absolute path lead below one of these? */
export function concernsTops(tops: readonly string[], path: string): boolean {
  if (path.includes('/..') || path.startsWith('//') || path.startsWith('/./')) return true;
  return tops.some((top) => path === top || path.startsWith(`${top}/`));
}

/** Directories are shadows; everything else is answered call by call. */
export class PathTrapTree implements TreeBackend {
  readonly native = false;
  readonly #directory = TemporaryDirectory.make();
  readonly #shadow = new ShadowTree(this.#directory.path);
  readonly #tops: readonly string[];
  readonly #hosts: ReadonlySet<string>;

  constructor(vfs: Vfs) {
    this.#tops = [...vfs.root.entries()].map(([name]) => `/${name}`);
    this.#hosts = new Set(sharedDirectories('/', vfs.root));
  }
  isMounted(): boolean {
    return false;
  }
  isHosts(path: string): boolean {
    return this.#hosts.has(path);
  }
  get temporary(): string {
    return this.#directory.path;
  }
  concerns(path: string): boolean {
    return concernsTops(this.#tops, path);
  }
  virtualPath(hostPath: string): string | undefined {
    return this.#shadow.virtualPath(hostPath);
  }
  directory(path: string, node: DirNode): string {
    return this.#shadow.sync(path, node);
  }
  place(path: string): string {
    return this.#shadow.place(path);
  }
  unmount(): void {
    return; // nothing is mounted
  }
  close(): void {
    this.#shadow.close();
    this.#directory.remove();
  }
}

/** Merged directories that the host has as well, when the run begins. */
export function* sharedDirectories(path: string, node: DirNode): Iterable<string> {
  if (!isHostDirectory(path)) return;
  yield path;
  for (const [name, child] of node.entries()) {
    if (child.kind === 'dir' && child.merged) yield* sharedDirectories(join(path, name), child);
  }
}
