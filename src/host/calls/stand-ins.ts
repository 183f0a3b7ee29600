/**
 * Descriptors of what a program only names or lists: directories of the tree, and nodes opened with O_PATH or watched. The
 * program gets one of the shadow tree's stand-ins, whose name tells what is meant.
 */
import type { DirNode } from '../../machine/files/nodes.ts';
import { MAY_READ } from '../../machine/files/rights.ts';
import type { NodePlace } from '../../machine/files/vfs.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, NR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from '../sys/numbers.ts';
import {
  ours,
  own,
  withTexts,
  type Handled,
  type InThread,
  type Script,
} from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { TreeBackend } from '../tree/tree-backend.ts';
import type { CallContext } from './call-context.ts';
import { handOver } from './hand-over.ts';
import type { PathLookup } from './path-lookup.ts';

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
    return this.#give(call, this.#tree.directory(path, node), {
      how: O_DIRECTORY,
      cloexec: (flags & O_CLOEXEC) !== 0,
    });
  }

  /** With O_PATH the program opens the stand-in itself: such a descriptor cannot be handed over. */
  openPath(call: Notification, flags: number, place: NodePlace): Handled {
    const { path, node } = place;
    if (node.kind === 'dir') {
      const directory = this.openDirectory(call, O_CLOEXEC, { path, node });
      return directory < 0 ? directory : inThread(directory, '.', flags & ~O_NOFOLLOW);
    }
    const slash = path.lastIndexOf('/');
    const parent = this.#lookup.directoryAt(path.slice(0, slash) || '/');
    if (!parent) return -HOST_ERRNO.ENOENT;
    const directory = this.openDirectory(call, O_CLOEXEC, parent);
    return directory < 0
      ? directory
      : inThread(directory, path.slice(slash + 1), flags | O_NOFOLLOW);
  }

  /** inotify_add_watch: what happens to the stand-in is what the program is told of. */
  watch(call: Notification, place: NodePlace): Handled {
    const { path, node } = place;
    const { machine, processes } = this.#context;
    const rc = machine.vfs.mayAccess(place, processes.cred(call.tid, 'fs'), MAY_READ);
    if (rc) return -rc.number;
    if (node.kind === 'link') return -HOST_ERRNO.EACCES;
    const host = node.kind === 'dir' ? this.#tree.directory(path, node) : this.#tree.place(path);
    const theirs = this.#give(call, host, { how: 0, cloexec: true });
    if (theirs < 0) return theirs;
    const text = Buffer.from(`/proc/self/fd/${theirs}\0`);
    const watched = (tid: number): Script<number> =>
      withTexts(tid, [text], ([at]) => own(call.nr, [call.arg(0), at!, call.arg(2)]));
    return thenClosed(theirs, watched);
  }

  #give(
    call: Notification,
    path: string,
    { how, cloexec }: { how: number; cloexec: boolean },
  ): number {
    const fd = libc.open(path, how | O_CLOEXEC);
    return fd < 0 ? fd : handOver(this.#context.transport, call, fd, cloexec);
  }
}

/** A name in a directory that the program has for the moment. */
function inThread(directory: number, name: string, flags: number): InThread {
  const text = Buffer.from(`${name}\0`);
  return {
    *run(tid) {
      const fd = yield* withTexts(tid, [text], ([at]) =>
        own(NR.openat, [directory, at!, flags | O_PATH, 0]),
      );
      if (fd < 0) {
        yield* ours(NR.close, directory);
        return fd;
      }
      // The lowest free number is the program's to expect.
      yield* ours(NR.dup3, fd, directory, flags & O_CLOEXEC);
      yield* ours(NR.close, fd);
      return directory;
    },
    otherwise: (errno) => errno,
  };
}
function thenClosed(fd: number, script: (tid: number) => Script<number>): InThread {
  return {
    *run(tid) {
      const result = yield* script(tid);
      yield* ours(NR.close, fd);
      return result;
    },
    otherwise: (errno) => errno,
  };
}
