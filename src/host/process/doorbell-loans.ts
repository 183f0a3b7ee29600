/**
 * Doorbells that are memory to programs while they are rung much: then a store costs a store, not a stop of the program.
 *
 * After some trapped stores in a row their page is lent: from now on it is looked at, by a timer and with every call and access
 * that is trapped, and what has changed is stored to the device. It is taken back when nothing has changed for a while, and
 * before everything that could give a doorbell another meaning. The slow twin, where each store is trapped, is what a run
 * with a trace has, for there every store is an event.
 *
 * So a program sees of it that doorbells can be loaded, and a device misses of the values stored between two looks all but
 * the last: of a ring of entries that is the one that counts. What it gains: docs/performance.md.
 */
import { earlierSite, type CallSite } from '../../insight/sites/call-site.ts';
import type { Doorbells, MmioWindow } from '../../base/file.ts';
import type { Syscalls } from '../../machine/files/syscalls.ts';
import { Timer } from '../sys/timer.ts';
import type { MapsLine } from '../sys/map-query.ts';
import * as libc from '../sys/libc.ts';
import { LentPages } from './lent-pages.ts';

const PAGE = 4096;
/**
 * Of trapped stores in a row, so many make a loan, if they come within so long: each waits for a core twice, which on a busy
 * host is some milliseconds. With 20 ms 40,000 reads by QEMU were 23,600 stops at a load of 10, and 200 with this.
 */
const MANY = 8;
const SOON_NS = 100e6;
/** A lent page is looked at after so long, and after twice as long each time when nothing has changed. */
const LOOK_NS = 50_000;
const MOST_LOOK_NS = 1e6;
/** So long without a change, and it is taken back. */
const IDLE_NS = 10e6;

/** What it is made of. */
export interface LoanParts {
  readonly machine: {
    readonly syscalls: Pick<Syscalls, 'store'>;
    readonly env: { readonly trace: { readonly on: boolean } };
  };
  readonly watches: { watchFd(fd: number, run: () => void): Disposable };
  /** Of a run that is asked where DMA was started: of stores that nobody stops for, where the last one was that did. */
  readonly sites: LoanSites | undefined;
}
/** Where the access is that goes on, and where what happens is called from until that is disposed of. */
interface LoanSites {
  here(): CallSite | undefined;
  standing(site: CallSite): Disposable;
}

/** The doorbells of one device, in the programs that have them mapped. */
export interface Loan {
  readonly pages: LentPages;
  readonly window: MmioWindow;
  readonly doorbells: Doorbells;
  /** Their values at the last look. */
  readonly seen: Uint32Array;
  /** What a look finds: one buffer for all, for a new one each time costs more than what it is for. */
  readonly found: Uint32Array;
  /** The bytes of `found` that are doorbells. */
  readonly look: Uint8Array;
  /** The process that has rung last. */
  pid: number;
  /** Trapped stores in a row, and when the first of them was. */
  stores: number;
  sinceNs: number;
  /** When something was rung last. */
  rungNs: number;
  /** How often programs have it mapped. */
  mappings: number;
  /** Where the store was that it was lent for. */
  site: CallSite | undefined;
}

/** All loans of a run. */
export class DoorbellLoans {
  readonly #parts: LoanParts;
  /** By their files. */
  readonly #loans = new Map<string, Loan>();
  readonly #lent = new Set<Loan>();
  #timer: Timer | undefined;
  #waitNs = LOOK_NS;

  constructor(parts: LoanParts) {
    this.#parts = parts;
  }

