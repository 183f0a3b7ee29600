/**
 * Trapped calls that name a path: open, stat, access, readlink, chdir, those that make, move and change, and their kin.
 *
 * A path outside the tree goes on to the kernel untouched. One that leads out of the tree by a way only we know is a call
 * of the caller's own, with the path it means (rewritten.ts). What is in the tree is answered from it.
 */
import { isErrno, type Errno } from '../../base/errno.ts';
import { isOpenable, type AttrNode, type OpenableNode } from '../../machine/files/nodes.ts';
import { MAY_EXEC, type Cred } from '../../machine/files/rights.ts';
import type { NodePlace, Place } from '../../machine/files/vfs.ts';
import { openHow } from '../tree/open-flags.ts';
import { minus, type CallContext } from './call-context.ts';
import { handOver } from '../seccomp/hand-over.ts';
import { handOverFile } from './hand-over.ts';
import * as libc from '../sys/libc.ts';
import { openFlagsOf, type DescriptorLink } from '../sys/look.ts';
import { isTraced, nameOf as nameOfProcess, tracerOf } from '../sys/procfs.ts';
import { ours, type Handled } from '../seccomp/in-thread.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { nameOf, type Opened, type OpenEntry } from '../process/open-files.ts';
import { acrossTrees, CHANGES, targetOf, temporaryFile, type Target } from './node-changes.ts';
import {
  isPlain,
  isTemporary,
  NO_PATH,
  type ChangeKind,
  type DecodePath,
  type PathCall,
} from './path-calls.ts';
import { isInTree, PathLookup, type Found } from './path-lookup.ts';
import { descriptorNamed } from './proc-paths.ts';
import type { Led } from './host-links.ts';
import { listed, relabelled } from './listing.ts';
import { answerText, idsOf, isMaking, mayBeNone, pathIn } from './path-questions.ts';
import { rewritten } from './rewritten.ts';
import {
  AT_FDCWD,
  HOST_ERRNO,
  NR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
} from '../sys/numbers.ts';
import { SimulatedProc } from './simulated-proc.ts';
import { StandIns } from './stand-ins.ts';
import { StatAnswers, type StatTarget } from './stat-answers.ts';
import { ownerFrom } from '../process/user-ids.ts';
import type { Views } from '../process/view.ts';
import type { HostTask } from '../process/task.ts';
import { RemoteMemory, type NoPath } from '../process/remote-memory.ts';
import { encodeStatfs } from '../tree/stat.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';

/** Calls that name a path. */
export class PathTraps {
  readonly #context: CallContext;
  readonly #tree: TreeBackend;
  readonly #lookup: PathLookup;
  readonly #standIns: StandIns;
  /** Which node a file of ours was opened from, for fstat. */
  readonly #openedFrom = new WeakMap<object, OpenableNode>();
  readonly #proc: SimulatedProc;
  readonly #stats: StatAnswers;

  constructor(context: CallContext, tree: TreeBackend, views: Views) {
    this.#context = context;
    this.#proc = new SimulatedProc(context, views);
    this.#tree = tree;
    this.#stats = new StatAnswers(context, views, this.#openedFrom);
    this.#lookup = new PathLookup(context, tree, views);
    this.#standIns = new StandIns(context, tree, this.#lookup);
  }

