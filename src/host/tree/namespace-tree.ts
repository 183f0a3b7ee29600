/**
 * The simulated tree in a mount namespace: the kernel resolves every path into it, and FUSE answers the looks. Answered by
 * traps is what FUSE cannot do, opening device nodes and naming what a descriptor of ours stands for, and what is simulated
 * outside of the mounts, in /proc and /lib.
 */
import type { Vfs } from '../../machine/files/vfs.ts';
import type { DirNode } from '../../machine/files/nodes.ts';
import { deviceAt } from '../sys/mounts.ts';
import { FuseServer } from './fuse-server.ts';
import { fuseAt, isInMounts, planMounts, type MountPlan } from './mount-plan.ts';
import { ShadowTree } from './shadow-tree.ts';
import { TemporaryDirectory } from './temporary-directory.ts';
import { concernsTops, sharedDirectories, type TreeBackend } from './tree-backend.ts';

/** The tree as mounts of a namespace. */
export class NamespaceTree implements TreeBackend {
  readonly native = true;
  readonly #vfs: Vfs;
  readonly #directory = TemporaryDirectory.make();
  readonly #shadow = new ShadowTree(this.#directory.path);
  readonly #tops: readonly string[];
  readonly #hosts: ReadonlySet<string>;
  #server: FuseServer | undefined;
  #device: string | undefined;

  constructor(vfs: Vfs) {
    this.#vfs = vfs;
    this.#tops = [...vfs.root.entries()].map(([name]) => `/${name}`);
    this.#hosts = new Set(
      [...sharedDirectories('/', vfs.root)].filter((path) => !isInMounts(path)),
    );
  }
  get temporary(): string {
    return this.#directory.path;
  }
  get plan(): MountPlan {
    return planMounts(this.#vfs.root, this.temporary);
  }
  mounted(fd: number, launcher: number): FuseServer {
    this.#device = deviceAt(fuseAt(this.temporary), launcher);
    return (this.#server = new FuseServer(fd, this.#vfs));
  }
  get device(): string | undefined {
    return this.#device;
  }
  get server(): FuseServer | undefined {
    return this.#server;
  }
  concerns(path: string): boolean {
    return concernsTops(this.#tops, path);
  }
  isMounted(path: string): boolean {
    return isInMounts(path);
  }
  /** Those in mounts are all made of mounts. */
  isHosts(path: string): boolean {
    return this.#hosts.has(path);
  }
  /** Paths are what they seem. */
  virtualPath(hostPath: string): string | undefined {
    return isInMounts(hostPath) ? hostPath : this.#shadow.virtualPath(hostPath);
  }
  directory(path: string, node: DirNode): string {
    return this.#shadow.sync(path, node);
  }
  place(path: string): string {
    return this.#shadow.place(path);
  }
  unmount(): void {
    this.#server?.close();
  }
  close(): void {
    this.unmount();
    this.#shadow.close();
    this.#directory.remove();
  }
}
