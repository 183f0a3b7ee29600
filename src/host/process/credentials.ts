/** Credentials of a thread, as its /proc/TID/status has them. Read only when a node's mode alone does not decide. */
import type { Cred } from '../../machine/files/rights.ts';
import { callers } from '../sys/callers.ts';
import { readlink } from '../sys/libc.ts';
import { statusLine, textOf } from '../sys/procfs.ts';

/** A user of nothing: what a thread that is gone is taken for. */
const NOBODY = 65534;
/** The user namespace of the run. */
const USERS = readlink('/proc/self/ns/user');
/** Columns of the lines Uid and Gid. */
const COLUMN = { real: 0, effective: 1, fs: 3 } as const;

/** Which ids count: those of the file system for calls on files, the real ones for access(2). */
export type Ids = 'real' | 'fs';

/** struct cred of a real thread. */
export class HostCred implements Cred {
  readonly #tid: number;
  readonly #ids: Ids;
  readonly #simulated: ((cap: number) => boolean) | undefined;
  #status: string | undefined;

  /** `simulated`: the capabilities of the simulated machine, in the place of the host's. */
  constructor(tid: number, ids: Ids, simulated: ((cap: number) => boolean) | undefined) {
    this.#tid = tid;
    this.#ids = ids;
    this.#simulated = simulated;
  }
  get uid(): number {
    return this.#numbers('Uid')[COLUMN[this.#ids]] ?? NOBODY;
  }
  /** Who is charged for what is pinned. */
  get effectiveUid(): number {
    return this.#numbers('Uid')[COLUMN.effective] ?? NOBODY;
  }
  /** Real, effective and saved: what a process must be in all of to be somebody's (ptrace(2)). */
  get all(): { readonly uids: readonly number[]; readonly gids: readonly number[] } {
    return { uids: this.#numbers('Uid').slice(0, 3), gids: this.#numbers('Gid').slice(0, 3) };
  }
  get gid(): number {
    return this.#numbers('Gid')[COLUMN[this.#ids]] ?? NOBODY;
  }
  get groups(): readonly number[] {
    return this.#numbers('Groups');
  }
  /** By the real ids root has what it may have, and others nothing, whatever is in effect. */
  capable(cap: number): boolean {
    if (this.#simulated) return this.#simulated(cap);
    if (this.#ids === 'real' && this.uid !== 0) return false;
    // Those of a user namespace of its own are none over what is outside of it.
    if (readlink(`/proc/${this.#tid}/ns/user`) !== USERS) return false;
    const line = this.#ids === 'real' ? 'CapPrm' : 'CapEff';
    return ((BigInt(`0x${this.#line(line) || '0'}`) >> BigInt(cap)) & 1n) === 1n;
  }

  #numbers(name: string): number[] {
    return (this.#line(name).match(/\d+/g) ?? []).map(Number);
  }
  /** Of another thread that has the number by now, nothing. */
  #look(): string {
    const status = textOf(`/proc/${this.#tid}/status`);
    return callers.isGone(this.#tid) ? '' : status;
  }
  #line(name: string): string {
    this.#status ??= this.#look();
    return statusLine(this.#status, name);
  }
}
