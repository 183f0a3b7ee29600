/**
 * The simulated tree as a FUSE file system, served by the one wait loop.
 *
 * Every look goes to the tree, so that a change is seen at once; a write to an attribute returns its errno, and may wait.
 * Device nodes show as what they are, but opening one is never FUSE's business: the opens are trapped.
 */
import { isErrno, type Result, type Status } from '../../base/errno.ts';
import type { Task } from '../../base/task.ts';
import { run, type Outcome } from '../../base/wait-queue.ts';
import type { AttrNode, Node } from '../../machine/files/nodes.ts';
import { KERNEL, MAY_EXEC, MAY_WRITE, type Cred } from '../../machine/files/rights.ts';
import { join, type NodePlace, type Vfs } from '../../machine/files/vfs.ts';
import { shortageOf } from '../sys/shortage.ts';
import { isDying } from '../sys/signals.ts';
import * as wire from './fuse-protocol.ts';
import { FUSE, type Request } from './fuse-protocol.ts';
import * as libc from '../sys/libc.ts';
import { openHow } from './open-flags.ts';
import { inodeOf, statOfNode } from './stat.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';

/** What reading and writing attributes needs of the rest. */
export interface AttrAccess {
  /** Called before each request: what programs have closed is released first. */
  settle(): void;
  task(tid: number): Task;
  cred(tid: number): Cred;
  readAttr(task: Task, path: string, node: AttrNode): Result<Uint8Array>;
  writeAttr(
    task: Task,
    path: string,
    node: AttrNode,
    data: Uint8Array,
    offset: number,
  ): Outcome<Result<number>>;
  /** When the call that wakes a waiting one is over. */
  later(attempt: () => void): void;
  /** A mistake of ours; its caller gets EIO. */
  bug(op: number, error: string): void;
  /** The host has nothing left of what a request needs; its caller gets the errno. */
  short(reason: string): void;
}

/** A name the kernel has looked up and not yet forgotten. */
interface Known {
  readonly id: number;
  readonly path: string;
  readonly key: string;
  lookups: number;
}
/** A request, and what it may reach: nothing while the tree is being mounted. */
interface Asked extends Request {
  readonly access: AttrAccess | undefined;
}
/** Result bytes, or minus an errno; undefined: no answer now. */
type Reply = Uint8Array | number | undefined;

const ROOT_ID = 1;
const EMPTY = new Uint8Array(0);
/** What SETATTR sets. */
const FATTR = { mode: 1, uid: 2, gid: 4, size: 8, fh: 0x40, times: 0x1b0, now: 0x180 } as const;

/** Answers the requests of one mount. */
export class FuseServer {
  readonly fd: number;
  readonly #vfs: Vfs;
  readonly #known = new Map<number, Known>();
  readonly #byKey = new Map<string, Known>();
  /** Writes that wait, by the number of their request. */
  readonly #waiting = new Map<bigint, Waiting>();
  readonly #buffer = Buffer.alloc(wire.BUFFER_SIZE);
  readonly #started = Math.floor(Date.now() / 1000);
  #nextId = ROOT_ID + 1;
  #open = true;

  constructor(fd: number, vfs: Vfs) {
    this.fd = fd;
    this.#vfs = vfs;
    this.#known.set(ROOT_ID, { id: ROOT_ID, path: '/', key: '/', lookups: 1 });
  }

