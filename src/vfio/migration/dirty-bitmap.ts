/** Bits of a user's bitmap for the pages that were written; other bits stay as they are (vfio.md 2.10). */
import { isErrno, type Status } from '../../base/errno.ts';
import type { Task } from '../../base/task.ts';
import { copyFromUser, copyToUser } from '../ioctl.ts';
import type { LoggedRange } from './dma-log.ts';

/** Where the bits are: bit n stands for the page n of the range that was asked for. */
export interface UserBitmap {
  readonly bitmap: bigint;
  readonly pageSize: bigint;
  readonly asked: LoggedRange;
}

/** EFAULT: the bitmap cannot be reached; some bits may be set. */
export function markBits(
  task: Task,
  { bitmap, pageSize, asked }: UserBitmap,
  written: readonly LoggedRange[],
): Status<'EFAULT'> {
  const bitOf = (address: bigint): bigint => (address - asked.first) / pageSize;
  for (const { first, last } of written) {
    const from = bitOf(first > asked.first ? first : asked.first);
    const to = bitOf(last < asked.last ? last : asked.last);
    const rc = setBits(task, bitmap, from, to);
    if (rc) return rc;
  }
  return undefined;
}

/** Both inclusive. */
function setBits(task: Task, bitmap: bigint, from: bigint, to: bigint): Status<'EFAULT'> {
  const start = from / 8n;
  const bytes = copyFromUser(task, bitmap + start, Number(to / 8n - start) + 1);
  if (isErrno(bytes)) return bytes;
  for (let bit = Number(from - start * 8n); bit <= Number(to - start * 8n); bit++) {
    bytes[bit >> 3]! |= 1 << (bit & 7);
  }
  return copyToUser(task, bitmap + start, bytes);
}
