/**
 * Every command of /dev/iommu by number, with its name and struct: what traces decode with and layout tests compare.
 * Numbers of VFIO mean different things on different files; they are in vfio.ts.
 */
import type { Fields, Struct } from '../base/struct.ts';
import * as uapi from './iommufd.ts';
import { IOMMU_TEST_CMD, iommu_test_cmd } from './iommufd-test.ts';

/** A struct of any fields, as a decoder sees it. */
export type AnyStruct = Pick<Struct<Fields>, 'cName' | 'size' | 'offsets'> & {
  view(bytes: Uint8Array): object;
};

export interface IoctlEntry {
  readonly command: number;
  readonly name: string;
  readonly struct: AnyStruct;
}

// prettier-ignore
export const IOMMUFD_IOCTLS: readonly IoctlEntry[] = [
  { command: uapi.IOMMU_DESTROY, name: 'IOMMU_DESTROY', struct: uapi.iommu_destroy },
  { command: uapi.IOMMU_IOAS_ALLOC, name: 'IOMMU_IOAS_ALLOC', struct: uapi.iommu_ioas_alloc },
  { command: uapi.IOMMU_IOAS_ALLOW_IOVAS, name: 'IOMMU_IOAS_ALLOW_IOVAS', struct: uapi.iommu_ioas_allow_iovas },
  { command: uapi.IOMMU_IOAS_COPY, name: 'IOMMU_IOAS_COPY', struct: uapi.iommu_ioas_copy },
  { command: uapi.IOMMU_IOAS_IOVA_RANGES, name: 'IOMMU_IOAS_IOVA_RANGES', struct: uapi.iommu_ioas_iova_ranges },
  { command: uapi.IOMMU_IOAS_MAP, name: 'IOMMU_IOAS_MAP', struct: uapi.iommu_ioas_map },
  { command: uapi.IOMMU_IOAS_UNMAP, name: 'IOMMU_IOAS_UNMAP', struct: uapi.iommu_ioas_unmap },
  { command: uapi.IOMMU_OPTION, name: 'IOMMU_OPTION', struct: uapi.iommu_option },
  { command: uapi.IOMMU_VFIO_IOAS, name: 'IOMMU_VFIO_IOAS', struct: uapi.iommu_vfio_ioas },
  { command: uapi.IOMMU_HWPT_ALLOC, name: 'IOMMU_HWPT_ALLOC', struct: uapi.iommu_hwpt_alloc },
  { command: uapi.IOMMU_GET_HW_INFO, name: 'IOMMU_GET_HW_INFO', struct: uapi.iommu_hw_info },
  { command: uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, name: 'IOMMU_HWPT_SET_DIRTY_TRACKING', struct: uapi.iommu_hwpt_set_dirty_tracking },
  { command: uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, name: 'IOMMU_HWPT_GET_DIRTY_BITMAP', struct: uapi.iommu_hwpt_get_dirty_bitmap },
  { command: uapi.IOMMU_HWPT_INVALIDATE, name: 'IOMMU_HWPT_INVALIDATE', struct: uapi.iommu_hwpt_invalidate },
  { command: uapi.IOMMU_FAULT_QUEUE_ALLOC, name: 'IOMMU_FAULT_QUEUE_ALLOC', struct: uapi.iommu_fault_alloc },
  { command: uapi.IOMMU_IOAS_MAP_FILE, name: 'IOMMU_IOAS_MAP_FILE', struct: uapi.iommu_ioas_map_file },
  { command: uapi.IOMMU_VIOMMU_ALLOC, name: 'IOMMU_VIOMMU_ALLOC', struct: uapi.iommu_viommu_alloc },
  { command: uapi.IOMMU_VDEVICE_ALLOC, name: 'IOMMU_VDEVICE_ALLOC', struct: uapi.iommu_vdevice_alloc },
  { command: uapi.IOMMU_IOAS_CHANGE_PROCESS, name: 'IOMMU_IOAS_CHANGE_PROCESS', struct: uapi.iommu_ioas_change_process },
  { command: uapi.IOMMU_VEVENTQ_ALLOC, name: 'IOMMU_VEVENTQ_ALLOC', struct: uapi.iommu_veventq_alloc },
  { command: uapi.IOMMU_HW_QUEUE_ALLOC, name: 'IOMMU_HW_QUEUE_ALLOC', struct: uapi.iommu_hw_queue_alloc },
  { command: uapi.IOMMU_IOAS_NOIOMMU_GET_PA, name: 'IOMMU_IOAS_NOIOMMU_GET_PA', struct: uapi.iommu_ioas_noiommu_get_pa },
  { command: IOMMU_TEST_CMD, name: 'IOMMU_TEST_CMD', struct: iommu_test_cmd },
];
