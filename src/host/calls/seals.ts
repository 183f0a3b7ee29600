/**
 * fcntl(F_ADD_SEALS): a memfd with pages that a device has pinned cannot be sealed against writing (EBUSY), but against
 * writing to come, and then the device goes on.
 */
import type { CallContext } from './call-context.ts';
import { ours, own, type Handled, type InThread } from '../seccomp/in-thread.ts';
import type { Notification } from '../seccomp/notification.ts';
import { lookAt, objectOf } from '../sys/look.ts';
import { HOST_ERRNO, NR, O_ACCMODE, O_RDONLY } from '../sys/numbers.ts';
import { F_ADD_SEALS, F_GET_SEALS, SEAL } from '../sys/open-file-description.ts';

const F_GETFL = 3;
const EXECUTABLE = 0o111;

/** Answers a call that adds seals. */
export function addSeals(
  { machine, objects, processes }: CallContext,
  call: Notification,
): Handled {
  const link = processes.descriptorLink(call.tid, call.int(0));
  // Nothing else can be sealed.
  if (typeof link === 'number' || !link.startsWith('/memfd:')) return 'continue';
  const look = lookAt(`/proc/${call.tid}/fd/${call.int(0)}`);
  if (!look) return 'continue';
  const object = objectOf(look);
  const seals = call.uint(2);
  // An executable file that is to stay one is sealed in all ways.
  const all = (seals & SEAL.exec) !== 0 && (look.permissions & EXECUTABLE) !== 0;
  const isPinned = machine.isPinned(object);
  if (all || (seals & SEAL.write) !== 0) {
    if (isPinned) return busy(call);
    objects.unmap(object);
  } else if (isPinned && (seals & SEAL.futureWrite) !== 0) objects.keepWritable(object);
  return 'continue';
}

/** EBUSY, unless the call fails before the kernel looks for pins. */
function busy(call: Notification): InThread {
  const [fd, seals] = [call.arg(0), call.uint(2)];
  return {
    *run() {
      const has = yield* ours(NR.fcntl, fd, F_GET_SEALS);
      const flags = yield* ours(NR.fcntl, fd, F_GETFL);
      const isReadOnly = flags < 0 || (flags & O_ACCMODE) === O_RDONLY;
      const isRefused = has < 0 || isReadOnly || (has & SEAL.seal) !== 0;
      if (isRefused || (has & SEAL.write) !== 0) {
        return yield* own(NR.fcntl, [fd, F_ADD_SEALS, seals]);
      }
      return -HOST_ERRNO.EBUSY;
    },
    otherwise: () => -HOST_ERRNO.EBUSY,
  };
}
