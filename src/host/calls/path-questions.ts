/** What a call that names a path asks for: where its path is, whose ids count, what a mount cannot answer, and a text as answer. */
import { isOpenable } from '../../machine/files/nodes.ts';
import type { Place } from '../../machine/files/vfs.ts';
import type { Ids } from '../process/credentials.ts';
import type { NoPath, RemoteMemory } from '../process/remote-memory.ts';
import type { HostTask } from '../process/task.ts';
import type { Answer } from '../seccomp/notification.ts';
import { HOST_ERRNO, O_PATH } from '../sys/numbers.ts';
import type { PathCall } from './path-calls.ts';

/** Of FUSE the kernel would write accounts and pages into attributes, and it says that it is FUSE. */
const WHATEVER_IS_THERE: ReadonlySet<PathCall['kind']> = new Set(['statfs', 'account', 'swap']);

/** Calls for which something not being there is no reason to fail. */
export function isMaking(kind: PathCall['kind']): boolean {
  return kind === 'make' || kind === 'bind' || kind === 'link';
}

/** May it mean its descriptor, and name no path? */
export function mayBeNone({ emptyPath, kind }: PathCall): boolean {
  return emptyPath || kind === 'touch';
}

/** With the tree mounted, what the kernel would do wrong: open device nodes, name our descriptors, take FUSE for sysfs. */
export function neededInMount(what: PathCall, place: Place, path: string): boolean {
  if (place.kind === 'host') return false;
  if (what.kind === 'readlink') return path.startsWith('/proc/');
  if (WHATEVER_IS_THERE.has(what.kind)) return true;
  if (what.kind !== 'open' || (what.flags & O_PATH) !== 0) return false;
  return 'open' in place.node && isOpenable(place.node);
}

/** A path, or that of a socket address. */
export function pathIn(mem: RemoteMemory, { pathAt, socketLength }: PathCall): string | NoPath {
  if (socketLength === undefined) return mem.readString(pathAt);
  const bytes = Buffer.alloc(socketLength - 2);
  const length = mem.readSome(pathAt, bytes);
  const end = bytes.subarray(0, length).indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? length : end);
}

/** access(2) asks for the real ids, on the way there too; all else for those of the file system. */
export function idsOf({ kind, effective }: PathCall): Ids {
  return kind === 'access' && !effective ? 'real' : 'fs';
}

/** readlink(2): as much of the text as there is room for. */
export function answerText(task: HostTask, what: PathCall, text: string): Answer {
  if (what.outLength <= 0) return -HOST_ERRNO.EINVAL;
  const bytes = Buffer.from(text).subarray(0, what.outLength);
  return task.mem.write(what.outAt, bytes) ? -HOST_ERRNO.EFAULT : bytes.length;
}
