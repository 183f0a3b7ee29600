/** Would a signal have ended this thread's sleep? Read from /proc, because a trapped call is not woken by one. */
import { readFileSync } from 'node:fs';

export function pendingSignal(tid: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${tid}/status`, 'latin1');
  } catch {
    return true; // the thread is gone
  }
  const set = (name: string): bigint => {
    const hex = new RegExp(`^${name}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1];
    return BigInt(`0x${hex ?? '0'}`);
  };
  return ((set('SigPnd') | set('ShdPnd')) & ~set('SigBlk') & ~set('SigIgn')) !== 0n;
}
