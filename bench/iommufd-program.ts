/**
 * A program with /dev/iommu open, for benchmarks: its calls go straight to the file's ioctl handler, without the trap.
 * Memory, pins and page tables are those of the machine, not doubles.
 */
import { isErrno, type Result } from '../src/base/errno.ts';
import type { OpenFile } from '../src/base/file.ts';
import { KernelEnv } from '../src/base/kernel-env.ts';
import { UserAccounts, type Task } from '../src/base/task.ts';
import { U64_MAX } from '../src/base/u64.ts';
import { IommuCore } from '../src/core/contract/iommu-core.ts';
import { iommufdFileOps, openIommufd } from '../src/iommufd/main.ts';
import { IommufdSubsystem } from '../src/iommufd/subsystem.ts';
import { MachineMm, MappedObjects } from '../src/machine/memory/mm.ts';
import { MachineMemory } from '../src/machine/memory/physical-memory.ts';
import { ProgramMemory } from '../src/machine/program/program-memory.ts';
import { MachineSelftest } from '../src/machine/kernel/selftest-hardware.ts';
import { PlainPages } from '../src/machine/program/shared-pages.ts';
import { Ram } from '../src/pt/ram.ts';
import * as uapi from '../src/uapi/iommufd.ts';
import { IOMMU_TEST_CMD, IOMMU_TEST_OP_MOCK_DOMAIN } from '../src/uapi/iommufd-test.ts';

const BUFFER_PAGES = 1024;
const RW = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE;

export function must<T>(result: Result<T>): T {
  if (isErrno(result)) throw new Error(result.name);
  return result;
}

export class IommufdProgram {
  readonly memory = new ProgramMemory();
  readonly frames: MachineMemory;
  readonly task: Task;
  readonly file: OpenFile;
  /** Guaranteed 2 MiB aligned. */
  readonly buffer: bigint;
  readonly #bufferAt: number;
  readonly #arg: bigint;
  readonly #words: DataView;

  constructor() {
    const core = new IommuCore(new KernelEnv(['iommufd-selftest']), new Ram(256 << 20));
    this.frames = new MachineMemory(core.ram);
    const subsystem = new IommufdSubsystem({
      core,
      memory: this.frames,
      accounts: new UserAccounts(),
      fileOps: iommufdFileOps,
      newSharedPages: (length) => new PlainPages('shared', length),
      selftest: new MachineSelftest(core),
    });
    const mm = new MachineMm(1, {
      memory: this.memory,
      frames: this.frames,
      objects: new MappedObjects(),
    });
    this.task = taskOf(this.memory, mm);
    this.#arg = must(this.memory.map(4096));
    this.buffer = must(this.memory.map(BUFFER_PAGES * 4096, { address: 0x4000_0000n }));
    this.#bufferAt = Number(this.buffer);
    const bytes = this.memory.view(this.#arg, 4096)!;
    this.#words = new DataView(bytes.buffer, bytes.byteOffset);
    this.file = openIommufd(subsystem);
  }

  ioasAlloc(): number {
    this.#words.setUint32(0, 12, true);
    this.#words.setUint32(4, 0, true);
    this.#call(uapi.IOMMU_IOAS_ALLOC);
    return this.#words.getUint32(8, true);
  }
  /** Attach a device with the selftest's page table to an IOAS. */
  attachDevice(ioas: number): void {
    const words = this.#words;
    for (let at = 0; at < 72; at += 4) words.setUint32(at, 0, true);
    words.setUint32(0, 72, true);
    words.setUint32(4, IOMMU_TEST_OP_MOCK_DOMAIN, true);
    words.setUint32(8, ioas, true);
    this.#call(IOMMU_TEST_CMD);
  }
  /** Map pages of the buffer at an IOVA below 2^53, or wherever there is room for -1; the result is the IOVA. */
  map(ioas: number, page: number, pages: number, iova: number): number {
    return this.mapBytes(ioas, page * 4096, pages * 4096, iova);
  }
  /** The same in bytes, from an offset in the buffer on. */
  mapBytes(ioas: number, offset: number, length: number, iova: number): number {
    const words = this.#words;
    words.setUint32(0, 40, true);
    words.setUint32(4, iova < 0 ? RW : RW | uapi.IOMMU_IOAS_MAP_FIXED_IOVA, true);
    words.setUint32(8, ioas, true);
    words.setUint32(12, 0, true);
    this.#setU64(16, this.#bufferAt + offset);
    this.#setU64(24, length);
    this.#setU64(32, Math.max(iova, 0));
    this.#call(uapi.IOMMU_IOAS_MAP);
    return words.getUint32(36, true) * 2 ** 32 + words.getUint32(32, true);
  }
  /** The result is the bytes unmapped. */
  unmap(ioas: number, iova: number, length: number): number {
    const words = this.#words;
    words.setUint32(0, 24, true);
    words.setUint32(4, ioas, true);
    this.#setU64(8, iova);
    this.#setU64(16, length);
    this.#call(uapi.IOMMU_IOAS_UNMAP);
    return words.getUint32(20, true) * 2 ** 32 + words.getUint32(16, true);
  }
  unmapAll(ioas: number): number {
    const words = this.#words;
    words.setUint32(0, 24, true);
    words.setUint32(4, ioas, true);
    this.#setU64(8, 0);
    words.setUint32(16, 0xffff_ffff, true);
    words.setUint32(20, 0xffff_ffff, true);
    this.#call(uapi.IOMMU_IOAS_UNMAP);
    return words.getUint32(20, true) * 2 ** 32 + words.getUint32(16, true);
  }

  #setU64(at: number, value: number): void {
    this.#words.setUint32(at, value % 2 ** 32, true);
    this.#words.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }
  #call(command: number): void {
    const result = this.file.ops.ioctl!(this.file, this.task, command, this.#arg);
    if (result !== 0) throw new Error(`command 0x${command.toString(16)} was refused`);
  }
}

function taskOf(memory: ProgramMemory, mm: MachineMm): Task {
  const none = (): never => {
    throw new Error('this program has no files');
  };
  return {
    pid: 1,
    tid: 1,
    uid: 0,
    mem: memory,
    mm,
    capable: () => true,
    rlimitMemlock: U64_MAX,
    getFile: none,
    installFile: none,
    getEventfd: none,
  };
}
