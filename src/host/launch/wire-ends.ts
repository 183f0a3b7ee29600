/**
 * The host's ends of the wires of a machine: network interfaces and Unix sockets, opened with the rights of whoever
 * started the run, before it begins.
 *
 * Nothing of the host is used that the user did not name, and nothing is made but the socket files that are to be made;
 * they are removed at the end. One that a run left which was killed is replaced: it is the user's, and nobody has it.
 */
import { closeSync, existsSync, lstatSync, openSync, unlinkSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import type { Problem } from '../../machine/description/shape-problems.ts';
import type { WireDescription } from '../../machine/description/wires.ts';
import { printable } from '../../machine/description/wording.ts';
import * as libc from '../sys/libc.ts';
import { HOST_ERRNO, O_DIRECTORY, O_PATH } from '../sys/numbers.ts';
import { errnoReason } from '../sys/system-reason.ts';
import {
  bind,
  connect,
  listen,
  openTap,
  socketAddress,
  unixSocket,
  type SocketKind,
} from '../sys/unix-socket.ts';

/** An end that is open. Plain data: it crosses to the kernel thread. */
export interface WireEnd {
  readonly name: string;
  readonly fd: number;
  /** How frames go through the descriptor; of one that listens, through those that it accepts. */
  readonly kind: SocketKind | 'tap';
  readonly listens: boolean;
  /** Of datagrams: where they are sent. */
  readonly to?: string;
  /** A file that was made for it. */
  readonly made?: MadeFile;
}
interface MadeFile {
  readonly file: string;
  /** Device and inode: the name may be another file's later. */
  readonly identity: string;
}

type Folder = (path: Problem['path']) => string;

/** Open all of them, or say what is wrong with each. `folder`: what names under a key are relative to. */
export function openWireEnds(
  wires: Readonly<Record<string, WireDescription>>,
  folder: Folder = () => '.',
): { readonly ends: readonly WireEnd[] } | { readonly problems: readonly Problem[] } {
  const ends: WireEnd[] = [];
  const problems: Problem[] = [];
  for (const [name, wire] of Object.entries(wires)) {
    const path = ['wires', name];
    const opened = openEnd(name, wire, (file) => {
      return isAbsolute(file) ? file : join(folder(path), file);
    });
    if ('fd' in opened) ends.push(opened);
    else {
      const { key, message } = opened;
      const text = `${printable(wire[key] ?? '')} ${message}`;
      problems.push({ path: [...path, key], message: text });
    }
  }
  if (problems.length === 0) return { ends };
  closeWireEnds(ends);
  return { problems };
}

/** They are used no more: what was made for them is removed. */
export function closeWireEnds(ends: readonly WireEnd[]): void {
  for (const { fd, made } of ends) {
    libc.close(fd);
    if (made) removeMade(made);
  }
}
/**
 * Programs of the run may have other rights than we have, and may have put something else there: a file, a directory, a link
 * in the place of a directory above. So the directory is held, and only the socket itself is removed from it.
 */
function removeMade({ file, identity }: MadeFile): void {
  let directory: number | undefined;
  try {
    directory = openSync(dirname(file), O_PATH | O_DIRECTORY);
    const name = `/proc/self/fd/${directory}/${basename(file)}`;
    if (identityOf(name) === identity) unlinkSync(name);
  } catch {
    // It is not there any more, or not ours to remove.
  }
  if (directory !== undefined) closeSync(directory);
}
function identityOf(file: string): string {
  const { dev, ino } = lstatSync(file, { bigint: true });
  return `${dev}:${ino}`;
}

/** Why an end cannot be opened, and which key says what it is. */
interface Obstacle {
  readonly key: keyof WireDescription;
  readonly message: string;
}

function openEnd(
  name: string,
  wire: WireDescription,
  place: (file: string) => string,
): WireEnd | Obstacle {
  const { tap, datagram, to } = wire;
  const form = wire.form ?? 'stream';
  if (tap !== undefined) return openInterface(name, tap);
  if (datagram !== undefined && to !== undefined) {
    if (!socketAddress(place(to))) return { key: 'to', message: TOO_LONG };
    const end = openSocket({ name, key: 'datagram', file: place(datagram), kind: 'datagram' });
    return 'fd' in end ? { ...end, to: place(to) } : end;
  }
  const key = wire.listen === undefined ? 'connect' : 'listen';
  return openSocket({ name, key, file: place(wire[key] ?? ''), kind: form });
}

function openInterface(name: string, tap: string): WireEnd | Obstacle {
  const key = 'tap';
  // To ask for one that is not there would make it, for whoever may.
  if (!existsSync(`/sys/class/net/${tap}`)) {
    const make = `ip tuntap add ${tap} mode tap user NAME`;
    return { key, message: `is no network interface of this host (as root: ${make})` };
  }
  const fd = openTap(tap);
  if (fd >= 0) return { name, fd, kind: 'tap', listens: false };
  const reasons: Readonly<Record<number, string>> = {
    [HOST_ERRNO.EBUSY]: 'somebody else has it',
    [HOST_ERRNO.EINVAL]: 'it is no interface of the kind tap',
    [HOST_ERRNO.ENOENT]: 'the host has no /dev/net/tun',
    [HOST_ERRNO.EPERM]: 'it is not that of this user',
  };
  return { key, message: `cannot be used: ${reasons[-fd] ?? errnoReason(-fd)}` };
}

const TOO_LONG = 'is too long for the name of a socket, which has at most 107 bytes';

interface SocketPlan {
  readonly name: string;
  readonly key: 'listen' | 'connect' | 'datagram';
  readonly file: string;
  readonly kind: SocketKind;
}

function openSocket(plan: SocketPlan): WireEnd | Obstacle {
  const { name, key, file, kind } = plan;
  const address = socketAddress(file);
  if (!address) return { key, message: TOO_LONG };
  const fd = unixSocket(kind);
  if (fd < 0) return { key, message: `has no socket: ${errnoReason(-fd)}` };
  const rc = key === 'connect' ? connect(fd, address) : makeSocket(fd, address, plan);
  const listens = key === 'listen';
  if (rc >= 0 && listens) listen(fd, 1);
  if (rc >= 0) {
    const made = key !== 'connect' && { made: { file: resolve(file), identity: identityOf(file) } };
    return { name, fd, kind, listens, ...made };
  }
  libc.close(fd);
  const what = key === 'connect' ? 'cannot be connected to' : 'cannot be made';
  const reason = key === 'connect' ? errnoReason(-rc) : bindReason(-rc);
  return { key, message: `${what}: ${reason}` };
}
/** A name is bound once: what it was bound to before is there until somebody removes it. */
function makeSocket(fd: number, address: Buffer, { file, kind }: SocketPlan): number {
  const rc = bind(fd, address);
  if (rc !== -HOST_ERRNO.EADDRINUSE || !isLeftOver(file, address, kind)) return rc;
  unlinkSync(file);
  return bind(fd, address);
}
/** A socket of this user that nobody has open any more. */
function isLeftOver(file: string, address: Buffer, kind: SocketKind): boolean {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (!stat?.isSocket() || stat.uid !== process.geteuid?.()) return false;
  const asking = unixSocket(kind);
  const rc = connect(asking, address);
  libc.close(asking);
  return rc === -HOST_ERRNO.ECONNREFUSED;
}
function bindReason(errno: number): string {
  if (errno === HOST_ERRNO.EADDRINUSE) return 'a file of that name is there';
  if (errno === HOST_ERRNO.ENOENT) return 'there is no such directory';
  return errnoReason(errno);
}
