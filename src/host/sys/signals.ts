/** What /proc tells of a thread's signals: one that waits for us hears of none, and we of none of its. */
import { textOf } from './procfs.ts';

const SIGKILL = 1n << 8n;

/** Which signals a process ignores, and which it has a handler for: the first in bit 0, and none above the 31st. */
export interface Meanings {
  readonly ignored: number;
  readonly caught: number;
}
/** In the text of /proc/…/stat. */
export function meaningsIn(stat: string): Meanings {
  // The name in brackets may hold anything, brackets too; the state after it is the third field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { ignored: Number(fields[33 - 3]), caught: Number(fields[34 - 3]) };
}

/** Is a thread about to die? A fatal signal puts SIGKILL into every thread of its process. */
export function isDying(tid: number): boolean {
  const status = textOf(`/proc/${tid}/status`);
  if (status === '') return true; // it is gone
  const pending = /^SigPnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
  const shared = /^ShdPnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${pending}`) | BigInt(`0x${shared}`)) & SIGKILL) !== 0n;
}
