/** Checks that many commands begin with: flags, reserved fields, a type (iommufd.md 1.4). */
import { EOPNOTSUPP, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';

/** No bit but those of `known`. */
export function checkFlags(flags: number, known = 0): Status<'EOPNOTSUPP'> {
  if ((flags & ~known) === 0) return undefined;
  return refuse(EOPNOTSUPP, 'unknown flag', { flags, known });
}
/** A field for later kernels must be 0 in this one. */
export function checkReserved(field: number): Status<'EOPNOTSUPP'> {
  if (field === 0) return undefined;
  return refuse(EOPNOTSUPP, 'the reserved field is not 0', { field });
}
/** 0 is the type of nothing. */
export function checkType(type: number): Status<'EOPNOTSUPP'> {
  if (type !== 0) return undefined;
  return refuse(EOPNOTSUPP, 'the type is 0, which is none', { type });
}
