/**
 * Trapped calls that name a path: open, stat, access, readlink, chdir and their kin, answered from the simulated tree.
 *
 * A path outside the tree goes on to the kernel untouched. A path the kernel would resolve wrongly (through a simulated
 * link, or relative to a shadow directory) is done here in the program's name.
 */
import {
  accessSync,
  constants,
  statSync,
  lstatSync,
  readlinkSync,
  statfsSync,
  type BigIntStats,
} from 'node:fs';
import { isErrno, type Result } from '../../base/errno.ts';
import type { AttrNode, DeviceNode, Node } from '../../machine/files/nodes.ts';
import { KERNEL, MAY_EXEC } from '../../machine/files/rights.ts';
import { join, type NodePlace, type Place } from '../../machine/files/vfs.ts';
import { openHow } from '../tree/open-flags.ts';
import type { CallContext } from './call-context.ts';
import * as libc from '../sys/libc.ts';
import { ours, type Handled } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import type { Opened, OpenEntry } from '../process/open-files.ts';
import { isCreating, type DecodePath, type PathCall } from './path-calls.ts';
import {
  AT_FDCWD,
  HOST_ERRNO,
  NR,
  O_ACCMODE,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
} from '../sys/numbers.ts';
import { SimulatedProc } from './simulated-proc.ts';
import type { Ids } from '../process/credentials.ts';
import type { HostTask } from '../process/task.ts';
import { RemoteMemory, type NoPath } from '../process/remote-memory.ts';
import {
  encodeStat,
  encodeStatfs,
  encodeStatx,
  statOfFile,
  statOfNode,
  type NodeStat,
} from '../tree/stat.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';

/** Calls that name a path. */
export class PathTraps {
  readonly #context: CallContext;
  readonly #tree: TreeBackend;
  /** Which node a device file was opened from, for fstat. */
  readonly #openedFrom = new WeakMap<object, DeviceNode>();

  readonly #proc: SimulatedProc;

  constructor(context: CallContext, tree: TreeBackend) {
    this.#context = context;
    this.#proc = new SimulatedProc(context);
    this.#tree = tree;
  }

  /** Every call with a path but for getcwd; nothing is built for one whose path the kernel resolves rightly. */
  answer(call: Notification, decode: DecodePath): Handled {
    const mem = new RemoteMemory(call.tid);
    const what = decode(call, mem);
    if (typeof what === 'number') return what;
    const path = mem.readString(what.pathAt);
    if (typeof path !== 'string') return this.#noPath(call, path);
    if (path === '') return this.#emptyPath(call, what);
    const given = what.kind === 'open' ? this.#proc.open(call, path, what.flags) : undefined;
    return given ?? this.#throughDescriptor(call, what, path) ?? this.#answerPath(call, what, path);
  }

