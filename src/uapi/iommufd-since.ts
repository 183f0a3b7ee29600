/**
 * What joined the ABI of /dev/iommu in which release (iommufd.md 1.2, 2.5-2.22, chapter 9): the one place that says so,
 * for the dispatcher (iommufd/kernel-abi.ts) and for docs/abi.md. What is as old as its command is not listed.
 */
import type { KernelTrait } from '../base/kernel-traits.ts';
import type { Release } from '../base/kernel-release.ts';
import * as uapi from './iommufd.ts';
import { IOMMU_TEST_CMD } from './iommufd-test.ts';

/**
 * The first release that has it. With a question mark: the release before has it not, a later one has, and the
 * specification does not tell which; this one is taken.
 */
export type Since = Release | `${Release}?`;

/** The release, without the mark that it is uncertain. */
export function releaseOf(since: Since): Release {
  // cast: a Since is a Release, with a mark or without
  return since.replace('?', '') as Release;
}

/** When a command came. */
export interface CommandSince {
  readonly since: Release;
  /** A kernel with this trait has the command before its release. */
  readonly orWith?: KernelTrait;
  /** A kernel without this trait does not have it at all. */
  readonly onlyWith?: KernelTrait;
}

// prettier-ignore
/** Every command of /dev/iommu by its number. */
export const COMMANDS_SINCE: ReadonlyMap<number, CommandSince> = new Map<number, CommandSince>([
  [uapi.IOMMU_DESTROY, { since: '6.2' }],
  [uapi.IOMMU_IOAS_ALLOC, { since: '6.2' }],
  [uapi.IOMMU_IOAS_ALLOW_IOVAS, { since: '6.2' }],
  [uapi.IOMMU_IOAS_COPY, { since: '6.2' }],
  [uapi.IOMMU_IOAS_IOVA_RANGES, { since: '6.2' }],
  [uapi.IOMMU_IOAS_MAP, { since: '6.2' }],
  [uapi.IOMMU_IOAS_UNMAP, { since: '6.2' }],
  [uapi.IOMMU_OPTION, { since: '6.2' }],
  [uapi.IOMMU_VFIO_IOAS, { since: '6.2' }],
  [uapi.IOMMU_HWPT_ALLOC, { since: '6.6' }],
  [uapi.IOMMU_GET_HW_INFO, { since: '6.6' }],
  [uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, { since: '6.7' }],
  [uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, { since: '6.7' }],
  [uapi.IOMMU_HWPT_INVALIDATE, { since: '6.8' }],
  [uapi.IOMMU_FAULT_QUEUE_ALLOC, { since: '6.11' }],
  [uapi.IOMMU_IOAS_MAP_FILE, { since: '6.13' }],
  [uapi.IOMMU_VIOMMU_ALLOC, { since: '6.13' }],
  [uapi.IOMMU_VDEVICE_ALLOC, { since: '6.13' }],
  [uapi.IOMMU_IOAS_CHANGE_PROCESS, { since: '6.13' }],
  [uapi.IOMMU_VEVENTQ_ALLOC, { since: '6.15' }],
  [uapi.IOMMU_HW_QUEUE_ALLOC, { since: '6.17' }],
  [uapi.IOMMU_IOAS_NOIOMMU_GET_PA, { since: '7.3', orWith: 'iommufd-noiommu' }],
  [IOMMU_TEST_CMD, { since: '6.2', onlyWith: 'iommufd-selftest' }],
]);

/** mmap(2) of the file: what the kernel before answers to files that cannot be mapped. */
export const MMAP_SINCE: Release = '6.17';

/** When a field came to a struct that was there before. */
export interface FieldSince {
  readonly struct: string;
  readonly field: string;
  readonly since: Since;
  /** Of the kernels before: their struct ends before the field, or the field is among the reserved bytes. */
  readonly before: 'shorter' | 'reserved';
}

/** Every field that is younger than its command. */
export const FIELDS_SINCE: readonly FieldSince[] = [
  { struct: 'iommu_hwpt_alloc', field: 'data_type', since: '6.7', before: 'shorter' },
  { struct: 'iommu_hwpt_alloc', field: 'fault_id', since: '6.11', before: 'shorter' },
  { struct: 'iommu_hw_info', field: 'out_capabilities', since: '6.7', before: 'shorter' },
  { struct: 'iommu_hw_info', field: 'out_max_pasid_log2', since: '6.13?', before: 'reserved' },
  { struct: 'iommu_viommu_alloc', field: 'data_len', since: '6.17', before: 'shorter' },
];

/** When a flag came; `bits` are its value. */
export interface FlagSince {
  readonly name: string;
  readonly bits: number;
  readonly since: Since;
}

/** Flags a call takes, and capabilities it tells, by the place that looks at them. */
export const FLAGS_SINCE = {
  'IOMMU_HWPT_ALLOC on an IOAS': [
    { name: 'NEST_PARENT', bits: uapi.IOMMU_HWPT_ALLOC_NEST_PARENT, since: '6.7' },
    { name: 'DIRTY_TRACKING', bits: uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING, since: '6.7' },
    { name: 'FAULT_ID_VALID', bits: uapi.IOMMU_HWPT_FAULT_ID_VALID, since: '6.13?' },
    { name: 'PASID', bits: uapi.IOMMU_HWPT_ALLOC_PASID, since: '6.14' },
  ],
  'IOMMU_HWPT_ALLOC, nested': [
    { name: 'FAULT_ID_VALID', bits: uapi.IOMMU_HWPT_FAULT_ID_VALID, since: '6.11' },
    { name: 'PASID', bits: uapi.IOMMU_HWPT_ALLOC_PASID, since: '6.14' },
  ],
  IOMMU_GET_HW_INFO: [
    { name: 'INPUT_TYPE', bits: uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE, since: '6.17' },
  ],
  'IOMMU_GET_HW_INFO, out_capabilities': [
    { name: 'PCI_PASID_EXEC', bits: Number(uapi.IOMMU_HW_CAP_PCI_PASID_EXEC), since: '6.13?' },
    { name: 'PCI_PASID_PRIV', bits: Number(uapi.IOMMU_HW_CAP_PCI_PASID_PRIV), since: '6.13?' },
    {
      name: 'PCI_ATS_NOT_SUPPORTED',
      bits: Number(uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED),
      since: '6.13?',
    },
  ],
} as const satisfies Record<string, readonly FlagSince[]>;

/** The call, and the part of it, that looks at a set of flags. */
export type FlagPlace = keyof typeof FLAGS_SINCE;
