/**
 * No stray processes: when the program has ended, what it left behind ends too, for the machine they used is gone.
 *
 * softiommu is the reaper of orphans among its descendants (PR_SET_CHILD_SUBREAPER), so all of them are its children.
 */
import { syscall } from '../sys/ffi.ts';
import { kill, waitNow } from '../sys/libc.ts';
import { parentOf, processIds } from '../sys/procfs.ts';
import { NR, PR_SET_CHILD_SUBREAPER, SIGKILL } from '../sys/numbers.ts';

/** From now on orphans among our descendants are our children. */
export function becomeSubreaper(): void {
  syscall(NR.prctl, PR_SET_CHILD_SUBREAPER, 1);
}

/** Kill until there is nothing left; children of killed ones become ours and are found at the next look. */
export function endDescendants(): void {
  for (let round = 0; round < 1000; round++) {
    const children = childrenOf(process.pid);
    for (const pid of children) kill(pid, SIGKILL);
    while (waitNow(-1)) continue;
    if (children.length === 0) return;
    syscall(NR.poll, 0, 0, 1);
  }
}

function childrenOf(parent: number): number[] {
  return processIds().filter((pid) => parentOf(pid) === parent);
}
