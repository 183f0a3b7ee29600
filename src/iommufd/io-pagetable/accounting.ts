/**
 * Who pays for pinned pages, and how many it may pin (iommufd.md 3.8).
 *
 * What the caller is at the call counts: it may change its user or its memory later, or be gone.
 */
import { ENOMEM, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Mm, Task, UserAccounts } from '../../base/task.ts';

/** Who is charged: nobody, the user, or the address space. */
export type AccountMode = 'none' | 'user' | 'mm';

/** Whom pages are charged to. */
export interface Payer {
  readonly mode: AccountMode;
  readonly task: Task;
  readonly mm: Mm;
  /** -1 where no user is charged. */
  readonly uid: number;
}

/** The accounts of one machine, as iommufd keeps them. */
export class Accounting {
  readonly #accounts: UserAccounts;
  /** The payer of the last mapping: mostly that of the next one too. */
  #last: Payer | undefined;

  constructor(accounts: UserAccounts) {
    this.#accounts = accounts;
  }
  /** The task as it is now; one call of it after the other gets the same object. */
  payerOf(task: Task, mode: AccountMode): Payer {
    const last = this.#last;
    const uid = mode === 'user' ? task.uid : -1;
    const same =
      last?.task === task && last.mm === task.mm && last.uid === uid && last.mode === mode;
    if (same) return last;
    this.#last = { mode, task, mm: task.mm, uid };
    return this.#last;
  }
  /**
   * So many pages more. ENOMEM: RLIMIT_MEMLOCK of the one who mapped does not allow it.
   * @kernel iopt_pages_charge
   */
  charge(payer: Payer, npages: number): Status<'ENOMEM'> {
    const { mode, uid, mm } = payer;
    if (mode === 'none') return undefined;
    const limit = Number(payer.task.rlimitMemlock >> 12n);
    const now = mode === 'user' ? this.#accounts.lockedPages(uid) : mm.lockedVm;
    if (now + npages > limit) {
      return refuse(ENOMEM, 'RLIMIT_MEMLOCK does not allow to pin so many pages', {
        pinned: now,
        wanted: npages,
        limit,
        ...(mode === 'user' && { uid }),
      });
    }
    if (mode === 'user') this.#accounts.add(uid, npages);
    else mm.lockedVm += npages;
    return undefined;
  }
  /** So many pages less. */
  uncharge({ mode, uid, mm }: Payer, npages: number): void {
    if (mode === 'user') this.#accounts.add(uid, -npages);
    else if (mode === 'mm') mm.lockedVm -= npages;
  }
}
