/**
 * Calls by programs of 32 bits, which run and see the host's files: their ioctls and mappings are none that we know. What
 * they open of the simulated tree is refused, and said, for the host's would be something else; what a mount shows them all
 * the same they cannot map.
 */
import { isErrno } from '../../base/errno.ts';
import { KERNEL } from '../../machine/files/rights.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO, MAP_ANONYMOUS } from '../sys/numbers.ts';
import { nameOf } from '../sys/procfs.ts';
import type { CallContext } from './call-context.ts';
import { mmapOfHost } from './own-mount.ts';

/** `argument`: which one is the path. A mount shows attributes to everybody. */
export function foreignOpen(context: CallContext, call: Notification, argument: number): Answer {
  const path = new RemoteMemory(call.tid).readString(BigInt(call.uint(argument)));
  if (typeof path !== 'string' || !path.startsWith('/')) return 'continue';
  const place = context.machine.vfs.resolve(path, { cred: KERNEL });
  if (isErrno(place) || place.kind === 'host') return 'continue';
  const { node } = place;
  const isShown = node.kind === 'attr' && context.isMounted(place.path);
  if (node.kind === 'dir' || isShown) return 'continue';
  context.sayOnce(
    `${nameOf(context.processes.processOf(call.tid))} is of 32 bits and wants ${place.path}: refused with ENOSYS, for such programs see no simulated files`,
  );
  return -HOST_ERRNO.ENOSYS;
}

/** What of a mapping counts here. */
interface Mapped {
  readonly flags: number;
  readonly fd: number;
}

/** mmap2 of i386 has its arguments as any call has them. */
export function argumentsIn(call: Notification): Mapped {
  return { flags: call.uint(3), fd: call.int(4) };
}
/** The old mmap of i386 has them in memory, six words. Undefined: it fails for all of them. */
export function argumentsAt(call: Notification): Mapped | undefined {
  const words = Buffer.alloc(6 * 4);
  if (new RemoteMemory(call.tid).read(BigInt(call.uint(0)), words)) return undefined;
  return { flags: words.readUInt32LE(12), fd: words.readInt32LE(16) };
}

export function foreignMmap(
  context: CallContext,
  call: Notification,
  argumentsOf: (call: Notification) => Mapped | undefined,
): Answer {
  const mapped = argumentsOf(call);
  if (!mapped || (mapped.flags & MAP_ANONYMOUS) !== 0) return 'continue';
  const { tid } = call;
  const link = context.processes.descriptorLink(tid, mapped.fd);
  return mmapOfHost(context, `/proc/${tid}/fd/${mapped.fd}`, link);
}
