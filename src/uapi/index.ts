/**
 * softiommu/uapi: the structs, numbers and names of `linux/iommufd.h` and `linux/vfio.h`, verbatim, over plain bytes.
 * A struct is a description (`iommu_ioas_map.size`, `.offsets`): `make(values)` is a new one, `view(bytes)` one in place.
 *
 * @example
 * const alloc = iommu_ioas_alloc.make();
 * program.ioctl(fd, IOMMU_IOAS_ALLOC, alloc);
 * console.log(alloc.out_ioas_id);
 *
 * @module
 */
export * from './ioctl.ts';
export * from './iommufd.ts';
export * from './iommufd-test.ts';
export * from './pci-regs.ts';
export * from './vfio.ts';
export { bytes, struct, u16, u32, u64, u8 } from '../base/struct.ts';
export type { Fields, FieldType, Of, Struct, ValueOf, Values, View } from '../base/struct.ts';
