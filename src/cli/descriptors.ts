/** Are there descriptors enough for softiommu? Its loader opens files by the hundred, and fails with a stack when it cannot. */
import { readFileSync } from 'node:fs';

/** `ulimit -n` that is enough to start with some to spare. */
const NEEDED = 256;

/** Why not, in a line. Node has raised its own soft limit to the hard one already; the program's stays what it was. */
export function tooFewDescriptors(limits = ownLimits()): string | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  if (soft === undefined || Number(soft) >= NEEDED) return undefined;
  return (
    `at most ${soft} files may be open here (ulimit -Hn), and softiommu needs ${NEEDED}; ` +
    `a program can have less: softiommu run -- sh -c 'ulimit -n ${soft}; exec "$@"' sh PROGRAM`
  );
}
function ownLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return ''; // no Linux: no limit that is known
  }
}
