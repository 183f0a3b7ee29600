/**
 * mremap(2) of what a device has mapped into a program: such a mapping may move and become smaller, but never larger, nor be left
 * behind empty (VM_DONTEXPAND and VM_PFNMAP of Linux; vfio.md 2.4).
 *
 * The host's kernel would let them: to it they are mappings of a file, which may be longer than the part that was asked for.
 */
import type { CallContext } from './call-context.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import type { Notification } from '../seccomp/notification.ts';

const PAGE = 4096n;
const MREMAP = { mayMove: 1, fixed: 2, dontUnmap: 4, all: 7 } as const;

/** Minus the errno of Linux; undefined: nothing of a device, or the host's kernel has the same answer. */
export function refusedRemap(context: CallContext, call: Notification): number | undefined {
  const { files } = context;
  if (!files.hasRegisters && !files.hasMappings) return undefined;
  const [address, from, to, flags] = [call.arg(0), call.arg(1), call.arg(2), call.uint(3)];
  const leaves = (flags & MREMAP.dontUnmap) !== 0;
  if (!leaves && pageUp(to) <= pageUp(from)) return undefined;
  if (failsAnyway(call) || !isOfDevice(context, call.tid, address)) return undefined;
  return leaves ? -HOST_ERRNO.EINVAL : -HOST_ERRNO.EFAULT;
}

/** What is wrong with a call before it is asked what is mapped: EINVAL by the host's kernel. */
function failsAnyway(call: Notification): boolean {
  const [address, from, to, flags] = [call.arg(0), call.arg(1), call.arg(2), call.uint(3)];
  const isFixed = (flags & MREMAP.fixed) !== 0;
  const leaves = (flags & MREMAP.dontUnmap) !== 0;
  const mayMove = (flags & MREMAP.mayMove) !== 0;
  if ((flags & ~MREMAP.all) !== 0 || address % PAGE !== 0n || pageUp(to) === 0n) return true;
  if ((isFixed || leaves) && !mayMove) return true;
  if (leaves && pageUp(from) !== pageUp(to)) return true;
  const place = call.arg(4);
  return (
    isFixed &&
    (place % PAGE !== 0n ||
      (place < address + pageUp(from) * PAGE && address < place + pageUp(to) * PAGE))
  );
}

function isOfDevice({ files, map, processes }: CallContext, tid: number, address: bigint): boolean {
  const space = processes.space({ tid, pid: processes.processOf(tid) });
  const line = space && map.find(space, Number(address / PAGE));
  return line !== undefined && (line.io !== undefined || files.isShared(line));
}
function pageUp(bytes: bigint): bigint {
  return (bytes + PAGE - 1n) / PAGE;
}
