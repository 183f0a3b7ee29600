/**
 * Pages that only a program can fill: of a userfaultfd, or of a file system that a program of the run serves. A copy of ours
 * would wait for that program, which may wait for us.
 *
 * So in a run where such pages can be, each copy first asks /proc/TID/pagemap whether all it touches is there. What is not
 * there is told to the loop, which lets the caller's own thread touch it (loop/slow-calls.ts) and take its call again.
 */
import * as libc from '../sys/libc.ts';
import { O_CLOEXEC, O_RDONLY } from '../sys/numbers.ts';
import { textOf } from '../sys/procfs.ts';
import { mayBeServed } from './file-systems.ts';

const PAGE = 4096n;
const ENTRY = 8;
/** In the last byte of an entry. */
const BIT = { present: 0x80, swapped: 0x40, protected: 0x02 } as const;

/** Bytes of a program that a copy would touch. */
export interface Touched {
  readonly addr: bigint;
  readonly length: number;
  readonly write: boolean;
}
/** Whole pages that somebody has to fill, and a thread they would be copied of. */
export interface MissingPages extends Touched {
  readonly tid: number;
}

/** Of the one run that this thread serves at a time. */
class SlowPages {
  #possible = false;
  #met: MissingPages | undefined;
  #entries = Buffer.alloc(ENTRY);

  /** A run begins. */
  begin(): void {
    this.#possible = false;
    this.#met = undefined;
  }

  /** Until then no copy asks anything. */
  get possible(): boolean {
    return this.#possible;
  }
  /** A program has made a userfaultfd, or mounts something. */
  expect(): void {
    this.#possible = true;
  }

  /** How many of the bytes can be copied at once, from the first on. */
  reachable(tid: number, touched: Touched): number {
    const pagemap = libc.open(`/proc/${tid}/pagemap`, O_RDONLY | O_CLOEXEC);
    // Whoever may not ask may not copy either, and is told by the copy.
    if (pagemap < 0) return touched.length;
    const there = this.reachableBy(pagemap, tid, touched);
    libc.close(pagemap);
    return there;
  }
  /** The same, by a pagemap that is open. */
  reachableBy(pagemap: number, tid: number, { addr, length, write }: Touched): number {
    const first = addr / PAGE;
    const count = Number((addr + BigInt(length) - 1n) / PAGE - first) + 1;
    if (this.#entries.length < count * ENTRY) this.#entries = Buffer.alloc(count * ENTRY);
    const entries = this.#entries.subarray(0, count * ENTRY);
    const got = libc.pread(pagemap, entries, first * BigInt(ENTRY));
    const known = Math.max(0, Math.floor(got / ENTRY));
    let there = 0;
    while (there < known && isThere(entries[there * ENTRY + ENTRY - 1]!, write)) there++;
    if (there === count) return length;
    const missing = (first + BigInt(there)) * PAGE;
    this.#met = { tid, addr: missing, length: (count - there) * Number(PAGE), write };
    return there === 0 ? 0 : Number(missing - addr);
  }

  /** What was missing last, once. */
  take(): MissingPages | undefined {
    const met = this.#met;
    this.#met = undefined;
    return met;
  }
}

/** A page in the swap comes without help; a protected one does not let a store through, nor anything when it is not there. */
function isThere(bits: number, write: boolean): boolean {
  if ((bits & BIT.present) !== 0) return !(write && (bits & BIT.protected) !== 0);
  return (bits & BIT.swapped) !== 0 && (bits & BIT.protected) === 0;
}

/** A mapping's first line, and what the kernel says of a userfaultfd that has it: of missing, protected or minor pages. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ ([0-9a-f]+:[0-9a-f]+) /;
const USERFAULTFD = /^VmFlags:.* (um|uw|ui)\b/;

/**
 * Is some of it in a mapping whose pages a program fills? Else what is not there comes by itself. All mappings are read for
 * it, and the kernel counts their pages: ask only of what is not there.
 */
export function isFilledByPrograms(pid: number, { addr, length }: Touched): boolean {
  let concerned = false;
  for (const line of textOf(`/proc/${pid}/smaps`).split('\n')) {
    const [, start, end, device] = MAPPING.exec(line) ?? [];
    if (device !== undefined) {
      concerned = BigInt(`0x${start!}`) < addr + BigInt(length) && BigInt(`0x${end!}`) > addr;
      if (concerned && mayBeServed(pid, device)) return true;
    } else if (concerned && USERFAULTFD.test(line)) return true;
  }
  return false;
}

/** The kernel thread serves one run. */
export const slowPages = new SlowPages();
