/**
 * Which processes have which address space: nearly always one each, but a child of vfork() or clone(CLONE_VM) has its
 * parent's until it becomes another program.
 *
 * The host's kernel says who shares with whom (kcmp). Where it may not be asked, as in a default container, each process has
 * an address space of its own for us. Then what such a child has mapped still is the right memory, before and after its
 * exec; but it is charged to the child, and pages the child unmaps are not parted from its parent's pins.
 */
import { EFAULT } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Machine } from '../../machine/machine.ts';
import type { MachineMm } from '../../machine/memory/mm.ts';
import * as libc from '../sys/libc.ts';
import { hasEnded, threadsOf } from '../sys/procfs.ts';
import { AddressSpace, type SpaceParts } from './address-space.ts';

/** An address space that processes of the run have. @kernel mm_struct */
export interface HostMm {
  /** Undefined: we may not look into it. */
  readonly space: AddressSpace | undefined;
  readonly mm: MachineMm;
  /** By number: the processes we know to have it. */
  readonly users: Set<number>;
}

/** The address spaces of a run. */
export class AddressSpaces {
  readonly #machine: Pick<Machine, 'addMm'>;
  readonly #parts: SpaceParts;
  readonly #all = new Set<HostMm>();
  constructor(machine: Pick<Machine, 'addMm'>, parts: SpaceParts) {
    this.#machine = machine;
    this.#parts = parts;
  }

  /** The one a thread of a process has, which nobody known has yet. */
  open(tid: number, pid: number): HostMm {
    const space = AddressSpace.open(tid, this.#parts);
    const mm = this.#machine.addMm(space ?? NO_MEMORY);
    const made = { space, mm, users: new Set([pid]) };
    this.#all.add(made);
    return made;
  }
  /** The one a thread shares with a process we know. `isSettled`: no exec is under way there. */
  sharedWith(tid: number, isSettled: (pid: number) => boolean): HostMm | undefined {
    for (const known of this.#all) {
      const user = [...known.users].find(isSettled);
      const thread = known.space && user !== undefined && livingThread(user, known.space.thread);
      if (thread && libc.sharesMemory(tid, thread)) return known;
    }
    return undefined;
  }
  /** A process has ended, or has become another program. */
  leave(hostMm: HostMm, pid: number): void {
    hostMm.users.delete(pid);
    if (hostMm.users.size === 0) hostMm.mm.exit();
    this.#closeDead();
  }
  /** With nobody we know it may still be alive: pages of it that devices have pinned are reached then. */
  #closeDead(): void {
    for (const one of this.#all) {
      if (one.users.size > 0 || one.space?.alive) continue;
      one.space?.close();
      this.#all.delete(one);
    }
  }
  closeAll(): void {
    for (const { mm, space } of this.#all) {
      mm.exit();
      space?.close();
    }
    this.#all.clear();
  }
}

/** One that has ended, as a leader may have, has no memory to compare. */
function livingThread(pid: number, known: number): number | undefined {
  if (libc.exists(`/proc/${pid}/task/${known}`) && !hasEnded(known)) return known;
  return threadsOf(pid).find((tid) => !hasEnded(tid));
}

/** The address space of a process we may not look into, or that is gone. */
const NO_MEMORY = {
  alive: false,
  vma: () => undefined,
  hasPage: () => false,
  read: () => refuse(EFAULT, 'the address space cannot be reached'),
  write: () => refuse(EFAULT, 'the address space cannot be reached'),
};
