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
import type { Doorbells, MmioWindow } from '../../base/file.ts';
import type { Syscalls } from '../../machine/files/syscalls.ts';
import { Timer } from '../sys/timer.ts';
import type { MapsLine } from '../sys/map-query.ts';
import * as libc from '../sys/libc.ts';
import { LentPages } from './lent-pages.ts';

const PAGE = 4096;
/** Of trapped stores in a row, so many make a loan, if they come within so long. */
const MANY = 8;
const SOON_NS = 20e6;
/** A lent page is looked at after so long, and after twice as long each time when nothing has changed. */
const LOOK_NS = 50_000;
const MOST_LOOK_NS = 1e6;
/** So long without a change, and it is taken back. */
const IDLE_NS = 10e6;

/** What it is made of. */
export interface LoanParts {
  readonly machine: {
    readonly syscalls: Pick<Syscalls, 'store'>;
    readonly env: { readonly trace: { readonly hears: { readonly store: boolean } } };
  };
  readonly watches: { watchFd(fd: number, run: () => void): Disposable };
}

/** The doorbells of one device, in the programs that have them mapped. */
export interface Loan {
  readonly pages: LentPages;
  readonly window: MmioWindow;
  readonly doorbells: Doorbells;
  /** Their values at the last look. */
  readonly seen: Uint32Array;
  /** The process that has rung last. */
  pid: number;
  /** Trapped stores in a row, and when the first of them was. */
  stores: number;
  sinceNs: number;
  /** When something was rung last. */
  rungNs: number;
  /** How often programs have it mapped. */
  mappings: number;
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
    const loan: Loan = { pages, window, doorbells, seen, ...rung, mappings: 0 };
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
    if (++loan.stores >= MANY && !this.#parts.machine.env.trace.hears.store) this.#lend(loan, now);
  }

  #lend(loan: Loan, now: number): void {
    const { doorbells, pages, seen, window } = loan;
    if (window.accessible?.() === false) return;
    for (let n = 0; n < doorbells.count; n++) seen[n] = doorbells.value(n);
    if (!pages.lend(bytesOf(seen))) return;
    loan.stores = 0;
    loan.rungNs = now;
    this.#lent.add(loan);
    this.#lookAfter(LOOK_NS);
  }
  #look(loan: Loan): boolean {
    const { doorbells, pages, seen, window } = loan;
    const values = new Uint32Array(doorbells.count);
    pages.look(bytesOf(values));
    const now = libc.monotonicNs();
    const rung = changes(seen, values);
    if (rung.length > 0) loan.rungNs = now;
    const isOver = now - loan.rungNs > IDLE_NS || this.#parts.machine.env.trace.hears.store;
    if (isOver || window.accessible?.() === false || rung.some((n) => doorbells.isControl(n))) {
      this.#takeBack(loan);
    } else this.#ring(loan, rung, values);
    return rung.length > 0;
  }
  #takeBack(loan: Loan): void {
    const { pages, seen } = loan;
    const values = new Uint32Array(seen.length);
    if (!pages.takeBack(bytesOf(values))) return;
    this.#lent.delete(loan);
    this.#ring(loan, changes(seen, values), values);
  }
  /** What makes and ends others is the last: what was rung before it is among them. */
  #ring(loan: Loan, rung: readonly number[], values: Uint32Array): void {
    const { doorbells, pid, seen, window } = loan;
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
function changes(seen: Uint32Array, values: Uint32Array): number[] {
  const changed: number[] = [];
  for (let n = 0; n < values.length; n++) if (values[n] !== seen[n]) changed.push(n);
  return changed;
}
function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
