/** A small computer for tests of iommufd: programs with pages of their own, memory that counts pins, mock hardware. */
import { Bug } from '../../base/bug.ts';
import { EINVAL, isErrno, type Errno, type Result } from '../../base/errno.ts';
import { ForeignFile, type OpenFile, type SharedPages } from '../../base/file.ts';
import type { FailPoint, FailPolicy } from '../../base/fail-points.ts';
import { KernelEnv } from '../../base/kernel-env.ts';
import type { KernelTrait } from '../../base/kernel-traits.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import { UserAccounts, type Task } from '../../base/task.ts';
import { WaitQueue } from '../../base/wait-queue.ts';
import { Device } from '../../core/contract/device.ts';
import { IommuCore } from '../../core/contract/iommu-core.ts';
import { iommufdFileOps, openIommufd } from '../../iommufd/main.ts';
import { IommufdSubsystem } from '../../iommufd/subsystem.ts';
import { MachineSelftest } from '../../machine/kernel/selftest-hardware.ts';
import { Ram } from '../../pt/ram.ts';
import { Frames } from './frames.ts';
import {
  ARG,
  ARG_READ_ONLY,
  ARRAY,
  ARRAY_READ_ONLY,
  BUFFER,
  BUFFER_PAGES,
  SHARED,
  SHARED_PAGES,
  TestMm,
  TestTask,
} from './process.ts';

/** How the caller gives its struct, where not as it should. */
export interface CallFlaws {
  /** The size it claims. */
  readonly size?: number;
  /** One bit turned over, before `size` is set. */
  readonly flip?: { readonly word: number; readonly bit: number };
  /** At the end of its page, over that end, nowhere, or where it cannot be written. */
  readonly place?: 'edge' | 'torn' | 'nowhere' | 'read-only';
  /** What lies behind the struct. */
  readonly tail?: number;
}

const TRAITS: readonly KernelTrait[] = ['iommufd-noiommu', 'iommufd-selftest', 'test-dev'];

export class World {
  readonly env: KernelEnv;
  readonly ram: Ram;
  readonly core: IommuCore;
  readonly frames = new Frames();
  readonly accounts = new UserAccounts();
  readonly subsystem: IommufdSubsystem;
  sharedPagesMade = 0;
  sharedPagesFreed = 0;
  #devices = 0;
  #inodes = 0;

  constructor(
    given: {
      readonly ramBytes?: number;
      readonly traits?: readonly KernelTrait[];
      readonly env?: KernelEnv;
    } = {},
  ) {
    const faults: FailPolicy = { fails: (point, current) => this.fails(point, current) };
    const traits = [...TRAITS, ...(given.traits ?? [])];
    this.env = given.env ?? new KernelEnv(traits, undefined, faults);
    this.ram = new Ram(given.ramBytes ?? 1 << 26, this.env);
    this.core = new IommuCore(this.env, this.ram);
    this.subsystem = new IommufdSubsystem({
      core: this.core,
      memory: this.frames,
      accounts: this.accounts,
      fileOps: iommufdFileOps,
      newSharedPages: (length) => this.#newSharedPages(length),
      selftest: new MachineSelftest(this.core),
    });
  }
  /** What fails: what the task says whose call it is. */
  fails(point: FailPoint, current: Task | undefined): boolean {
    return current instanceof TestTask && current.shouldFail(point);
  }
  task(): TestTask {
    return new TestTask(this.mm());
  }
  /** The memory of a program that has just started. */
  mm(): TestMm {
    const mm = new TestMm(this.frames);
    mm.map(ARG, 1);
    mm.mapReadOnly(ARG_READ_ONLY, ARG, 1);
    mm.map(ARRAY, 4);
    mm.mapReadOnly(ARRAY_READ_ONLY, ARRAY, 1);
    mm.map(BUFFER, BUFFER_PAGES, { alignPages: 512 });
    mm.map(SHARED, SHARED_PAGES);
    return mm;
  }
  /** A memfd of so many pages. */
  memfd(pages: number): ForeignFile {
    const first = this.frames.fresh(pages);
    const { frames } = this;
    return new ForeignFile(`memfd:${++this.#inodes}`, () => BigInt(pages) << 12n, {
      pin(index, count, _write, pfns, at) {
        if (index + count > pages) return EINVAL;
        for (let n = 0; n < count; n++) pfns[at + n] = first + index + n;
        frames.addPin(first + index, count);
        return undefined;
      },
    });
  }
  open(task: TestTask = this.task()): Iommufd {
    return new Iommufd(this, task, openIommufd(this.subsystem));
  }
  /** A device no IOMMU driver serves. */
  noiommuDevice(): Device {
    return new Device(this.core, { name: `noiommu${++this.#devices}`, bus: 'platform' });
  }
  #newSharedPages(length: number): SharedPages {
    this.sharedPagesMade++;
    const bytes = new Uint8Array(length);
    return {
      length,
      read: (offset, into) => into.set(bytes.subarray(offset, offset + into.length)),
      write: (offset, from) => bytes.set(from, offset),
      free: () => this.sharedPagesFreed++,
    };
  }
}