  /** Every call with a path but for getcwd; nothing is built for one whose path the kernel resolves rightly. */
  answer(call: Notification, decode: DecodePath): Handled {
    const mem = new RemoteMemory(call.tid);
    const what = decode(call, mem);
    if (typeof what === 'number') return what === 0 ? 'continue' : what;
    if (what.pathAt === 0n && mayBeNone(what)) return this.#emptyPath(call, what);
    const path = pathIn(mem, what);
    if (typeof path !== 'string') return this.#noPath(call, path);
    if (what.from) return this.#answerTwo(call, { ...what, from: what.from }, path);
    if (path === '') return this.#emptyPath(call, what);
    const led = this.#led(call, what, path);
    if (!led) return this.#answerNamed(call, what, path);
    const to = { ...what, dirFd: AT_FDCWD };
    return this.#lookup.follow(call, [led]) ?? this.#answerNamed(call, to, led.path);
  }
  #answerNamed(call: Notification, what: PathCall, path: string): Handled {
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
    const place = this.#descriptorLink(call, what, path) ?? this.#find(call, what, path);
    if (place === 'continue') return 'continue';
    if (this.#lookup.isMountsOwn(call, what, { place, path })) return 'continue';
    if (typeof place === 'number') return place;
    if (isErrno(place)) return this.#onNothing(call, what, place, path);
    if (place.kind === 'host') return this.#rewritten(call, [{ of: what, path: place.path }]);
    return this.#onNode(call, this.#context.processes.task(call), what, place);
  }
  #find(call: Notification, what: PathCall, path: string): Found {
    return this.#lookup.find(call, what, path, this.#cred(call, what));
  }
  #led(call: Notification, what: PathCall, path: string): Led | undefined {
    if (path === '') return undefined;
    return this.#lookup.lead(call, what, path, this.#cred(call, what));
  }
  #cred({ tid }: Notification, what: PathCall): Cred {
    return this.#context.processes.cred(tid, idsOf(what));
  }
  #rewritten(call: Notification, paths: Parameters<typeof rewritten>[1]): Handled {
    return rewritten(call, paths, (errno) => {
      this.#sayTraced(call, 'gets no further than the simulated tree by a path through it');
      return errno;
    });
  }
  #sayTraced({ tid }: Notification, what: string): void {
    if (!isTraced(tid)) return;
    const way =
      'start the tracer inside the run (softiommu run -- strace -f PROGRAM), or use --mode namespace';
    this.#context.sayOnce(`a program that ${nameOfProcess(tracerOf(tid))} traces ${what}: ${way}`);
  }

  /** What is moved or linked, and its new name. */
  #answerTwo(call: Notification, what: PathCall & { from: PathCall }, path: string): Handled {
    const first = pathIn(new RemoteMemory(call.tid), what.from);
    if (typeof first !== 'string') return this.#noPath(call, first);
    if (what.kind === 'move') this.#lookup.moves();
    if (isNone(what.from, first) || isNone(what, path)) return 'continue';
    const led = [this.#led(call, what.from, first), this.#led(call, what, path)] as const;
    const followed = this.#lookup.follow(call, led);
    if (followed) return followed;
    const from = this.#ofTwo(call, what.from, led[0]?.path ?? first);
    const to = this.#ofTwo(call, what, led[1]?.path ?? path);
    const both = [from, to];
    if (both.some(({ found }) => isInTree(found))) return this.#moveInTree(call, what, from, to);
    const rewrites = both.flatMap(({ of, found }) =>
      typeof found === 'object' && 'kind' in found ? [{ of, path: found.path }] : [],
    );
    return rewrites.length === 0 ? 'continue' : this.#rewritten(call, rewrites);
  }
  #ofTwo(call: Notification, of: PathCall, given: string): OfTwo {
    if (given === '' && of.dirFd !== AT_FDCWD) {
      return { of, path: given, found: this.placeOf(call, of.dirFd) ?? 'continue' };
    }
    const path = given || '.';
    const place = this.#find(call, of, path);
    const isOwn = this.#lookup.isMountsOwn(call, of, { place, path });
    return { of, path, found: isOwn ? 'continue' : place };
  }
  #moveInTree(call: Notification, what: PathCall, from: OfTwo, to: OfTwo): Handled {
    if (isErrno(from.found)) return -from.found.number;
    if (what.kind === 'mount') return this.#mountInTree(call, what, [from, to]);
    if (!isInTree(from.found) || !isInTree(to.found)) return -acrossTrees(to.path).number;
    const making = isErrno(to.found) && what.kind === 'link';
    const at = making ? to : from;
    return this.#change(call, what, targetOf(at.found, this.#wholePath(call, at)));
  }
  #mountInTree(call: Notification, what: PathCall, both: readonly OfTwo[]): Handled {
    const { found } = both.find((each) => isInTree(each.found))!;
    if (isErrno(found)) return -found.number;
    return this.#change(call, what, targetOf(found, ''));
  }
  /** mount(2), chroot(2) and their kin: what a thread sees where is to be looked up from now on. */
  mounts(call: Notification, decode: DecodePath): Handled {
    this.#lookup.mountsChange();
    return this.answer(call, decode);
  }
  #wholePath(call: Notification, { of, path }: OfTwo): string {
    if (path.startsWith('/')) return path;
    const base = this.#lookup.baseOf(call, of.dirFd) ?? '/';
    return `${this.#lookup.virtualOf(call.tid, base) ?? base}/${path}`;
  }

  /** readlink(/proc/self/fd/N) of a file of ours must not show what it is made of. */
  #descriptorLink(call: Notification, what: PathCall, path: string): Place | undefined {
    const name = what.kind === 'readlink' ? this.#proc.linkNamed(call, path) : undefined;
    const link = name === undefined ? -1 : libc.readlink(name);
    if (name === undefined || typeof link === 'number') return undefined;
    const entry = this.#context.files.at(name, link);
    const shown = entry ? nameOf(entry) : this.#tree.virtualPath(link);
    if (shown === undefined || shown === link) return undefined;
    return { kind: 'node', path, node: { kind: 'link', target: () => shown } };
  }

  /** Nothing is there, or may not be found. */
  #onNothing(call: Notification, what: PathCall, errno: Errno, path: string): Handled {
    if (errno.name !== 'ENOENT' || !isMaking(what.kind)) return -errno.number;
    const whole = this.#wholePath(call, { of: what, path, found: errno });
    return this.#change(call, what, { kind: 'nothing', path: whole });
  }
  #onNode(call: Notification, task: HostTask, what: PathCall, place: NodePlace): Handled {
    const { node, path } = place;
    const { vfs } = this.#context.machine;
    switch (what.kind) {
      case 'open':
        return this.#open(call, task, what, place);
      case 'stat':
        return this.#stats.ofNode(task, what, place);
      case 'access':
        return minus(vfs.mayAccess(place, this.#cred(call, what), what.mode));
      case 'readlink':
        if (node.kind === 'link') return answerText(task, what, node.target());
        return -HOST_ERRNO.EINVAL;
      case 'chdir':
        return this.#chdir(call, place);
      case 'statfs':
        return minus(task.mem.write(what.outAt, encodeStatfs(path)));
      case 'getxattr':
        return -HOST_ERRNO.ENODATA;
      case 'listxattr':
        return 0;
      case 'watch':
        return this.#standIns.watch(call, what, place);
      default:
        return this.#change(call, what, place);
    }
  }
  #change(call: Notification, what: PathCall, target: Target): Answer {
    // cast: the other kinds are answered where nodes are
    const change = CHANGES[what.kind as Exclude<ChangeKind, 'watch'>];
    const { vfs } = this.#context.machine;
    const owner = what.owner && ownerFrom(call.tid, what.owner);
    if (what.owner && !owner) return -HOST_ERRNO.EINVAL;
    const rc = change({ vfs, cred: this.#cred(call, what) }, target, {
      ...what,
      ...(owner && { owner }),
    });
    return isErrno(rc) ? -rc.number : (rc ?? 0);
  }

  #open(call: Notification, task: HostTask, { flags }: PathCall, place: NodePlace): Handled {
    const { vfs } = this.#context.machine;
    if ((flags & O_PATH) !== 0) {
      const rc = vfs.openPath(place, (flags & O_DIRECTORY) !== 0);
      return rc ? -rc.number : this.#standIns.openPath(flags, place);
    }
    if (isTemporary(flags)) return minus(temporaryFile({ vfs, cred: task.cred }, place));
    const open = () => vfs.open(place, openHow(flags), task.cred);
    const opened = open();
    if (isErrno(opened)) return -this.#lookup.openRefused(call, place.path, opened, open).number;
    const { node, path } = opened;
    if (node.kind === 'dir') return this.#standIns.openDirectory(call, flags, { path, node });
    if (!isOpenable(node)) return this.#openAttr(call, task, { path, node, flags });
    return this.#openFile(call, task, { path, node, flags });
  }
  #openFile(
    call: Notification,
    task: HostTask,
    device: { path: string; node: OpenableNode; flags: number },
  ): Answer {
    const { path, node, flags } = device;
    const modes = { ...openHow(flags), nonblocking: (flags & O_NONBLOCK) !== 0 };
    const { syscalls } = this.#context.machine;
    const given = syscalls.open(task, node, { path, flags: modes }, (file) => {
      this.#openedFrom.set(file, node);
      return handOverFile(this.#context, call, file, flags);
    });
    return isErrno(given) ? -given.number : given;
  }

  /** Opened or looked at by the name of a descriptor. Undefined: not of ours. */
  #throughDescriptor(call: Notification, what: PathCall, path: string): Handled | undefined {
    // The kernel refuses such a link before it comes to what is behind.
    if (!what.follow || isPlain(what) || !['open', 'stat'].includes(what.kind)) return undefined;
    const { processes } = this.#context;
    const name = descriptorNamed(path, call.tid, processes);
    const entry = name === undefined ? undefined : this.#context.files.at(name);
    if (!entry) return undefined;
    const task = processes.task(call);
    if (what.kind === 'stat') return this.#stats.ofOpen(task, what, entry);
    if ((what.flags & O_PATH) !== 0) return undefined;
    return this.#openAgain(call, task, what, entry);
  }
  /** The node is opened anew, and an anonymous file has none. */
  #openAgain(call: Notification, task: HostTask, what: PathCall, entry: OpenEntry): Handled {
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
    if (!openHow(flags).read) {
      return this.#give(call, this.#context.files.createAttr(attr, new Uint8Array(0)), flags);
    }
    const text = this.#context.machine.syscalls.readAttr(task, path, node);
    if (isErrno(text)) return -text.number;
    return this.#give(call, this.#context.files.createAttr(attr, text), flags);
  }

  #give(call: Notification, opened: Opened<OpenEntry> | number, flags: number): Answer {
    if (typeof opened === 'number') return opened;
    return handOver(this.#context.transport, call, opened.fd, (flags & O_CLOEXEC) !== 0);
  }

  #chdir(call: Notification, place: NodePlace): Handled {
    const { node, path } = place;
    if (node.kind !== 'dir') return -HOST_ERRNO.ENOTDIR;
    const { machine, processes } = this.#context;
    const rc = machine.vfs.mayAccess(place, processes.cred(call.tid, 'fs'), MAY_EXEC);
    if (rc) return -rc.number;
    const directory = this.#standIns.directory({ path, node });
    return {
      hands: [directory],
      *run() {
        return directory.fd < 0 ? directory.fd : yield* ours(NR.fchdir, directory.fd);
      },
      otherwise: (errno) => {
        this.#sayTraced(call, 'cannot be moved into a simulated directory');
        return errno;
      },
    };
  }

  getcwd(call: Notification): Answer {
    const cwd = libc.readlink(`/proc/${call.tid}/cwd`);
    if (typeof cwd !== 'string' || this.#tree.isMounted(cwd)) return 'continue';
    const virtual = this.#tree.virtualPath(cwd);
    if (virtual === undefined) return 'continue';
    const bytes = Buffer.from(`${virtual}\0`);
    if (Number(call.arg(1)) < bytes.length) return -HOST_ERRNO.ERANGE;
    const { mem } = this.#context.processes.task(call);
    return mem.write(call.arg(0), bytes) ? -HOST_ERRNO.EFAULT : bytes.length;
  }

  /** getdents(2). With mounts the kernel reads by itself what is in them. */
  getdents(call: Notification): Handled {
    const { tid } = call;
    const link = this.#context.processes.descriptorLink(tid, call.int(0));
    if (typeof link === 'number') return 'continue';
    const path = this.#tree.isMounted(link) ? undefined : this.#lookup.virtualOf(tid, link);
    const directory = path === undefined ? undefined : this.#lookup.directoryAt(path);
    if (!directory) return 'continue';
    const read = this.#tree.isHosts(directory.path) ? listed : relabelled;
    return { run: () => read(call, directory), otherwise: () => 'continue' };
  }

  /** The descriptor itself is meant (AT_EMPTY_PATH). */
  #emptyPath(call: Notification, what: PathCall): Handled {
    const { kind, dirFd } = what;
    if (!mayBeNone(what)) return 'continue';
    if (dirFd === AT_FDCWD && kind !== 'touch') return this.#answerNamed(call, what, '.');
    if (dirFd < 0) return 'continue';
    if (kind === 'stat') return this.#fstatTo(call, dirFd, what);
    const place = this.placeOf(call, dirFd);
    if (!place) return 'continue';
    if (kind === 'readlink' && place.node.kind !== 'link') return -HOST_ERRNO.ENOENT;
    return this.#onNode(call, this.#context.processes.task(call), what, place);
  }
  /** What a descriptor names in the tree: not an anonymous file of ours. */
  placeOf(call: Notification, fd: number): NodePlace | undefined {
    const link = this.#lookup.baseOf(call, fd);
    if (link === undefined || this.#tree.isMounted(link)) return undefined;
    const entry = this.#context.files.at(`/proc/${call.tid}/fd/${fd}`, link);
    if (!entry) return this.#lookup.placeOf(call.tid, link);
    const node = entry.kind === 'attr' ? entry.node : this.#openedFrom.get(entry.file);
    return node && { kind: 'node', node, path: nameOf(entry) };
  }
  /** fchmod(2), fchown(2), and those of extended attributes. */
  answerOpen(call: Notification, asked: Partial<PathCall> & Pick<PathCall, 'kind'>): Handled {
    const place = this.placeOf(call, call.int(0));
    if (!place) return 'continue';
    if ((openFlagsOf(`/proc/${call.tid}/fd/${call.int(0)}`) & O_PATH) !== 0)
      return -HOST_ERRNO.EBADF;
    const task = this.#context.processes.task(call);
    return this.#onNode(call, task, { ...OF_DESCRIPTOR, ...asked }, place);
  }

  fstat(call: Notification): Answer {
    return this.#fstatTo(call, call.int(0), { extended: false, outAt: call.arg(1) });
  }
  #fstatTo(call: Notification, fd: number, to: StatTarget): Answer {
    const descriptor: DescriptorLink = `/proc/${call.tid}/fd/${fd}`;
    const link = fd < 0 ? -1 : libc.readlink(descriptor);
    if (typeof link === 'number') return 'continue';
    const task = this.#context.processes.task(call);
    const entry = this.#context.files.at(descriptor, link);
    if (entry) return this.#stats.ofOpen(task, to, entry);
    const place = this.#tree.isMounted(link) ? undefined : this.#lookup.placeOf(call.tid, link);
    return place ? this.#stats.ofNode(task, to, place) : 'continue';
  }

  /** The file system of a file of ours is the one its name is in. */
  fstatfs(call: Notification): Answer {
    const link = this.#lookup.baseOf(call, call.int(0));
    if (link === undefined) return 'continue';
    const path = this.#nameInTree(call, link);
    if (path === undefined) return 'continue';
    const { mem } = this.#context.processes.task(call);
    return minus(mem.write(call.arg(1), encodeStatfs(path)));
  }
  #nameInTree(call: Notification, link: string): string | undefined {
    const { tid } = call;
    const entry = this.#context.files.at(`/proc/${tid}/fd/${call.int(0)}`, link);
    if (entry)
      return entry.kind === 'file' && !this.#openedFrom.has(entry.file) ? undefined : nameOf(entry);
    if (this.#tree.isMounted(link)) return this.#context.isMounted(link) ? link : undefined;
    return this.#lookup.placeOf(tid, link)?.path;
  }
}

/** A call that names a descriptor and no path. */
const OF_DESCRIPTOR: PathCall = { kind: 'stat', ...NO_PATH };

/** There is no path where one has to be. */
function isNone({ emptyPath }: PathCall, path: string): boolean {
  return path === '' && !emptyPath;
}
/** One of the two paths of a call. */
interface OfTwo {
  readonly of: PathCall;
  readonly path: string;
  readonly found: Found;
}
