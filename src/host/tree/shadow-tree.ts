/**
 * The shadow tree: a real directory for each one that is simulated as a whole and that a program has opened or gone to.
 *
 * With path traps, directories are what the kernel itself must know: getdents64, fchdir and the current directory work on
 * them natively, and the name of a shadow directory tells which simulated one it stands for. Files in it are empty
 * placeholders; whatever names them is answered by the traps.
 *
 * A call that is not trapped goes from a shadow directory to where it really is, which may be outside of the root directory
 * the program has. So nobody may pass the directory above them, ourselves included: we hold what is below it.
 */
import * as fs from 'node:fs';
import { join as joinPath } from 'node:path';
import { HostError } from '../sys/ffi.ts';
import * as libc from '../sys/libc.ts';
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from '../sys/numbers.ts';
import type { DirNode, Node } from '../../machine/files/nodes.ts';

/** Made as programs go along, in the directory of the run. */
export class ShadowTree {
  /** Its name on the host. */
  readonly root: string;
  readonly #gate: string;
  /** Our way to it. */
  #fd: number | undefined;

  /** `directory`: of the run. */
  constructor(directory: string) {
    this.#gate = `${directory}/gate`;
    this.root = `${this.#gate}/tree`;
  }
  /** The simulated path a host path stands for; undefined when it is outside the tree. */
  virtualPath(hostPath: string): string | undefined {
    if (hostPath === this.root) return '/';
    return hostPath.startsWith(`${this.root}/`) ? hostPath.slice(this.root.length) : undefined;
  }

  /** Make the shadow of a directory show what it has now. Returns our way to it. */
  sync(path: string, node: DirNode): string {
    const host = this.#wayTo(path);
    this.#make(host);
    const wanted = new Map<string, Placeholder>();
    for (const [name, child] of node.entries()) wanted.set(name, placeholderOf(child));
    for (const entry of fs.readdirSync(host, { withFileTypes: true })) {
      const what = wanted.get(entry.name);
      if (what && isShown(entry, what, joinPath(host, entry.name))) wanted.delete(entry.name);
      else fs.rmSync(joinPath(host, entry.name), { recursive: true, force: true });
    }
    for (const [name, what] of wanted) show(joinPath(host, name), what);
    return host;
  }
  /** The placeholder of a file, for O_PATH. */
  place(path: string): string {
    const host = this.#wayTo(path);
    this.#make(joinPath(host, '..'));
    if (!fs.lstatSync(host, { throwIfNoEntry: false })) makeFile(host);
    return host;
  }

  /** The run is over. */
  close(): void {
    if (this.#fd !== undefined) libc.close(this.#fd);
    this.#fd = undefined;
  }

  #wayTo(path: string): string {
    this.#fd ??= makeBehind(this.#gate, this.root);
    const inside = `/proc/self/fd/${this.#fd}`;
    return path === '/' ? inside : inside + path;
  }
  /** Each of them ours alone to write in, whatever the umask: nobody puts a link in its place. */
  #make(host: string): void {
    if (host === this.#wayTo('/') || fs.lstatSync(host, { throwIfNoEntry: false })?.isDirectory()) {
      return;
    }
    this.#make(joinPath(host, '..'));
    fs.rmSync(host, { recursive: true, force: true });
    makeDirectory(host);
  }
}

/** A directory behind one that nobody passes, root with its capabilities excepted: a descriptor, our way to it. Throws Shortage. */
function makeBehind(gate: string, root: string): number {
  fs.mkdirSync(gate, { mode: 0o700 });
  makeDirectory(root);
  const fd = libc.open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw new HostError(`the directory of the run cannot be opened (errno ${-fd})`);
  fs.chmodSync(gate, 0);
  return fd;
}

type Placeholder = { kind: 'dir' } | { kind: 'file' } | { kind: 'link'; to: string };

function placeholderOf(node: Node): Placeholder {
  if (node.kind === 'dir') return { kind: 'dir' };
  if (node.kind === 'link') return { kind: 'link', to: node.target() };
  return { kind: 'file' };
}

function isShown(entry: fs.Dirent, what: Placeholder, path: string): boolean {
  if (what.kind === 'dir') return entry.isDirectory();
  if (what.kind === 'file') return entry.isFile();
  return entry.isSymbolicLink() && fs.readlinkSync(path) === what.to;
}
function show(path: string, what: Placeholder): void {
  if (what.kind === 'dir') makeDirectory(path);
  else if (what.kind === 'link') fs.symlinkSync(what.to, path);
  else makeFile(path);
}
function makeDirectory(path: string): void {
  fs.mkdirSync(path);
  fs.chmodSync(path, 0o755);
}
function makeFile(path: string): void {
  fs.writeFileSync(path, '', { flag: 'wx' });
  fs.chmodSync(path, 0o444);
}
