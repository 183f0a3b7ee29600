/** Random commands on address spaces: mapping, unmapping, copying, options. */
import fc from 'fast-check';
import { U64_MAX } from '../../../src/base/u64.ts';
import * as uapi from '../../../src/uapi/iommufd.ts';
import { TEST_COPY_FLAG_SYZ } from '../../../src/uapi/iommufd-test.ts';
import { flag, iova, length, mapFlags, pointer, reserved, va } from './arguments.ts';
import { structCommand, type Command } from './command.ts';
import { pick, sure } from './picks.ts';

const UNANSWERED = 'Linux leaves the mapping in place when the answer cannot be written (1.4)';
const IN_ORDER = 'areas go one after the other: those before the failing one are gone (2.7)';
const TOLD_LATE = 'the option is set, only its value is not told (2.9)';

/** Ranges for ALLOW_IOVAS: usable ones, one that overlaps, one that is backwards. */
const low = (n: number) => [n, 0];
const ranges = fc.constantFrom<readonly number[]>(
  [...low(0x100_0000), ...low(0x100_ffff), ...low(0x200_0000), ...low(0x20f_ffff)],
  [...low(0x100_0000), ...low(0x7fff_ffff), 0, 1, 0, 2],
  [...low(0x100_0000), ...low(0x10f_ffff), ...low(0x108_0000), ...low(0x200_0000)],
  [...low(0x2000), ...low(0x1000), ...low(0), ...low(0)],
  [...low(0), ...low(0x1000), ...low(0x100_0000), ...low(0x100_1fff)],
);
export const IOAS_COMMANDS: readonly Command[] = [
  structCommand('IOMMU_DESTROY', uapi.IOMMU_DESTROY, uapi.iommu_destroy, {
    id: fc.oneof(
      { weight: 3, arbitrary: sure('child') },
      { weight: 2, arbitrary: sure('leaf') },
      { weight: 2, arbitrary: sure('any') },
      { weight: 1, arbitrary: fc.nat(30) },
    ),
  }),
  structCommand(
    'IOMMU_IOAS_ALLOC',
    uapi.IOMMU_IOAS_ALLOC,
    uapi.iommu_ioas_alloc,
    { flags: reserved },
    { weight: 3 },
  ),
  structCommand(
    'IOMMU_IOAS_ALLOW_IOVAS',
    uapi.IOMMU_IOAS_ALLOW_IOVAS,
    uapi.iommu_ioas_allow_iovas,
    {
      ioas_id: pick('IOAS'),
      num_iovas: fc.constantFrom(0, 0, 1, 2, 1000),
      __reserved: reserved,
      allowed_iovas: pointer,
    },
    { weight: 1, data: ranges },
  ),
  structCommand(
    'IOMMU_IOAS_COPY',
    uapi.IOMMU_IOAS_COPY,
    uapi.iommu_ioas_copy,
    {
      flags: fc.oneof(
        { weight: 8, arbitrary: mapFlags },
        { weight: 1, arbitrary: fc.constant(TEST_COPY_FLAG_SYZ | 6) },
      ),
      src_ioas_id: pick('IOAS'),
      src_iova: fc.oneof(
        { weight: 3, arbitrary: sure('mapping') },
        { weight: 1, arbitrary: fc.oneof(iova, sure('mapping page 2')) },
      ),
      length: fc.oneof(length, sure('mapping length')),
      dst_ioas_id: pick('IOAS'),
      dst_iova: iova,
    },
    { weight: 5, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_IOAS_IOVA_RANGES',
    uapi.IOMMU_IOAS_IOVA_RANGES,
    uapi.iommu_ioas_iova_ranges,
    {
      ioas_id: pick('IOAS'),
      num_iovas: fc.constantFrom(0, 1, 8, 0xffff_ffff),
      __reserved: reserved,
      allowed_iovas: pointer,
    },
  ),
  structCommand(
    'IOMMU_IOAS_MAP',
    uapi.IOMMU_IOAS_MAP,
    uapi.iommu_ioas_map,
    { flags: mapFlags, ioas_id: pick('IOAS'), __reserved: reserved, user_va: va, length, iova },
    { weight: 12, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_IOAS_MAP_FILE',
    uapi.IOMMU_IOAS_MAP_FILE,
    uapi.iommu_ioas_map_file,
    {
      flags: mapFlags,
      ioas_id: pick('IOAS'),
      fd: fc.oneof(
        { weight: 3, arbitrary: sure('memfd') },
        { weight: 2, arbitrary: sure('dmabuf fd') },
        { weight: 1, arbitrary: sure('any fd') },
      ),
      start: fc.constantFrom(0n, 0n, 0n, 0x1000n, 0x800n, 0x3000n, U64_MAX),
      length,
      iova,
    },
    { weight: 5, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_IOAS_UNMAP',
    uapi.IOMMU_IOAS_UNMAP,
    uapi.iommu_ioas_unmap,
    { ioas_id: pick('IOAS'), iova: fc.oneof(sure('mapping'), iova), length },
    { weight: 3, partial: IN_ORDER, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_IOAS_UNMAP a mapping',
    uapi.IOMMU_IOAS_UNMAP,
    uapi.iommu_ioas_unmap,
    { ioas_id: pick('IOAS'), iova: sure('mapping'), length: sure('mapping length') },
    { weight: 3, partial: IN_ORDER, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_IOAS_UNMAP everything',
    uapi.IOMMU_IOAS_UNMAP,
    uapi.iommu_ioas_unmap,
    { ioas_id: pick('IOAS'), iova: fc.constant(0n), length: fc.constant(U64_MAX) },
    { weight: 1, partial: IN_ORDER, unanswered: UNANSWERED },
  ),
  structCommand(
    'IOMMU_OPTION huge pages',
    uapi.IOMMU_OPTION,
    uapi.iommu_option,
    {
      option_id: flag(uapi.IOMMU_OPTION_HUGE_PAGES, 2),
      op: fc.constantFrom(0, 0, 1, 2),
      __reserved: reserved,
      object_id: pick('IOAS'),
      val64: fc.constantFrom(0n, 1n, 1n, 2n),
    },
    { unanswered: TOLD_LATE },
  ),
  structCommand(
    'IOMMU_OPTION accounting',
    uapi.IOMMU_OPTION,
    uapi.iommu_option,
    {
      option_id: fc.constant(uapi.IOMMU_OPTION_RLIMIT_MODE),
      op: fc.constantFrom(0, 0, 1, 2),
      object_id: flag(0, 1),
      val64: fc.constantFrom(0n, 1n, 1n, 2n),
    },
    { unanswered: TOLD_LATE },
  ),
  structCommand('IOMMU_VFIO_IOAS', uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, {
    ioas_id: pick('IOAS'),
    op: fc.constantFrom(0, 1, 1, 1, 2, 3),
    __reserved: reserved,
  }),
  structCommand(
    'IOMMU_IOAS_CHANGE_PROCESS',
    uapi.IOMMU_IOAS_CHANGE_PROCESS,
    uapi.iommu_ioas_change_process,
    { __reserved: reserved },
  ),
  structCommand(
    'IOMMU_IOAS_NOIOMMU_GET_PA',
    uapi.IOMMU_IOAS_NOIOMMU_GET_PA,
    uapi.iommu_ioas_noiommu_get_pa,
    {
      flags: reserved,
      ioas_id: pick('IOAS'),
      __reserved: reserved,
      iova: fc.oneof(sure('mapping'), sure('mapping'), sure('mapping page 2'), iova),
      length,
    },
    { weight: 3 },
  ),
];
