/** The rule for vendor data from user space, the same for every driver (core.md 10.2). */
import { EINVAL, isErrno, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import type { UserData } from './domain.ts';

/**
 * The data as a struct, extended with zeros. The user's memory is touched last.
 * Errnos: EINVAL another type, or a length outside minLength … size; EFAULT unreadable.
 * @kernel iommu_copy_struct_from_user
 */
export function copyStructFromUser<F extends Fields>(
  data: UserData,
  type: number,
  shape: Struct<F>,
  minLength: number,
): Result<View<F>, 'EINVAL' | 'EFAULT'> {
  const { length } = data;
  if (data.type !== type) return refuse(EINVAL, 'the data is of another type', { type: data.type });
  if (length < minLength || length > shape.size) {
    return refuse(EINVAL, 'the data is shorter or longer than any version of its struct', {
      length,
      minLength,
      size: shape.size,
    });
  }
  const given = data.copy();
  if (isErrno(given)) return given;
  const bytes = new Uint8Array(shape.size);
  bytes.set(given);
  return shape.view(bytes);
}