  /** Answer the request that is there; false when the mount is gone. `access`: once a program runs. */
  serve(access?: AttrAccess): boolean {
    const length = libc.read(this.fd, this.#buffer);
    if (length === -HOST_ERRNO.ENODEV) return false;
    // ENOENT, EAGAIN: its caller was killed meanwhile.
    if (length < wire.ARGS) return true;
    const request = { ...wire.decodeRequest(this.#buffer, length), access };
    access?.settle();
    const reply = this.#guarded(request);
    if (reply !== undefined) this.#send(request.unique, reply);
    return true;
  }

  /** Whoever still waits for an answer gets ECONNABORTED from the kernel. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#waiting.clear();
    libc.close(this.fd);
  }

  #send(unique: bigint, reply: Uint8Array | number): void {
    const bytes =
      typeof reply === 'number'
        ? wire.encodeReply(unique, -reply)
        : wire.encodeReply(unique, 0, reply);
    libc.write(this.fd, bytes);
  }

  #guarded(request: Asked): Reply {
    try {
      return this.#answer(request);
    } catch (error) {
      const shortage = shortageOf(error);
      if (shortage) {
        request.access?.short(shortage.message);
        return -shortage.errno.number;
      }
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      request.access?.bug(request.op, text);
      return -HOST_ERRNO.EIO;
    }
  }

  #answer(request: Asked): Reply {
    const answer = OPERATIONS[request.op];
    if (answer) return answer(request, this);
    const known = this.#known.get(request.node);
    const node = known && this.#find(known.path);
    if (!node) return -HOST_ERRNO.ENOENT;
    return this.#onNode(request, known.path, node);
  }

  #onNode(request: Asked, path: string, node: Node): Reply {
    const { op, args } = request;
    switch (op) {
      case FUSE.lookup:
        return this.#lookup(request, { kind: 'node', node, path }, wire.nameOf(args));
      case FUSE.getattr:
        return wire.encodeAttrReply(statOfNode(this.#vfs, node, path), this.#started);
      case FUSE.setattr:
        return this.#setAttributes(request, { kind: 'node', node, path });
      case FUSE.readlink:
        return node.kind === 'link' ? Buffer.from(node.target()) : -HOST_ERRNO.EINVAL;
      case FUSE.access:
        return this.#permission(request, { kind: 'node', node, path }, args.readUInt32LE(0));
      case FUSE.opendir:
        return wire.encodeOpen(0, 0);
      case FUSE.readdir:
        return readDirectory(this.#vfs, request, path, node);
      default:
        return node.kind === 'attr' ? this.#onAttr(request, path, node) : -HOST_ERRNO.ENOSYS;
    }
  }

  #onAttr(request: Asked, path: string, node: AttrNode): Reply {
    const { op, args, tid, access } = request;
    if (op === FUSE.open) return this.#openAttr(request, path, node);
    if (op !== FUSE.read && op !== FUSE.write) return -HOST_ERRNO.ENOSYS;
    if (!access) return -HOST_ERRNO.EIO;
    const offset = Number(args.readBigUInt64LE(8));
    if (op === FUSE.read) {
      const text = access.readAttr(access.task(tid), path, node);
      if (isErrno(text)) return -text.number;
      return text.subarray(offset, offset + args.readUInt32LE(16));
    }
    const data = Uint8Array.from(args.subarray(40, 40 + args.readUInt32LE(16)));
    const task = access.task(tid);
    return this.#await(request, access, () => access.writeAttr(task, path, node, data, offset));
  }

  #await(request: Request, access: AttrAccess, call: () => Outcome<Result<number>>): Reply {
    const { unique, tid } = request;
    const now: { reply?: Reply; parked: boolean } = { parked: false };
    const answer = (result: Result<number>): void => {
      const reply = isErrno(result) ? -result.number : wire.encodeWritten(result);
      if (!now.parked) now.reply = reply;
      else if (this.#waiting.delete(unique)) this.#send(unique, reply);
    };
    const cancel = run(call, answer, (attempt) => access.later(attempt));
    if (now.reply !== undefined) return now.reply;
    now.parked = true;
    this.#waiting.set(unique, { tid, cancel, signalled: false });
    return undefined;
  }

  /** A signal to a caller that waits. Only the first is told, and only a fatal one ends its wait. */
  interrupt(unique: bigint): void {
    const waiting = this.#waiting.get(unique);
    if (waiting) waiting.signalled = true;
    this.endDying();
  }
  /** There are callers with a signal, which may get a fatal one. */
  get hasSignalled(): boolean {
    for (const { signalled } of this.#waiting.values()) if (signalled) return true;
    return false;
  }
  /** The kernel keeps a caller from dying until it is answered. What it has begun goes on without it. */
  endDying(): void {
    for (const [unique, { tid, signalled }] of [...this.#waiting]) {
      if (!signalled || !isDying(tid)) continue;
      this.#waiting.delete(unique);
      this.#send(unique, -HOST_ERRNO.EINTR);
    }
  }

  /** The kernel looks every name up anew, and leaves the right to search to us. */
  #lookup(request: Asked, directory: NodePlace, name: string): Reply {
    const { node, path } = directory;
    if (node.kind !== 'dir') return -HOST_ERRNO.ENOTDIR;
    const denied = this.#permission(request, directory, MAY_EXEC);
    if (denied !== EMPTY) return denied;
    const child = node.lookup(name);
    if (!child) return -HOST_ERRNO.ENOENT;
    const childPath = join(path, name);
    const known = this.#remember(childPath, child);
    return wire.encodeEntry(known.id, statOfNode(this.#vfs, child, childPath), this.#started);
  }

  /** Another kind of node at the same path is another inode. */
  #remember(path: string, node: Node): Known {
    const key = `${node.kind}:${path}`;
    let known = this.#byKey.get(key);
    if (!known) {
      known = { id: this.#nextId++, path, key, lookups: 0 };
      this.#byKey.set(key, known);
      this.#known.set(known.id, known);
    }
    known.lookups++;
    return known;
  }
  forget(id: number, count: number): void {
    const known = this.#known.get(id);
    if (!known || id === ROOT_ID) return;
    known.lookups -= count;
    if (known.lookups > 0) return;
    this.#known.delete(id);
    this.#byKey.delete(known.key);
  }

  #find(path: string): Node | undefined {
    const place = this.#vfs.lookup(path, { cred: KERNEL, follow: false });
    return isErrno(place) ? undefined : place.node;
  }

  /** EACCES where the rights of the directory forbid it, and else EPERM. */
  refuseChange(request: Asked): Reply {
    const known = this.#known.get(request.node);
    const node = known && this.#find(known.path);
    if (!node) return -HOST_ERRNO.ENOENT;
    const place: NodePlace = { kind: 'node', node, path: known.path };
    const denied = this.#permission(request, place, MAY_WRITE | MAY_EXEC);
    return denied === EMPTY ? -HOST_ERRNO.EPERM : denied;
  }
  #permission(request: Asked, place: NodePlace, want: number): Reply {
    const rc = this.#vfs.mayAccess(place, this.#cred(request), want);
    return rc ? -rc.number : EMPTY;
  }
  /** chmod, chown, times, and what `>` does: an attribute has no length of its own. */
  #setAttributes(request: Asked, place: NodePlace): Reply {
    const { args } = request;
    const valid = args.readUInt32LE(0);
    const has = (bits: number): boolean => (valid & bits) !== 0;
    if (has(FATTR.size) && place.node.kind !== 'attr') return -HOST_ERRNO.EINVAL;
    const rc = this.#mayBeEmptied(request, place) ?? this.#change(request, place);
    if (rc) return -rc.number;
    return wire.encodeAttrReply(statOfNode(this.#vfs, place.node, place.path), this.#started);
  }
  #mayBeEmptied(request: Asked, place: NodePlace): Status {
    const valid = request.args.readUInt32LE(0) & (FATTR.size | FATTR.fh);
    if (valid !== FATTR.size) return undefined; // not by name
    return this.#vfs.mayAccess(place, this.#cred(request), MAY_WRITE);
  }
  #change(request: Asked, place: NodePlace): Status {
    const { args } = request;
    const has = (bits: number): boolean => (args.readUInt32LE(0) & bits) !== 0;
    const cred = this.#cred(request);
    const uid = has(FATTR.uid) ? args.readUInt32LE(76) : -1;
    const gid = has(FATTR.gid) ? args.readUInt32LE(80) : -1;
    return (
      (uid !== -1 || gid !== -1 ? this.#vfs.chown(place, { uid, gid }, cred) : undefined) ??
      (has(FATTR.mode) ? this.#vfs.chmod(place, args.readUInt32LE(68), cred) : undefined) ??
      (has(FATTR.times) ? this.#vfs.touch(place, has(FATTR.now), cred) : undefined)
    );
  }
  #openAttr(request: Asked, path: string, node: AttrNode): Reply {
    const how = openHow(request.args.readUInt32LE(0));
    const opened = this.#vfs.open({ kind: 'node', node, path }, how, this.#cred(request));
    return isErrno(opened) ? -opened.number : wire.encodeOpen(0, wire.FOPEN_DIRECT_IO);
  }
  /** The kernel says whose ids count; groups and capabilities are looked up when they are asked for. */
  #cred({ tid, uid, gid, access }: Asked): Cred {
    const lookup = (): Cred | undefined => access?.cred(tid);
    return {
      uid,
      gid,
      get groups() {
        return lookup()?.groups ?? [];
      },
      capable: (cap) => lookup()?.capable(cap) === true,
    };
  }
}

interface Waiting {
  readonly tid: number;
  readonly cancel: () => void;
  signalled: boolean;
}

type Operation = (request: Asked, server: FuseServer) => Reply;

/** Nobody makes, removes or renames what is in sysfs: all of them name the directory first. */
const CHANGES = [FUSE.symlink, FUSE.mknod, FUSE.mkdir, FUSE.unlink, FUSE.rmdir, FUSE.rename];

/** Operations that concern no node. */
const OPERATIONS: Readonly<Record<number, Operation>> = {
  [FUSE.init]: ({ args }) => wire.encodeInit(args),
  [FUSE.forget]: ({ node, args }, server) => {
    server.forget(node, Number(args.readBigUInt64LE(0)));
    return undefined;
  },
  [FUSE.batchForget]: ({ args }, server) => {
    const count = args.readUInt32LE(0);
    for (let at = 8; at < 8 + count * 16; at += 16) {
      server.forget(Number(args.readBigUInt64LE(at)), Number(args.readBigUInt64LE(at + 8)));
    }
    return undefined;
  },
  [FUSE.interrupt]: ({ args }, server) => {
    server.interrupt(args.readBigUInt64LE(0));
    return undefined;
  },
  [FUSE.statfs]: () => wire.encodeStatfs(),
  [FUSE.release]: () => EMPTY,
  [FUSE.releasedir]: () => EMPTY,
  [FUSE.destroy]: () => EMPTY,
  [FUSE.create]: () => -HOST_ERRNO.EACCES,
  ...Object.fromEntries(
    CHANGES.map((op): [number, Operation] => [op, (asked, server) => server.refuseChange(asked)]),
  ),
  [FUSE.ioctl]: () => -HOST_ERRNO.ENOTTY,
  [FUSE.getxattr]: () => -HOST_ERRNO.ENODATA,
  // Asked for the size alone, the answer is the size: none.
  [FUSE.listxattr]: ({ args }) => (args.readUInt32LE(0) === 0 ? Buffer.alloc(8) : EMPTY),
};

function readDirectory(vfs: Vfs, { args }: Request, path: string, node: Node): Reply {
  if (node.kind !== 'dir') return -HOST_ERRNO.ENOTDIR;
  const entries: wire.DirectoryEntry[] = ['.', '..'].map((name) => ({
    name,
    inode: inodeOf(path),
    mode: 0o040000,
  }));
  for (const [name, child] of node.entries()) {
    const at = join(path, name);
    entries.push({ name, inode: inodeOf(at), mode: statOfNode(vfs, child, at).mode });
  }
  return wire.encodeDirectory(entries, Number(args.readBigUInt64LE(8)), args.readUInt32LE(16));
}
