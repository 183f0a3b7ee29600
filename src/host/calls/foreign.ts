/**
 * Opens by programs of 32 bits, which run and see the host's files: their ioctls and mappings are none that we know. What
 * they open of the simulated tree is refused, and said, for the host's would be something else.
 */
import { isErrno } from '../../base/errno.ts';
import { KERNEL } from '../../machine/files/rights.ts';
import { RemoteMemory } from '../process/remote-memory.ts';
import type { Answer, Notification } from '../seccomp/notification.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import { nameOf } from '../sys/procfs.ts';
import type { CallContext } from './call-context.ts';

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
