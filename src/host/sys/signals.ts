/** Is a thread about to die? Read from /proc: one that waits for us hears of no signal, and we of none of its. */
import { textOf } from './procfs.ts';

const SIGKILL = 1n << 8n;

/** A fatal signal puts SIGKILL into every thread of its process. */
export function isDying(tid: number): boolean {
  const status = textOf(`/proc/${tid}/status`);
  if (status === '') return true; // it is gone
  const pending = /^SigPnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
  const shared = /^ShdPnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${pending}`) | BigInt(`0x${shared}`)) & SIGKILL) !== 0n;
}
