/**
 * A program's own call with other paths in it: what a path that leads out of the simulated tree becomes. The program makes
 * it, so rights, umask, root directory, mounts and waiting are its own.
 */
import { HOST_ERRNO, AT_FDCWD } from '../sys/numbers.ts';
import type { SyscallArgument } from '../sys/ffi.ts';
import type { Notification } from '../seccomp/notification.ts';
import { own, withTexts, type InThread } from '../seccomp/in-thread.ts';
import type { PathCall } from './path-calls.ts';

/** A path of a call, and where it leads on the host. */
export interface Rewriting {
  readonly of: PathCall;
  readonly path: string;
}

/** Longest path of a socket address, its NUL not counted. */
const LONGEST_SOCKET_PATH = 107;
const ARGUMENTS = [0, 1, 2, 3, 4, 5];

/** `otherwise`: the thread cannot be had. */
export function rewritten(
  call: Notification,
  paths: readonly Rewriting[],
  otherwise: InThread['otherwise'],
): InThread | number {
  const tooLong = paths.some(
    ({ of, path }) => of.socketLength !== undefined && path.length > LONGEST_SOCKET_PATH,
  );
  if (tooLong) return -HOST_ERRNO.ENAMETOOLONG;
  const texts = paths.map(({ of, path }) =>
    of.socketLength === undefined ? Buffer.from(`${path}\0`, 'latin1') : socketAddress(path),
  );
  return {
    run: (tid) =>
      withTexts(tid, texts, (places) => {
        const instead = paths.length === 1 ? paths[0]!.of.instead : undefined;
        if (instead) return own(instead.nr, [places[0]!, ...instead.args]);
        const args: SyscallArgument[] = ARGUMENTS.slice(0, 5).map((n) => call.arg(n));
        for (const [n, { of }] of paths.entries()) {
          args[of.at.path] = places[n]!;
          if (of.at.dir !== undefined) args[of.at.dir] = AT_FDCWD;
          if (of.socketLength !== undefined) args[2] = texts[n]!.length;
        }
        return own(call.nr, args);
      }),
    otherwise,
  };
}

/** struct sockaddr_un */
function socketAddress(path: string): Buffer {
  const AF_UNIX = 1;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, Buffer.from(`${path}\0`, 'latin1')]);
}
