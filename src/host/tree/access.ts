/** Who may do what with a simulated node. */
import type { Node } from '../../machine/files/nodes.ts';

export const X_OK = 1;
export const W_OK = 2;
export const R_OK = 4;

/** Nodes belong to the user of the run: the owner's bits count, as sysfs itself lets them count for root too. */
export function mayAccess(node: Node, mode: number): boolean {
  if (node.kind === 'link') return true;
  if (node.kind === 'dir') return (mode & W_OK) === 0;
  if ((mode & X_OK) !== 0) return false;
  return ((node.mode >> 6) & 7 & mode) === mode;
}
