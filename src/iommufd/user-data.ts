/** Vendor data of commands, handed to drivers as bytes (core.md 10.2). */
import { E2BIG, EFAULT, EINVAL, type Result, type Status } from '../base/errno.ts';
import { bugOn } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import type { UserArray, UserData } from '../core/contract/domain.ts';

/** Vendor data of a command; none when the length is 0. */
export function userData(
  task: Task,
  type: number,
  uptr: bigint,
  length: number,
): UserData | undefined {
  if (length === 0) return undefined;
  return {
    type,
    length,
    copy() {
      const bytes = new Uint8Array(length);
      if (!task.mem.read(uptr, bytes)) return bytes;
      return refuse(EFAULT, 'the vendor data is not readable', { uptr, length });
    },
    copyBack: (from: Uint8Array): Status<'EFAULT' | 'EINVAL'> =>
      task.mem.write(uptr, from.subarray(0, length)),
  };
}

/** An array of vendor entries in the caller's memory. */
export class UserEntries implements UserArray {
  readonly type: number;
  readonly entryLength: number;
  readonly entryCount: number;
  readonly #task: Task;
  readonly #uptr: bigint;

  constructor(task: Task, uptr: bigint, type: number, entryLength: number, entryCount: number) {
    this.#task = task;
    this.#uptr = uptr;
    this.type = type;
    this.entryLength = entryLength;
    this.entryCount = entryCount;
  }
  entry(
    index: number,
    size: number,
    minSize: number,
  ): Result<Uint8Array, 'EFAULT' | 'EINVAL' | 'E2BIG'> {
    bugOn(index >= this.entryCount, 'a driver reads an entry beyond the array');
    const { entryLength } = this;
    if (entryLength < minSize) {
      return refuse(EINVAL, 'the entries are too short', { entryLength, minSize });
    }
    if (minSize > 0 && entryLength > size) {
      return refuse(EINVAL, 'the entries are longer than known', { entryLength, size });
    }
    const all = new Uint8Array(entryLength);
    if (this.#task.mem.read(this.#uptr + BigInt(index * entryLength), all)) {
      return refuse(EFAULT, 'an entry is not readable', { index });
    }
    if (all.subarray(size).some((byte) => byte !== 0)) {
      return refuse(E2BIG, 'an entry is longer than known and its tail is not 0', { index });
    }
    const bytes = new Uint8Array(size);
    bytes.set(all.subarray(0, size));
    return bytes;
  }
}