  /** Of what a program is about to map of a window: its doorbells, if they can be lent. */
  of(window: MmioWindow): Loan | undefined {
    const { doorbells } = window;
    if (!doorbells) return undefined;
    for (const loan of this.#loans.values()) if (loan.doorbells === doorbells) return loan;
    const length = doorbellBytes(doorbells);
    const pages = LentPages.create(length);
    if (!pages) return undefined;
    const seen = new Uint32Array(length / 4);
    const rung = { pid: 0, stores: 0, sinceNs: 0, rungNs: 0 };
    const found = new Uint32Array(length / 4);
    const look = new Uint8Array(found.buffer, 0, 4 * doorbells.count);
    const more = { mappings: 0, site: undefined };
    const loan: Loan = { pages, window, doorbells, seen, found, look, ...rung, ...more };
    this.#loans.set(pages.object, loan);
    return loan;
  }
  /** A program does not have it mapped any more. */
  unmapped(loan: Loan): void {
    if (--loan.mappings > 0) return;
    this.#loans.delete(loan.pages.object);
    this.#takeBack(loan);
    loan.pages.free();
  }
  /** Registers at the first page of a mapping, as /proc/PID/maps tells of it. */
  readonly windowOf = ({
    object,
    objectOffset,
  }: Pick<MapsLine, 'object' | 'objectOffset'>):
    { window: MmioWindow; offset: number } | undefined => {
    const loan = this.#loans.get(object ?? '');
    return loan && { window: loan.window, offset: loan.doorbells.start + objectOffset * PAGE };
  };

  /** Before anything else that a program wants: what it has rung before. True: something. */
  look(): boolean {
    let rung = false;
    for (const loan of this.#lent) rung = this.#look(loan) || rung;
    return rung;
  }
  /** After a call that may have changed a device. */
  end(): void {
    for (const loan of this.#lent) this.#takeBack(loan);
  }
  /** Before an access to registers of this window. */
  beforeAccess({ doorbells }: MmioWindow): void {
    for (const loan of this.#lent) {
      if (loan.doorbells === doorbells) this.#takeBack(loan);
      else void this.#look(loan);
    }
  }
  /** An access of a process that came by this mapping. */
  afterAccess({ object }: Pick<MapsLine, 'object'>, pid: number): void {
    const loan = this.#loans.get(object ?? '');
    if (!loan) return;
    const now = libc.monotonicNs();
    if (now - loan.sinceNs > SOON_NS) {
      loan.sinceNs = now;
      loan.stores = 0;
    }
    loan.pid = pid;
    if (++loan.stores >= MANY && !this.#parts.machine.env.trace.on) this.#lend(loan, now);
  }

  #lend(loan: Loan, now: number): void {
    const { doorbells, pages, seen, window } = loan;
    if (window.accessible?.() === false) return;
    for (let n = 0; n < doorbells.count; n++) seen[n] = doorbells.value(n);
    if (!pages.lend(bytesOf(seen))) return;
    loan.stores = 0;
    loan.rungNs = now;
    const site = this.#parts.sites?.here();
    loan.site = site && earlierSite(site);
    this.#lent.add(loan);
    this.#lookAfter(LOOK_NS);
  }
  #look(loan: Loan): boolean {
    const { doorbells, found, pages, seen, window } = loan;
    pages.look(loan.look);
    const now = libc.monotonicNs();
    const rung = changes(seen, found, doorbells.count);
    if (rung.length > 0) loan.rungNs = now;
    const isOver = now - loan.rungNs > IDLE_NS || this.#parts.machine.env.trace.on;
    if (isOver || window.accessible?.() === false || rung.some((n) => doorbells.isControl(n))) {
      this.#takeBack(loan);
    } else this.#ring(loan, rung, found);
    return rung.length > 0;
  }
  #takeBack(loan: Loan): void {
    const { found, pages, seen } = loan;
    if (!pages.takeBack(bytesOf(found))) return;
    this.#lent.delete(loan);
    this.#ring(loan, changes(seen, found, seen.length), found);
  }
  /** What makes and ends others is the last: what was rung before it is among them. */
  #ring(loan: Loan, rung: readonly number[], values: Uint32Array): void {
    const { doorbells, pid, seen, site, window } = loan;
    using _site = site && this.#parts.sites?.standing(site);
    const { syscalls } = this.#parts.machine;
    for (const isControl of [false, true]) {
      for (const n of rung) {
        if (n >= doorbells.count || doorbells.isControl(n) !== isControl) continue;
        seen[n] = values[n]!;
        void syscalls.store(pid, window, doorbells.start + 4 * n, 4, BigInt(values[n]!));
      }
    }
  }

  #lookAfter(ns: number): void {
    this.#waitNs = ns;
    this.#timer ??= this.#newTimer();
    this.#timer.in(ns);
  }
  #newTimer(): Timer {
    const timer = new Timer();
    this.#parts.watches.watchFd(timer.fd, () => {
      timer.read();
      const rung = this.look();
      if (this.#lent.size > 0)
        this.#lookAfter(rung ? LOOK_NS : Math.min(2 * this.#waitNs, MOST_LOOK_NS));
    });
    return timer;
  }
  close(): void {
    for (const { pages } of this.#loans.values()) pages.free();
    this.#timer?.close();
  }
}

/** Of the pages that doorbells are in. */
export function doorbellBytes({ count }: Doorbells): number {
  return Math.ceil((count * 4) / PAGE) * PAGE;
}
/** Which of the first so many are others. */
function changes(seen: Uint32Array, found: Uint32Array, count: number): readonly number[] {
  let changed: number[] | undefined;
  for (let n = 0; n < count; n++) if (found[n] !== seen[n]) (changed ??= []).push(n);
  return changed ?? NOTHING;
}
const NOTHING: readonly number[] = [];
function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
