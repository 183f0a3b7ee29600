/**
 * The simulated tree in a mount namespace: the kernel resolves every path, FUSE answers the looks, and only what FUSE
 * cannot do is trapped: opening device nodes, and naming what a descriptor of ours stands for.
 */
import type { DirNode } from '../../machine/files/nodes.ts';
import { Bug } from '../../base/bug.ts';
import { FuseServer } from './fuse-server.ts';
import { planMounts } from './mount-plan.ts';
import type { MountPlan } from './mount-plan.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './shadow-tree.ts';
import { concernsTops } from './tree-backend.ts';
import type { TreeBackend } from './tree-backend.ts';

export class NamespaceTree implements TreeBackend {
  readonly native = true;
  readonly root: DirNode;
  readonly #staging = makeTemporaryDirectory();
  readonly #tops: readonly string[];
  #server: FuseServer | undefined;

  constructor(root: DirNode) {
    this.root = root;
    this.#tops = [...root.entries()].map(([name]) => `/${name}`);
  }
  get plan(): MountPlan {
    return planMounts(this.root, this.#staging);
  }
  mounted(fd: number): FuseServer {
    return (this.#server = new FuseServer(fd, this.root));
  }
  get server(): FuseServer | undefined {
    return this.#server;
  }
  concerns(path: string): boolean {
    return concernsTops(this.#tops, path);
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
    removeTemporaryDirectory(this.#staging);
  }
}