  #noPath(call: Notification, { no }: NoPath): Answer {
    if (no === 'end') return -HOST_ERRNO.ENAMETOOLONG;
    if (no === 'memory') return -HOST_ERRNO.EFAULT;
    this.#context.processes.mayNotLook(call.tid);
    return 'continue';
  }

  #answerPath(call: Notification, what: PathCall, path: string): Handled {
    const place = this.#locate(call, what, path);
    if (place === 'continue') return 'continue';
    if (this.#tree.native && !neededInMount(what, place, path)) return 'continue';
    if (isErrno(place)) return -place.number;
    const task = this.#context.processes.task(call);
    if (place.kind === 'host') return this.#onHost(call, task, what, place.path);
    return this.#onNode(call, task, what, place);
  }

  /** Where a path leads; 'continue' when the kernel gets there by itself. */
  #locate(call: Notification, what: PathCall, path: string): Result<Place> | 'continue' {
    if (path.startsWith('/')) return this.#locateAbsolute(call, what, path);
    const base = this.#base(call, what.dirFd);
    if (base === undefined) return 'continue';
    const virtual = this.#tree.virtualPath(base);
    const from = virtual ?? base;
    const absolute = path === '.' ? from : join(from, path);
    if (virtual === undefined && !this.#tree.concerns(absolute)) return 'continue';
    const place = this.#resolve(call, what, absolute);
    return virtual === undefined && isDirect(place) ? 'continue' : place;
  }
  #locateAbsolute(call: Notification, what: PathCall, path: string): Result<Place> | 'continue' {
    const virtual = this.#tree.virtualPath(path);
    if (virtual !== undefined) return this.#resolve(call, what, virtual);
    if (!this.#tree.concerns(path)) return this.#descriptorLink(call, what, path);
    const place = this.#resolve(call, what, path);
    return isDirect(place) ? 'continue' : place;
  }

  #resolve(call: Notification, what: PathCall, path: string): Result<Place> {
    const { machine, processes } = this.#context;
    return machine.vfs.resolve(path, {
      cred: processes.cred(call.tid, idsOf(what)),
      follow: what.follow,
      create: what.kind === 'open' && isCreating(what.flags),
    });
  }

  /** readlink(/proc/self/fd/N) of a file of ours must not show what it is made of. */
  #descriptorLink(call: Notification, what: PathCall, path: string): Result<Place> | 'continue' {
    if (what.kind !== 'readlink' || !path.startsWith('/proc/')) return 'continue';
    const pid = this.#context.processes.processOf(call.tid);
    const real = path.replace(/^\/proc\/(thread-)?self\//, `/proc/${pid}/`);
    const link = libc.readlink(real);
    if (typeof link === 'number') return 'continue';
    const entry = this.#context.files.byLink(link);
    const shown = entry ? nameOf(entry) : this.#tree.virtualPath(link);
    if (shown === undefined) return 'continue';
    return { kind: 'node', path, node: { kind: 'link', target: () => shown } };
  }

  #base(call: Notification, dirFd: number): string | undefined {
    const where = dirFd === AT_FDCWD ? 'cwd' : `fd/${dirFd}`;
    const base = libc.readlink(`/proc/${call.tid}/${where}`);
    return typeof base === 'number' ? undefined : base;
  }

  #onNode(call: Notification, task: HostTask, what: PathCall, place: NodePlace): Handled {
    const { node, path } = place;
    switch (what.kind) {
      case 'open':
        return this.#open(call, task, what, place);
      case 'stat':
        return this.#answerStat(task, what, statOfNode(this.#context.machine.vfs, node, path));
      case 'access':
        return this.#access(call, what, node);
      case 'readlink':
        if (node.kind !== 'link') return -HOST_ERRNO.EINVAL;
        return answerText(task, what, node.target());
      case 'chdir':
        return this.#chdir(call, place);
      case 'statfs':
        return task.mem.write(what.outAt, encodeStatfs(path)) ? -HOST_ERRNO.EFAULT : 0;
      case 'getxattr':
        return -HOST_ERRNO.ENODATA;
      case 'listxattr':
        return 0;
    }
  }

  #access(call: Notification, what: PathCall, node: Node): Answer {
    const { machine, processes } = this.#context;
    const rc = machine.vfs.mayAccess(node, processes.cred(call.tid, idsOf(what)), what.mode);
    return rc ? -rc.number : 0;
  }

  #open(call: Notification, task: HostTask, { flags }: PathCall, place: NodePlace): Answer {
    const { vfs } = this.#context.machine;
    if ((flags & O_PATH) !== 0) {
      const rc = vfs.openPath(place, (flags & O_DIRECTORY) !== 0);
      return rc ? -rc.number : this.#openPath(call, flags, place);
    }
    const opened = vfs.open(place, openHow(flags), task.cred);
    if (isErrno(opened)) return -opened.number;
    const { node, path } = opened;
    if (node.kind === 'dir') {
      return this.#giveHostFile(call, this.#tree.directory(path, node), flags);
    }
    if (node.kind === 'attr') return this.#openAttr(call, task, { path, node, flags });
    return this.#openDevice(call, task, { path, node, flags });
  }
  #openDevice(
    call: Notification,
    task: HostTask,
    device: { path: string; node: DeviceNode; flags: number },
  ): Answer {
    const { path, node, flags } = device;
    const { read, write } = openHow(flags);
    const nonblocking = (flags & O_NONBLOCK) !== 0;
    const modes = { read, write, nonblocking };
    const file = this.#context.machine.syscalls.open(task, node, path, modes);
    if (isErrno(file)) return -file.number;
    this.#openedFrom.set(file, node);
    return this.#give(call, this.#context.files.create(file), flags);
  }

  /** Opened or looked at by the name of a descriptor. Undefined: not of ours. */
  #throughDescriptor(call: Notification, what: PathCall, path: string): Answer | undefined {
    if (!what.follow || (what.kind !== 'open' && what.kind !== 'stat')) return undefined;
    const { processes } = this.#context;
    const name = descriptorNamed(path, () => processes.processOf(call.tid));
    const link = name === undefined ? -1 : libc.readlink(name);
    const entry = typeof link === 'string' ? this.#context.files.byLink(link) : undefined;
    if (!entry) return undefined;
    const task = processes.task(call);
    if (what.kind === 'stat') return this.#answerStat(task, what, this.#statOf(entry));
    if ((what.flags & O_PATH) !== 0) return undefined;
    return this.#openAgain(call, task, what, entry);
  }
  /** The node is opened anew, and an anonymous file has none. */
  #openAgain(call: Notification, task: HostTask, what: PathCall, entry: OpenEntry): Answer {
    const node = entry.kind === 'attr' ? entry.node : this.#openedFrom.get(entry.file);
    if (!node) return -HOST_ERRNO.ENXIO;
    return this.#open(call, task, what, { kind: 'node', node, path: nameOf(entry) });
  }

  #openAttr(
    call: Notification,
    task: HostTask,
    attr: { path: string; node: AttrNode; flags: number },
  ): Answer {
    const { path, node, flags } = attr;
    if ((flags & O_ACCMODE) === O_WRONLY) {
      return this.#give(call, this.#context.files.createAttr(attr, new Uint8Array(0)), flags);
    }
    const text = this.#context.machine.syscalls.readAttr(task, path, node);
    if (isErrno(text)) return -text.number;
    return this.#give(call, this.#context.files.createAttr(attr, text), flags);
  }

  #openPath(call: Notification, flags: number, place: NodePlace): Answer {
    const { node, path } = place;
    const host = node.kind === 'dir' ? this.#tree.directory(path, node) : this.#tree.place(path);
    // The kernel hands over no O_PATH descriptors; a read-only one of the empty stand-in does the same.
    return this.#giveHostFile(call, host, flags & ~(O_PATH | O_ACCMODE));
  }

  #give(call: Notification, opened: Opened<OpenEntry> | number, flags: number): Answer {
    if (typeof opened === 'number') return opened;
    const cloexec = (flags & O_CLOEXEC) !== 0;
    const fd = this.#context.transport.addFd(call, opened.fd, { cloexec });
    libc.close(opened.fd);
    return fd;
  }

  #giveHostFile(call: Notification, path: string, flags: number, mode = 0): Answer {
    const fd = libc.open(path, flags | O_CLOEXEC, mode);
    if (fd < 0) return fd;
    const cloexec = (flags & O_CLOEXEC) !== 0;
    const given = this.#context.transport.addFd(call, fd, { cloexec });
    libc.close(fd);
    return given;
  }

  /** A directory is made current by the thread itself: we open it, and it runs fchdir. */
  #chdir(call: Notification, place: NodePlace): Handled {
    if (place.node.kind !== 'dir') return -HOST_ERRNO.ENOTDIR;
    const { machine, processes } = this.#context;
    const rc = machine.vfs.mayAccess(place.node, processes.cred(call.tid, 'fs'), MAY_EXEC);
    if (rc) return -rc.number;
    return this.#chdirTo(call, this.#tree.directory(place.path, place.node));
  }
  #chdirTo(call: Notification, path: string): Handled {
    const fd = libc.open(path, O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fd;
    const theirs = this.#context.transport.addFd(call, fd, { cloexec: true });
    libc.close(fd);
    if (theirs < 0) return theirs;
    return {
      *run() {
        const result = yield* ours(NR.fchdir, theirs);
        yield* ours(NR.close, theirs);
        return result;
      },
      otherwise: (errno) => {
        this.#context.warn('a traced program cannot be moved into a simulated directory');
        return errno;
      },
    };
  }

  getcwd(call: Notification): Answer {
    const cwd = libc.readlink(`/proc/${call.tid}/cwd`);
    const virtual = typeof cwd === 'string' ? this.#tree.virtualPath(cwd) : undefined;
    if (virtual === undefined) return 'continue';
    const bytes = Buffer.from(`${virtual}\0`);
    if (Number(call.arg(1)) < bytes.length) return -HOST_ERRNO.ERANGE;
    const { mem } = this.#context.processes.task(call);
    return mem.write(call.arg(0), bytes) ? -HOST_ERRNO.EFAULT : bytes.length;
  }

  /** AT_EMPTY_PATH: the descriptor itself is meant. */
  #emptyPath(call: Notification, what: PathCall): Answer {
    if (what.kind !== 'stat' || !what.emptyPath) return 'continue';
    return this.#fstatTo(call, what.dirFd, what);
  }
  fstat(call: Notification): Answer {
    return this.#fstatTo(call, call.int(0), { extended: false, outAt: call.arg(1) });
  }
  #fstatTo(call: Notification, fd: number, to: StatTarget): Answer {
    const link = fd < 0 ? -1 : libc.readlink(`/proc/${call.tid}/fd/${fd}`);
    if (typeof link === 'number') return 'continue';
    const task = this.#context.processes.task(call);
    const entry = this.#context.files.byLink(link);
    if (entry) return this.#answerStat(task, to, this.#statOf(entry));
    const virtual = this.#tree.native ? undefined : this.#tree.virtualPath(link);
    if (virtual === undefined) return 'continue';
    const { vfs } = this.#context.machine;
    const place = vfs.resolve(virtual, { cred: KERNEL, follow: false });
    if (isErrno(place) || place.kind === 'host') return 'continue';
    return this.#answerStat(task, to, statOfNode(vfs, place.node, place.path));
  }

  #statOf(entry: OpenEntry): NodeStat {
    const { vfs } = this.#context.machine;
    if (entry.kind === 'attr') return statOfNode(vfs, entry.node, entry.path);
    return statOfFile(vfs, entry.file, this.#openedFrom.get(entry.file));
  }
  #answerStat(task: HostTask, to: StatTarget, stat: NodeStat): Answer {
    const bytes = to.extended ? encodeStatx(stat) : encodeStat(stat);
    return task.mem.write(to.outAt, bytes) ? -HOST_ERRNO.EFAULT : 0;
  }

  /** A file of the host that only we can name rightly. */
  #onHost(call: Notification, task: HostTask, what: PathCall, path: string): Handled {
    if (what.kind === 'open') return this.#giveHostFile(call, path, what.flags, what.mode);
    if (what.kind === 'chdir') return this.#chdirTo(call, path);
    try {
      return this.#lookOnHost(task, what, path);
    } catch (error) {
      // cast: node:fs throws nothing else
      const { errno } = error as NodeJS.ErrnoException;
      return errno ?? -HOST_ERRNO.EIO;
    }
  }
  #lookOnHost(task: HostTask, what: PathCall, path: string): Answer {
    switch (what.kind) {
      case 'stat': {
        const stat = (what.follow ? statSync : lstatSync)(path, { bigint: true });
        return this.#answerStat(task, what, statOfHost(stat));
      }
      case 'access':
        accessSync(path, what.mode & (constants.R_OK | constants.W_OK | constants.X_OK));
        return 0;
      case 'readlink':
        return answerText(task, what, readlinkSync(path));
      case 'statfs':
        statfsSync(path);
        return task.mem.write(what.outAt, encodeStatfs(path)) ? -HOST_ERRNO.EFAULT : 0;
      default:
        return what.kind === 'listxattr' ? 0 : -HOST_ERRNO.ENODATA;
    }
  }
}

