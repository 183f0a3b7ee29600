/**
 * Trapped calls that name a path: open, stat, access, readlink, chdir and their kin, answered from the simulated tree.
 *
 * A path outside the tree goes on to the kernel untouched. A path the kernel would resolve wrongly (through a simulated
 * link, or relative to a shadow directory) is done here in the program's name.
 */
import { accessSync, constants, statSync, lstatSync, readlinkSync, statfsSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { isErrno } from '../../base/errno.ts';
import type { DeviceNode } from '../../machine/files/nodes.ts';
import type { AttrNode } from '../../machine/files/nodes.ts';
import { mayAccess, R_OK, W_OK } from '../tree/access.ts';
import type { CallContext } from './call-context.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, NR } from '../sys/libc.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import type { Opened, Entry } from '../process/open-files.ts';
import { join, walkPath } from '../tree/path-walk.ts';
import type { Place } from '../tree/path-walk.ts';
import type { DecodePath, PathCall } from './path-calls.ts';
import { AT_FDCWD } from '../sys/numbers.ts';
import { ProcFiles } from './proc-files.ts';
import type { HostTask } from '../process/processes.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import { encodeStat, encodeStatfs, encodeStatx, statOfFile, statOfNode } from '../tree/stat.ts';
import type { NodeStat } from '../tree/stat.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';

export class PathTraps {
  readonly #context: CallContext;
  readonly #tree: TreeBackend;
  /** Which node a device file was opened from, for fstat. */
  readonly #openedFrom = new WeakMap<object, DeviceNode>();

  readonly #procFiles: ProcFiles;

  constructor(context: CallContext, tree: TreeBackend) {
    this.#context = context;
    this.#procFiles = new ProcFiles(context);
    this.#tree = tree;
  }

  /** Every call with a path but for getcwd; nothing is built for one whose path the kernel resolves rightly. */
  answer(call: Notification, decode: DecodePath): Answer {
    const mem = new RemoteMemory(call.tid);
    const what = decode(call, mem);
    if (typeof what === 'number') return what;
    const path = mem.readString(what.pathAt);
    if (path === undefined) return -HOST_ERRNO.EFAULT;
    if (typeof path !== 'string') return -HOST_ERRNO.ENAMETOOLONG;
    if (path === '') return this.#emptyPath(call, what);
    const given = what.kind === 'open' ? this.#procFiles.open(call, path, what.flags) : undefined;
    return given ?? this.#throughDescriptor(call, what, path) ?? this.#answerPath(call, what, path);
  }

  #answerPath(call: Notification, what: PathCall, path: string): Answer {
    const place = this.#locate(call, what, path);
    if (place === 'continue') return 'continue';
    if (this.#tree.native && !neededInMount(what, place, path)) return 'continue';
    if (place.kind === 'error') return -place.errno;
    const task = this.#context.processes.task(call);
    if (place.kind === 'host') return this.#onHost(call, task, what, place.path);
    return this.#onNode(call, task, what, place);
  }

  /** Where a path leads; 'continue' when the kernel gets there by itself. */
  #locate(call: Notification, what: PathCall, path: string): Place | 'continue' {
    if (path.startsWith('/')) return this.#locateAbsolute(call, what, path);
    const base = this.#base(call, what.dirFd);
    if (base === undefined) return 'continue';
    const virtual = this.#tree.virtualPath(base);
    const from = virtual ?? base;
    const absolute = path === '.' ? from : join(from, path);
    if (virtual === undefined && !this.#tree.concerns(absolute)) return 'continue';
    const place = walkPath(this.#tree.root, absolute, what.follow);
    return virtual === undefined && isDirect(place) ? 'continue' : place;
  }
  #locateAbsolute(call: Notification, what: PathCall, path: string): Place | 'continue' {
    const virtual = this.#tree.virtualPath(path);
    if (virtual !== undefined) return walkPath(this.#tree.root, virtual, what.follow);
    if (!this.#tree.concerns(path)) return this.#descriptorLink(call, what, path);
    const place = walkPath(this.#tree.root, path, what.follow);
    return isDirect(place) ? 'continue' : place;
  }

  /** readlink(/proc/self/fd/N) of a file of ours must not show what it is made of. */
  #descriptorLink(call: Notification, what: PathCall, path: string): Place | 'continue' {
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

  #onNode(call: Notification, task: HostTask, what: PathCall, place: NodePlace): Answer {
    const { node, path } = place;
    switch (what.kind) {
      case 'open':
        return this.#open(call, task, what, place);
      case 'stat':
        return this.#answerStat(task, what, statOfNode(node, path));
      case 'access':
        return mayAccess(node, what.mode) ? 0 : -HOST_ERRNO.EACCES;
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

  #open(call: Notification, task: HostTask, what: PathCall, place: NodePlace): Answer {
    const { node, path } = place;
    const { flags } = what;
    const access = flags & libc.O_ACCMODE;
    if ((flags & libc.O_CREAT) !== 0 && (flags & libc.O_EXCL) !== 0) return -HOST_ERRNO.EEXIST;
    if ((flags & libc.O_PATH) !== 0) return this.#openPath(call, flags, place);
    if (node.kind === 'dir') {
      if (access !== 0 || (flags & libc.O_CREAT) !== 0) return -HOST_ERRNO.EISDIR;
      return this.#giveHostFile(call, this.#tree.directory(path, node), flags);
    }
    if ((flags & libc.O_DIRECTORY) !== 0) return -HOST_ERRNO.ENOTDIR;
    if (node.kind === 'link') return -HOST_ERRNO.ELOOP;
    if (node.kind === 'attr') return this.#openAttr(call, task, { path, node, flags });
    return this.#openDevice(call, task, { path, node, flags });
  }
  #openDevice(
    call: Notification,
    task: HostTask,
    device: { path: string; node: DeviceNode; flags: number },
  ): Answer {
    const { path, node, flags } = device;
    const access = flags & libc.O_ACCMODE;
    const file = this.#context.machine.syscalls.open(task, node, path, {
      read: access !== libc.O_WRONLY,
      write: access !== 0,
      nonblocking: (flags & libc.O_NONBLOCK) !== 0,
    });
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
    if ((what.flags & libc.O_PATH) !== 0) return undefined;
    return this.#openAgain(call, task, what, entry);
  }
  /** The node is opened anew, and an anonymous file has none. */
  #openAgain(call: Notification, task: HostTask, { flags }: PathCall, entry: Entry): Answer {
    if (entry.kind === 'attr') {
      return this.#openAttr(call, task, { path: entry.path, node: entry.node, flags });
    }
    const node = this.#openedFrom.get(entry.file);
    if (!node) return -HOST_ERRNO.ENXIO;
    return this.#openDevice(call, task, { path: entry.file.name, node, flags });
  }

  #openAttr(
    call: Notification,
    task: HostTask,
    attr: { path: string; node: AttrNode; flags: number },
  ): Answer {
    const { path, node, flags } = attr;
    const access = flags & libc.O_ACCMODE;
    const wanted = (access !== libc.O_WRONLY ? R_OK : 0) | (access !== 0 ? W_OK : 0);
    if (!mayAccess(node, wanted)) return -HOST_ERRNO.EACCES;
    if (access === libc.O_WRONLY) {
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
    return this.#giveHostFile(call, host, flags & ~(libc.O_PATH | libc.O_ACCMODE));
  }

  #give(call: Notification, opened: Opened<Entry> | number, flags: number): Answer {
    if (typeof opened === 'number') return opened;
    const cloexec = (flags & libc.O_CLOEXEC) !== 0;
    const fd = this.#context.transport.addFd(call, opened.fd, { cloexec });
    libc.close(opened.fd);
    return fd;
  }

  #giveHostFile(call: Notification, path: string, flags: number, mode = 0): Answer {
    const fd = libc.open(path, flags | libc.O_CLOEXEC, mode);
    if (fd < 0) return fd;
    const cloexec = (flags & libc.O_CLOEXEC) !== 0;
    const given = this.#context.transport.addFd(call, fd, { cloexec });
    libc.close(fd);
    return given;
  }

  /** A directory is made current by the thread itself: we open it, and it runs fchdir. */
  #chdir(call: Notification, place: NodePlace): Answer {
    if (place.node.kind !== 'dir') return -HOST_ERRNO.ENOTDIR;
    return this.#chdirTo(call, this.#tree.directory(place.path, place.node));
  }
  #chdirTo(call: Notification, path: string): Answer {
    const fd = libc.open(path, libc.O_DIRECTORY | libc.O_CLOEXEC);
    if (fd < 0) return fd;
    const theirs = this.#context.transport.addFd(call, fd, { cloexec: true });
    libc.close(fd);
    if (theirs < 0) return theirs;
    const thread = this.#context.inject(call);
    if (typeof thread === 'number') {
      this.#context.warn('a traced program cannot be moved into a simulated directory');
      return thread;
    }
    const result = thread.run(NR.fchdir, theirs);
    thread.run(NR.close, theirs);
    return result;
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
    const place = walkPath(this.#tree.root, virtual, false);
    return place.kind === 'node'
      ? this.#answerStat(task, to, statOfNode(place.node, place.path))
      : 'continue';
  }

  #statOf(entry: Entry): NodeStat {
    if (entry.kind === 'attr') return statOfNode(entry.node, entry.path);
    return statOfFile(entry.file, this.#openedFrom.get(entry.file));
  }
  #answerStat(task: HostTask, to: StatTarget, stat: NodeStat): Answer {
    const bytes = to.extended ? encodeStatx(stat) : encodeStat(stat);
    return task.mem.write(to.outAt, bytes) ? -HOST_ERRNO.EFAULT : 0;
  }

  /** A file of the host that only we can name rightly. */
  #onHost(call: Notification, task: HostTask, what: PathCall, path: string): Answer {
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
function neededInMount(what: PathCall, place: Place, path: string): boolean {
  if (place.kind !== 'node') return false;
  if (what.kind === 'readlink') return path.startsWith('/proc/');
  if (what.kind === 'statfs') return true;
  return what.kind === 'open' && place.node.kind === 'device' && (what.flags & libc.O_PATH) === 0;
}

/** The kernel gets there by itself. */
function isDirect(place: Place): boolean {
  return place.kind === 'host' && place.direct;
}

type NodePlace = Extract<Place, { kind: 'node' }>;

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

function nameOf(entry: Entry): string {
  return entry.kind === 'file' ? entry.file.name : entry.path;
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
