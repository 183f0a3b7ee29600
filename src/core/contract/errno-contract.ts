/**
 * What the errno of a failed attach means to the caller (core.md 7.1).
 *
 * EINVAL is soft: the domain's configuration does not fit this device, another domain may. Everything else is hard;
 * an errno outside the contract is to be read as ENODEV, while the user still sees the original.
 */
import {
  EBUSY,
  EINVAL,
  ENODEV,
  ENOMEM,
  ENOSPC,
  type Errno,
  type Status,
} from '../../base/errno.ts';

/** What the errno of an attach means. */
export interface AttachVerdict {
  readonly kind: 'ok' | 'soft' | 'hard';
  /** What ran out, is in the way, or does not fit. */
  readonly concerns: 'nothing' | 'pair' | 'memory' | 'resource' | 'state' | 'device';
  /** The errno to reason with: ENODEV for one outside the contract. */
  readonly errno: Errno | undefined;
  /** The errno as the driver gave it: what the user gets. */
  readonly original: Errno | undefined;
  /** True when the driver broke the contract by using another errno. */
  readonly discouraged: boolean;
}

const CONTRACT = new Map<Errno, Pick<AttachVerdict, 'kind' | 'concerns'>>([
  [EINVAL, { kind: 'soft', concerns: 'pair' }],
  [ENOMEM, { kind: 'hard', concerns: 'memory' }],
  [ENOSPC, { kind: 'hard', concerns: 'resource' }],
  [EBUSY, { kind: 'hard', concerns: 'state' }],
  [ENODEV, { kind: 'hard', concerns: 'device' }],
]);

/** Classify the result of an attach. */
export function classifyAttach(rc: Status): AttachVerdict {
  if (!rc) {
    return {
      kind: 'ok',
      concerns: 'nothing',
      errno: undefined,
      original: undefined,
      discouraged: false,
    };
  }
  const row = CONTRACT.get(rc);
  if (row) return { ...row, errno: rc, original: rc, discouraged: false };
  return { kind: 'hard', concerns: 'device', errno: ENODEV, original: rc, discouraged: true };
}

/** May another, existing domain be tried? */
export function isSoft(rc: Status): boolean {
  return rc === EINVAL;
}
