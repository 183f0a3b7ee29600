/**
 * The processes of a run, as the descendants they are: whoever is the reaper of orphans above them
 * (PR_SET_CHILD_SUBREAPER) finds all of them among its children in the end, whatever user, group or session they have.
 */
import { onOneLine } from '../../machine/description/wording.ts';
import { syscall } from '../sys/ffi.ts';
import { kill, reapChildren, sleepMs } from '../sys/libc.ts';
import { parentOf, processIds, textOf } from '../sys/procfs.ts';
import { detach, isStopped } from '../sys/ptrace.ts';
import { NR, PR_SET_CHILD_SUBREAPER, SIGKILL } from '../sys/numbers.ts';

/** Something else than a program keeps a process from ending: a network file system, a device. */
const MOST_ROUNDS = 5000;
const MOST_NAMES = 8;

/** From now on orphans among our descendants are our children. */
export function becomeSubreaper(): void {
  syscall(NR.prctl, PR_SET_CHILD_SUBREAPER, 1);
}

/**
 * Kill until there is nothing left; children of killed ones become ours and are found at the next look. What stops once more for
 * us, its tracer, at its end goes on. Their names.
 */
export function endDescendants(): string[] {
  const names = new Map<number, string>();
  const reaped = (pid: number, status: number): void => {
    if (isStopped(status)) detach(pid);
  };
  for (let round = 0; round < MOST_ROUNDS && reapChildren(reaped); round++) {
    for (const pid of childrenOf(process.pid)) {
      if (!names.has(pid)) names.set(pid, nameOf(pid));
      kill(pid, SIGKILL);
    }
    sleepMs(1);
  }
  return [...names.values()];
}

/** What is there now below a process, of children and of theirs. */
export function descendantNames(of: number): string[] {
  const names: string[] = [];
  const parents = processIds().map((pid) => ({ pid, parent: parentOf(pid) }));
  const add = (above: number): void => {
    for (const { pid, parent } of parents) {
      if (parent !== above) continue;
      names.push(nameOf(pid));
      add(pid);
    }
  };
  add(of);
  return names;
}

/** Some of many, for a line of text. */
export function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function childrenOf(parent: number): number[] {
  return processIds().filter((pid) => parentOf(pid) === parent);
}
function nameOf(pid: number): string {
  return `${onOneLine(textOf(`/proc/${pid}/comm`).trim())} (${pid})`;
}