/** With the tree mounted, what the kernel would do wrong: open device nodes, name our descriptors, take FUSE for sysfs. */
function neededInMount(what: PathCall, place: Result<Place>, path: string): boolean {
  if (isErrno(place) || place.kind === 'host') return false;
  if (what.kind === 'readlink') return path.startsWith('/proc/');
  if (what.kind === 'statfs') return true;
  return what.kind === 'open' && place.node.kind === 'device' && (what.flags & O_PATH) === 0;
}

/** The kernel gets there by itself. */
function isDirect(place: Result<Place>): boolean {
  return !isErrno(place) && place.kind === 'host' && place.direct;
}

/** The link in /proc that a path is, when it names a descriptor. */
function descriptorNamed(path: string, pid: () => number): string | undefined {
  const standard = STANDARD[path];
  if (standard !== undefined) return `/proc/${pid()}/fd/${standard}`;
  const found = /^(?:\/proc\/(self|thread-self|\d+)(?:\/task\/\d+)?|\/dev)\/fd\/(\d+)$/.exec(path);
  if (!found) return undefined;
  const owner = /^\d+$/.test(found[1] ?? '') ? found[1]! : pid();
  return `/proc/${owner}/fd/${found[2]!}`;
}
const STANDARD: Readonly<Record<string, number>> = {
  '/dev/stdin': 0,
  '/dev/stdout': 1,
  '/dev/stderr': 2,
};

interface StatTarget {
  readonly extended: boolean;
  readonly outAt: bigint;
}

function nameOf(entry: OpenEntry): string {
  return entry.kind === 'file' ? entry.file.name : entry.path;
}

/** access(2) asks for the real ids, on the way there too; all else for those of the file system. */
function idsOf({ kind, effective }: PathCall): Ids {
  return kind === 'access' && !effective ? 'real' : 'fs';
}

function answerText(task: HostTask, what: PathCall, text: string): Answer {
  if (what.outLength <= 0) return -HOST_ERRNO.EINVAL;
  const bytes = Buffer.from(text).subarray(0, what.outLength);
  return task.mem.write(what.outAt, bytes) ? -HOST_ERRNO.EFAULT : bytes.length;
}

function statOfHost(stat: BigIntStats): NodeStat {
  return {
    mode: Number(stat.mode),
    size: Number(stat.size),
    inode: Number(stat.ino & 0xffffffffn),
    major: Number((stat.rdev >> 8n) & 0xfffn),
    minor: Number(stat.rdev & 0xffn),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
  };
}
