/** Who may do what with a node: owner, group, others, and the capabilities that pass over them (path_resolution(7)). */
import { EACCES, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH } from '../../base/task.ts';

/** What is wanted: any of the three, or none of them, which only asks whether the node is there. */
export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** Who asks (struct cred). Asked only where the mode alone does not decide. */
export interface Cred {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** A capability in the effective set. */
  capable(cap: number): boolean;
}

/** Who asks when no program does: the kernel itself, which may everything. */
export const KERNEL: Cred = { uid: 0, gid: 0, groups: [], capable: () => true };

/** Whose a node is, and its permission bits. */
export interface Attributes {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, 0o777 at most. */
  readonly mode: number;
  readonly isDirectory: boolean;
}

/**
 * May these credentials do this? The one class that fits decides: an owner whose bits say no is refused what others may.
 * A capability then passes over the bits, but never makes a file executable that nobody may execute. EACCES.
 * @kernel generic_permission
 */
export function permission(of: Attributes, cred: Cred, want: number): Status<'EACCES'> {
  if (isPermitted(of, cred, want)) return undefined;
  const owner = `${of.uid}:${of.gid}`;
  const facts = { mode: of.mode.toString(8), owner, uid: cred.uid };
  return refuse(EACCES, 'the mode of the node does not allow it', facts);
}

/** The same as a question. */
export function isPermitted(of: Attributes, cred: Cred, want: number): boolean {
  const { uid, gid, mode, isDirectory } = of;
  const everybody = (mode >> 6) & (mode >> 3) & mode;
  if ((want & ~everybody) === 0) return true;
  const inGroup = (): boolean => cred.gid === gid || cred.groups.includes(gid);
  const bits = cred.uid === uid ? mode >> 6 : inGroup() ? mode >> 3 : mode;
  if ((want & ~bits) === 0) return true;
  const looks = isDirectory ? (want & MAY_WRITE) === 0 : want === MAY_READ;
  if (looks && cred.capable(CAP_DAC_READ_SEARCH)) return true;
  const runs = !isDirectory && (want & MAY_EXEC) !== 0 && (mode & 0o111) === 0;
  return !runs && cred.capable(CAP_DAC_OVERRIDE);
}
