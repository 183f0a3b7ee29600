/** The rules for vendor data from user space, as the mock driver applies them (core.md 10.2). */
import { EINVAL, type Result } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Fields, Struct, View } from '../../base/struct.ts';
import type { UserData } from '../../core/domain.ts';

/**
 * View the data as a struct, extended with zeros.
 * Errnos: EINVAL another type, or a length outside minLength … size.
 * @kernel iommu_copy_struct_from_user
 */
export function structFromUser<F extends Fields>(
  data: UserData,
  type: number,
  shape: Struct<F>,
  minLength: number,
): Result<View<F>, 'EINVAL'> {
  const { length } = data.bytes;
  if (data.type !== type) return refuse(EINVAL, 'the data is of another type', { type: data.type });
  if (length < minLength || length > shape.size) {
    return refuse(EINVAL, 'the data is shorter or longer than any version of its struct', {
      length,
      minLength,
      size: shape.size,
    });
  }
  const bytes = new Uint8Array(shape.size);
  bytes.set(data.bytes);
  return shape.view(bytes);
}
