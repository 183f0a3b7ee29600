/**
 * Descriptors of what a program only names or lists: directories of the tree, and nodes opened with O_PATH or watched. The
 * program gets one of the shadow tree's stand-ins, whose name tells what is meant.
 */
import type { DirNode } from '../../machine/files/nodes.ts';
import { MAY_READ } from '../../machine/files/rights.ts';
import type { NodePlace } from '../../machine/files/vfs.ts';
import * as libc from '../sys/libc.ts';
import {
  AT_FDCWD,
  HOST_ERRNO,
  NR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
} from '../sys/numbers.ts';
import { ours, own, withTexts, type Handled, type InThread } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';
import type { CallContext } from './call-context.ts';
import { HandedOver } from '../seccomp/handed-over.ts';
import { handOver } from '../seccomp/hand-over.ts';
import type { SyscallArgument } from '../sys/ffi.ts';
import type { PathCall } from './path-calls.ts';
import type { PathLookup } from './path-lookup.ts';
import { rewritten } from './rewritten.ts';
import { refusedDecision } from './watch-calls.ts';

export class StandIns {
  readonly #context: CallContext;
  readonly #tree: TreeBackend;
  readonly #lookup: PathLookup;
  constructor(context: CallContext, tree: TreeBackend, lookup: PathLookup) {
    this.#context = context;
    this.#tree = tree;
    this.#lookup = lookup;
  }

  /** A directory to read, or to go to: the descriptor in the program, or minus an errno. */
  openDirectory(
    call: Notification,
    flags: number,
    { path, node }: { path: string; node: DirNode },
  ): number {
    const fd = libc.open(this.#tree.directory(path, node), O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fd;
    return handOver(this.#context.transport, call, fd, (flags & O_CLOEXEC) !== 0);
  }

  /** With O_PATH the program opens the stand-in itself: such a descriptor cannot be handed over. */
  openPath(flags: number, place: NodePlace): Handled {
    const { path, node } = place;
    if (node.kind === 'dir') {
      return inThread(this.directory({ path, node }), '.', flags & ~O_NOFOLLOW);
    }
    const slash = path.lastIndexOf('/');
    const parent = this.#lookup.directoryAt(path.slice(0, slash) || '/');
    if (!parent) return -HOST_ERRNO.ENOENT;
    return inThread(this.directory(parent), path.slice(slash + 1), flags | O_NOFOLLOW);
  }
  /** For what a thread does in it. */
  directory({ path, node }: { path: string; node: DirNode }): HandedOver {
    const host = this.#tree.directory(path, node);
    return new HandedOver(() => libc.open(host, O_DIRECTORY | O_CLOEXEC));
  }

  /** What happens to the stand-in is what the program is told of. */
  watch(call: Notification, what: PathCall, place: NodePlace): Handled {
    const { path, node } = place;
    const { at, watch } = what;
    if (watch?.decides) return refusedDecision(this.#context);
    // The file system that it seems to be on is the host's.
    const top = `/${path.split('/', 2)[1]!}`;
    if (watch?.isWhole) return rewritten(call, [{ of: what, path: top }], (errno) => errno);
    const { machine, processes } = this.#context;
    const rc = machine.vfs.mayAccess(place, processes.cred(call.tid, 'fs'), MAY_READ);
    if (rc) return -rc.number;
    if (node.kind === 'link') return -HOST_ERRNO.EACCES;
    const host = node.kind === 'dir' ? this.#tree.directory(path, node) : this.#tree.place(path);
    const hand = new HandedOver(() => libc.open(host, O_CLOEXEC));
    return {
      hands: [hand],
      *run(tid) {
        if (hand.fd < 0) return hand.fd;
        const text = Buffer.from(`/proc/self/fd/${hand.fd}\0`);
        return yield* withTexts(tid, [text], ([named]) => {
          const args: SyscallArgument[] = [0, 1, 2, 3, 4].map((n) => call.arg(n));
          args[at.path] = named!;
          if (at.dir !== undefined) args[at.dir] = AT_FDCWD;
          if (watch) args[watch.flags] = BigInt(call.uint(watch.flags) & ~watch.dontFollow);
          return own(call.nr, args);
        });
      },
      otherwise: (errno) => errno,
    };
  }
}

/** A name in a directory that the program has for the moment. */
function inThread(directory: HandedOver, name: string, flags: number): InThread {
  const text = Buffer.from(`${name}\0`);
  return {
    hands: [directory],
    *run(tid) {
      if (directory.fd < 0) return directory.fd;
      const fd = yield* withTexts(tid, [text], ([at]) =>
        own(NR.openat, [directory.fd, at!, flags | O_PATH, 0]),
      );
      if (fd < 0) return fd;
      // The lowest free number is the program's to expect.
      yield* ours(NR.dup3, fd, directory.fd, flags & O_CLOEXEC);
      yield* ours(NR.close, fd);
      return directory.keep();
    },
    otherwise: (errno) => errno,
  };
}
