/** The one exception of the library: an errno with its reason, in the fields Node's own errors have. */
import { isErrno, type Errno, type ErrnoName } from '../base/errno.ts';
import { listening, type Facts, type Refusal } from '../base/refuse.ts';

/** What a call of the library throws when the kernel refuses: the errno and the rule that was broken. */
export class SoftIommuError extends Error {
  override name = 'SoftIommuError';
  /** 'EBUSY' */
  readonly code: ErrnoName;
  /** Negative, as in Node: -16. */
  readonly errno: number;
  /** 'ioctl VFIO_IOMMU_MAP_DMA', 'open /dev/vfio/0', 'attach' */
  readonly syscall: string;
  /** The rule that was broken, in words. */
  readonly reason: string;
  /** The values the rule was about. */
  readonly facts: Facts;

  constructor(errno: Errno, syscall: string, refusals: readonly Refusal[]) {
    const refusal = refusals.findLast((each) => each.errno === errno) ?? refusals.at(-1);
    const reason = refusal?.rule ?? 'no reason was given';
    super(`${errno.name}: ${reason}, ${syscall}`);
    this.code = errno.name;
    this.errno = -errno.number;
    this.syscall = syscall;
    this.reason = reason;
    this.facts = refusal?.facts ?? {};
  }
}

/** Run something of the kernel; its errno becomes a SoftIommuError. */
export function call<T>(syscall: string, run: () => T | Errno): T {
  const refusals: Refusal[] = [];
  const result = listening((refusal) => refusals.push(refusal), run);
  if (isErrno(result)) throw new SoftIommuError(result, syscall, refusals);
  return result;
}
