/**
 * Where a Bug inside a call ends: the caller gets EIO, the kernel log gets the call and the stack, the machine is
 * tainted, and locks the dead call held are abandoned. A Shortage of the host ends the call as well, but is nobody's bug.
 * Nothing else in the kernel layers catches anything.
 */
import { EIO, type Errno } from '../../base/errno.ts';
import type { KernelEnv } from '../../base/kernel-env.ts';
import { abandonLocks } from '../../base/lock.ts';
import { refuse } from '../../base/refuse.ts';
import { Shortage } from '../../base/shortage.ts';

/** A Bug that was caught, for the kernel log and for people. */
export interface BugReport {
  /** 'ioctl(/dev/iommu, 0x3b81)' */
  readonly during: string;
  readonly message: string;
  readonly stack: string;
  readonly locksAbandoned: readonly string[];
}

/** Runs calls and turns, and catches the Bugs in them. */
export class Guard {
  readonly #env: KernelEnv;
  /** Every Bug so far, in order. A test fails when there is one. */
  readonly reports: BugReport[] = [];
  readonly #onBug: (report: BugReport) => void;

  /** `onBug` is called with each report. */
  constructor(env: KernelEnv, onBug: (report: BugReport) => void = () => undefined) {
    this.#env = env;
    this.#onBug = onBug;
  }
  /** Throws Shortage, and nothing else. */
  run<T>(during: () => string, call: () => T): T | Errno<'EIO'> {
    try {
      return call();
    } catch (error) {
      if (error instanceof Shortage) {
        abandonLocks();
        // eslint-disable-next-line no-restricted-syntax -- what was caught, for whoever can answer it
        throw error;
      }
      return this.#report(during(), error);
    }
  }

  #report(during: string, error: unknown): Errno<'EIO'> {
    const known = error instanceof Error;
    const report: BugReport = {
      during,
      message: known ? error.message : String(error),
      stack: known ? (error.stack ?? error.message) : '',
      locksAbandoned: abandonLocks(),
    };
    this.reports.push(report);
    this.#env.tainted = true;
    this.#env.log('err', `BUG in ${during}: ${report.message}`);
    this.#env.warn('bug', `${during}: ${report.message}`);
    this.#onBug(report);
    return refuse(EIO, 'softiommu has a bug: the call was abandoned half-way', {
      message: report.message,
    });
  }
}
