/** Open files of ours that become a program's. */
import type { OpenFile } from '../../base/file.ts';
import { Shortage } from '../../base/shortage.ts';
import { O_CLOEXEC } from '../sys/numbers.ts';
import { orShortage } from '../sys/shortage.ts';
import { handOver } from '../seccomp/hand-over.ts';
import type { Notification } from '../seccomp/notification.ts';
import type { CallContext } from './call-context.ts';

/**
 * Give the caller a file that it has just opened, with the flags of that open. Where the host has no descriptor for it, it is
 * closed again. Minus an errno. Throws Shortage.
 */
export function handOverFile(
  context: CallContext,
  call: Notification,
  file: OpenFile,
  flags: number,
): number {
  const { files, machine, processes, transport } = context;
  const made = orShortage(() => files.create(file, flags));
  if (!(made instanceof Shortage) && typeof made !== 'number') {
    return handOver(transport, call, made.fd, (flags & O_CLOEXEC) !== 0);
  }
  const rc = machine.syscalls.close(processes.processOf(call.tid), file);
  if (rc) context.warn(`${file.name}: its release failed with ${rc.name}`);
  if (made instanceof Shortage) throw made;
  return made;
}
