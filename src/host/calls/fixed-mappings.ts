/**
 * mremap(2) of what a device has mapped into a program: such a mapping may move and become smaller, but never larger, nor be left
 * behind empty (VM_DONTEXPAND and VM_PFNMAP of Linux; vfio.md 2.4).
 *
 * The host's kernel would let them: to it they are mappings of a file, which may be longer than the part that was asked for.
 */
import type { CallContext } from './call-context.ts';
import { PAGE, pageUp } from './removed-pages.ts';
import { HOST_ERRNO } from '../sys/numbers.ts';
import type { Notification } from '../seccomp/notification.ts';

const MREMAP = { mayMove: 1, fixed: 2, dontUnmap: 4, all: 7 } as const;

/** Minus the errno of Linux; undefined: nothing of a device, or the host's kernel has the same answer. */
export function refusedRemap(context: CallContext, call: Notification): number | undefined {
  const { files } = context;
  if (!files.hasRegisters && !files.hasMappings) return undefined;
  const remap = remapOf(call);
  const { address, from, to, leaves } = remap;
  if (!leaves && to <= from) return undefined;
  if (failsAnyway(remap) || !isOfDevice(context, call.tid, address)) return undefined;
  return leaves ? -HOST_ERRNO.EINVAL : -HOST_ERRNO.EFAULT;
}

/** What is asked for; lengths in pages. */
interface Remap {
  readonly address: bigint;
  readonly from: number;
  readonly to: number;
  readonly place: bigint;
  readonly flags: number;
  /** What was mapped stays there, empty. */
  readonly leaves: boolean;
}
function remapOf(call: Notification): Remap {
  const flags = call.uint(3);
  return {
    address: call.arg(0),
    from: pageUp(call.arg(1)),
    to: pageUp(call.arg(2)),
    place: call.arg(4),
    flags,
    leaves: (flags & MREMAP.dontUnmap) !== 0,
  };
}
/** What is wrong with a call before it is asked what is mapped: EINVAL by the host's kernel. */
function failsAnyway({ address, from, to, place, flags, leaves }: Remap): boolean {
  const isFixed = (flags & MREMAP.fixed) !== 0;
  const mayMove = (flags & MREMAP.mayMove) !== 0;
  if ((flags & ~MREMAP.all) !== 0 || address % PAGE !== 0n || to === 0) return true;
  if ((isFixed || leaves) && !mayMove) return true;
  if (leaves && from !== to) return true;
  if (!isFixed) return false;
  const [old, wanted] = [Number(address / PAGE), Number(place / PAGE)];
  return place % PAGE !== 0n || (wanted < old + from && old < wanted + to);
}

function isOfDevice({ files, map, processes }: CallContext, tid: number, address: bigint): boolean {
  const space = processes.space({ tid, pid: processes.processOf(tid) });
  const line = space && map.find(space, Number(address / PAGE));
  return line !== undefined && (line.io !== undefined || files.isShared(line));
}
