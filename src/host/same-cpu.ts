/**
 * Staying on the CPU of a program that loads and stores registers: waking each other on two CPUs is most of an access.
 *
 * Only for a program with one thread: it stands still while we work, so nothing is lost by sharing its CPU.
 */
import { readFileSync } from 'node:fs';
import { addressOf, syscall } from './ffi.ts';

const SCHED_SETAFFINITY = 203;
const SCHED_GETAFFINITY = 204;
/** The program may have been moved meanwhile. */
const LOOK_EVERY = 64;
/** Room for 1024 CPUs. */
const MASK_BYTES = 128;

export class SameCpu {
  /** What we were allowed before; undefined while we are not bound. */
  #allowed: Buffer | undefined;
  #cpu = -1;
  #accesses = 0;

  /** Then waiting busily only keeps the program from running. */
  get bound(): boolean {
    return this.#allowed !== undefined;
  }
  /** The one thread of a program has stopped at an access. */
  follow(tid: number): void {
    if (this.#accesses++ % LOOK_EVERY !== 0) return;
    const cpu = lastCpu(tid);
    if (cpu === undefined || cpu === this.#cpu || cpu >= MASK_BYTES * 8) return;
    this.#allowed ??= allowed();
    const mask = Buffer.alloc(MASK_BYTES);
    mask[cpu >> 3] = 1 << (cpu & 7);
    // Refused where we may not run: then we stay where we are.
    if (setAllowed(mask) === 0) this.#cpu = cpu;
  }
  /** No access for a while, or several threads. */
  leave(): void {
    if (!this.#allowed) return;
    setAllowed(this.#allowed);
    this.#allowed = undefined;
    this.#cpu = -1;
    this.#accesses = 0;
  }
}

function allowed(): Buffer {
  const mask = Buffer.alloc(MASK_BYTES);
  syscall(SCHED_GETAFFINITY, 0, mask.length, addressOf(mask));
  return mask;
}
function setAllowed(mask: Buffer): number {
  return syscall(SCHED_SETAFFINITY, 0, mask.length, addressOf(mask));
}
/** Field 39 of /proc/TID/stat, counted from behind the name, which may hold anything. */
function lastCpu(tid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${tid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[36]);
  } catch {
    return undefined; // it is gone
  }
}
