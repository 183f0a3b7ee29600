/** What /proc tells of a thread's signals: one that waits for us hears of none, and we of none of its. */
import { statusLine, textOf } from './procfs.ts';

const SIGKILL = 1n << 8n;
/** SIGBUS and SIGSEGV. */
const FAULTS = (1n << 6n) | (1n << 10n);

/** Which signals a process ignores, and which it has a handler for: the first in bit 0, and none above the 31st. */
export interface Meanings {
  readonly ignored: number;
  readonly caught: number;
}
/** In the bytes of /proc/…/stat. Read at each access to a register: no text is made of them. */
export function meaningsIn(stat: Buffer): Meanings {
  // The name in brackets may hold anything, brackets too; the field after it is the third.
  let at = stat.lastIndexOf(BRACKET) + 1;
  for (let field = 3; field <= IGNORED_FIELD; field++) {
    do at++;
    while (at < stat.length && stat[at - 1] !== SPACE);
  }
  const ignored = decimalAt(stat, at);
  while (at < stat.length && stat[at] !== SPACE) at++;
  return { ignored, caught: decimalAt(stat, at + 1) };
}
const BRACKET = 0x29;
const SPACE = 0x20;
const ZERO = 0x30;
const IGNORED_FIELD = 33;
function decimalAt(text: Buffer, start: number): number {
  let value = 0;
  for (let at = start; at < text.length; at++) {
    const digit = text[at]! - ZERO;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return value;
}

/** Is a thread about to die? A fatal signal puts SIGKILL into every thread of its process. */
export function isDying(tid: number): boolean {
  const status = textOf(`/proc/${tid}/status`);
  if (status === '') return true; // it is gone
  return (pendingIn(status) & SIGKILL) !== 0n;
}
/** Has a thread a signal of its own that it has not taken yet? */
export function isPending(tid: number, signal: number): boolean {
  const own = setIn(textOf(`/proc/${tid}/status`), 'SigPnd');
  return (own & (1n << BigInt(signal - 1))) !== 0n;
}
/** Has a thread a signal by which accesses to registers come that it has not taken yet, and is not holding back? */
export function hasFault(tid: number): boolean {
  const status = textOf(`/proc/${tid}/status`);
  return (setIn(status, 'SigPnd') & ~setIn(status, 'SigBlk') & FAULTS) !== 0n;
}
/** Signals that wait for a thread, its process's too; number 1 is bit 0. */
export function pendingSignals(tid: number): bigint {
  return pendingIn(textOf(`/proc/${tid}/status`));
}
/** And those that it holds back. */
export function unwelcomeSignals(tid: number): bigint {
  const status = textOf(`/proc/${tid}/status`);
  return pendingIn(status) | setIn(status, 'SigBlk');
}
function pendingIn(status: string): bigint {
  return setIn(status, 'SigPnd') | setIn(status, 'ShdPnd');
}
function setIn(status: string, name: string): bigint {
  return BigInt(`0x${statusLine(status, name) || '0'}`);
}
