/**
 * One simulated computer: the kernel layers wired to RAM, devices, files and time (architecture 1.2).
 *
 * Everything a program can reach hangs on `root` (nodes) and `syscalls` (calls); everything a test wants to know of the
 * whole is here: the state digest, what is left over, the Bugs met.
 */
import type { Status } from '../base/errno.ts';
import { KernelEnv } from '../base/kernel-env.ts';
import { UserAccounts } from '../base/task.ts';
import { IommuCore } from '../core/iommu-core.ts';
import { Ram } from '../pt/ram.ts';
import { Guard } from './guard.ts';
import { DEFAULT_KERNEL, traitsOf } from './kernel.ts';
import { FilePages, MachineMm, ObjectTable } from './mm.ts';
import type { DirNode } from './nodes.ts';
import { MachineMemory } from './physical-memory.ts';
import type { ObjectMemory, ProcessMemory } from './process.ts';
import { Syscalls } from './syscalls.ts';
import { dir } from './tree.ts';

export class Machine {
  readonly env: KernelEnv;
  readonly ram: Ram;
  readonly core: IommuCore;
  readonly memory: MachineMemory;
  readonly accounts = new UserAccounts();
  readonly guard: Guard;
  readonly syscalls: Syscalls;
  /** Children 'dev' and 'sys'. */
  readonly root: DirNode;
  readonly #objects = new ObjectTable();
  #mmSeq = 0;

  constructor() {
    this.env = new KernelEnv(traitsOf(DEFAULT_KERNEL));
    this.ram = new Ram(2 ** 28);
    this.core = new IommuCore(this.env, this.ram);
    this.memory = new MachineMemory(this.ram);
    this.guard = new Guard(this.env);
    this.syscalls = new Syscalls(this.env, this.guard);
    const dev = dir(() => ({}), true);
    const sys = dir(() => ({}), true);
    this.root = dir(() => ({ dev, sys }), true);
  }

  /** A new address space. Call its `exit()` when the last task of it is gone. */
  addMm(memory: ProcessMemory): MachineMm {
    return new MachineMm(++this.#mmSeq, { memory, frames: this.memory, objects: this.#objects });
  }

  /** A file that can be pinned by itself (ForeignFile.pages). */
  filePages(memory: ObjectMemory): FilePages {
    return new FilePages({ memory, frames: this.memory, objects: this.#objects });
  }

  /** Run every timer of the machine up to then: device delays, flush queues. */
  advanceTo(nowNs: number): Status<'EIO'> {
    return this.guard.run(
      () => 'a timer',
      () => {
        this.env.clock.advanceTo(nowNs);
        return undefined;
      },
    );
  }
}