type Values<F extends Fields> = { [K in keyof F]?: View<F>[K & keyof View<F>] };

/** One open of /dev/iommu by one task. */
export class Iommufd {
  readonly world: World;
  task: TestTask;
  readonly file: OpenFile;
  /** How the next struct is given. */
  flaws: CallFlaws = {};
  constructor(world: World, task: TestTask, file: OpenFile) {
    this.world = world;
    this.task = task;
    this.file = file;
  }
  /** Raw ioctl. */
  ioctl(cmd: number, arg: bigint): Result<number> {
    const { file, task } = this;
    const result = this.world.env.runAs(task, () => file.ops.ioctl!(file, task, cmd, arg));
    if (result instanceof WaitQueue) throw new Bug('an iommufd ioctl never sleeps');
    return result;
  }
  /** A command with its struct: the errno, or the struct after the call. */
  call<F extends Fields>(cmd: number, layout: Struct<F>, values: Values<F>): View<F> | Errno {
    const view = layout.view(new Uint8Array(layout.size));
    const fields = view as unknown as Record<string, unknown>;
    // The first field says how long the struct is.
    for (const name of ['size', 'argsz'])
      if (layout.offsets[name] === 0) fields[name] = layout.size;
    for (const [name, value] of Object.entries(values)) fields[name] = value;
    spoil(view.bytes, this.flaws);
    const arg = this.#put(view.bytes);
    const rc = this.ioctl(cmd, arg);
    void this.task.mem.read(arg, view.bytes);
    return isErrno(rc) ? rc : view;
  }
  /** Write the struct where the call finds it. */
  #put(bytes: Uint8Array): bigint {
    const { place, tail } = this.flaws;
    const end = ARG + 4096n;
    if (place === 'nowhere') return end;
    let arg = ARG;
    if (place === 'edge') arg = end - BigInt(bytes.length);
    if (place === 'torn') arg = end - BigInt(bytes.length) + 4n;
    const fits = place === 'torn' ? bytes.subarray(0, bytes.length - 4) : bytes;
    void this.task.mem.write(arg, fits);
    if (tail !== undefined)
      void this.task.mem.write(arg + BigInt(bytes.length), Uint8Array.of(tail));
    return place === 'read-only' ? ARG_READ_ONLY : arg;
  }
  /** The same, for calls that must work. */
  must<F extends Fields>(cmd: number, layout: Struct<F>, values: Values<F>): View<F> {
    const result = this.call(cmd, layout, values);
    if (isErrno(result)) throw new Error(`${layout.cName}: ${result.name}`);
    return result;
  }
  close(): void {
    this.file.put();
  }
}

function spoil(bytes: Uint8Array, { size, flip }: CallFlaws): void {
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  if (flip) words[flip.word % words.length]! ^= 1 << flip.bit;
  if (size !== undefined) words[0] = size;
}
