/**
 * The simulated tree in a mount namespace: the kernel resolves every path, FUSE answers the looks, and only what FUSE
 * cannot do is trapped: opening device nodes, and naming what a descriptor of ours stands for.
 */
import type { Vfs } from '../../machine/files/vfs.ts';
import { Bug } from '../../base/bug.ts';
import { FuseServer } from './fuse-server.ts';
import { planMounts, type MountPlan } from './mount-plan.ts';
import { TemporaryDirectory } from './temporary-directory.ts';
import { concernsTops, type TreeBackend } from './tree-backend.ts';

/** The tree as mounts of a namespace. */
export class NamespaceTree implements TreeBackend {
  readonly native = true;
  readonly #vfs: Vfs;
  readonly #directory = TemporaryDirectory.make();
  readonly #tops: readonly string[];
  #server: FuseServer | undefined;

  constructor(vfs: Vfs) {
    this.#vfs = vfs;
    this.#tops = [...vfs.root.entries()].map(([name]) => `/${name}`);
  }
  get temporary(): string {
    return this.#directory.path;
  }
  get plan(): MountPlan {
    return planMounts(this.#vfs.root, this.temporary);
  }
  mounted(fd: number): FuseServer {
    return (this.#server = new FuseServer(fd, this.#vfs));
  }
  get server(): FuseServer | undefined {
    return this.#server;
  }
  concerns(path: string): boolean {
    return concernsTops(this.#tops, path);
  }
  /** All of them are made of mounts. */
  isHosts(): boolean {
    return false;
  }
  /** Paths are what they seem. */
  virtualPath(hostPath: string): string | undefined {
    const inside = this.#tops.some((top) => hostPath === top || hostPath.startsWith(`${top}/`));
    return inside ? hostPath : undefined;
  }
  directory(): string {
    throw new Bug('the kernel opens directories itself');
  }
  place(): string {
    throw new Bug('the kernel opens nodes by path itself');
  }
  unmount(): void {
    this.#server?.close();
  }
  close(): void {
    this.unmount();
    this.#directory.remove();
  }
}
