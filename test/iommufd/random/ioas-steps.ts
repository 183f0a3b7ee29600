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
  structCommand({
    name: 'IOMMU_DESTROY',
    cmd: uapi.IOMMU_DESTROY,
    layout: uapi.iommu_destroy,
    fields: {
      id: fc.oneof(
        { weight: 3, arbitrary: sure('child') },
        { weight: 2, arbitrary: sure('leaf') },
        { weight: 2, arbitrary: sure('any') },
        { weight: 1, arbitrary: fc.nat(30) },
      ),
    },
  }),
  structCommand({
    name: 'IOMMU_IOAS_ALLOC',
    cmd: uapi.IOMMU_IOAS_ALLOC,
    layout: uapi.iommu_ioas_alloc,
    fields: { flags: reserved },
    weight: 3,
  }),
  structCommand({
    name: 'IOMMU_IOAS_ALLOW_IOVAS',
    cmd: uapi.IOMMU_IOAS_ALLOW_IOVAS,
    layout: uapi.iommu_ioas_allow_iovas,
    fields: {
      ioas_id: pick('IOAS'),
      num_iovas: fc.constantFrom(0, 0, 1, 2, 1000),
      __reserved: reserved,
      allowed_iovas: pointer,
    },
    weight: 1,
    data: ranges,
  }),
  structCommand({
    name: 'IOMMU_IOAS_COPY',
    cmd: uapi.IOMMU_IOAS_COPY,
    layout: uapi.iommu_ioas_copy,
    fields: {
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
    weight: 5,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_IOAS_IOVA_RANGES',
    cmd: uapi.IOMMU_IOAS_IOVA_RANGES,
    layout: uapi.iommu_ioas_iova_ranges,
    fields: {
      ioas_id: pick('IOAS'),
      num_iovas: fc.constantFrom(0, 1, 8, 0xffff_ffff),
      __reserved: reserved,
      allowed_iovas: pointer,
    },
  }),
  structCommand({
    name: 'IOMMU_IOAS_MAP',
    cmd: uapi.IOMMU_IOAS_MAP,
    layout: uapi.iommu_ioas_map,
    fields: {
      flags: mapFlags,
      ioas_id: pick('IOAS'),
      __reserved: reserved,
      user_va: va,
      length,
      iova,
    },
    weight: 12,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_IOAS_MAP_FILE',
    cmd: uapi.IOMMU_IOAS_MAP_FILE,
    layout: uapi.iommu_ioas_map_file,
    fields: {
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
    weight: 5,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_IOAS_UNMAP',
    cmd: uapi.IOMMU_IOAS_UNMAP,
    layout: uapi.iommu_ioas_unmap,
    fields: { ioas_id: pick('IOAS'), iova: fc.oneof(sure('mapping'), iova), length },
    weight: 3,
    partial: IN_ORDER,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_IOAS_UNMAP a mapping',
    cmd: uapi.IOMMU_IOAS_UNMAP,
    layout: uapi.iommu_ioas_unmap,
    fields: { ioas_id: pick('IOAS'), iova: sure('mapping'), length: sure('mapping length') },
    weight: 3,
    partial: IN_ORDER,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_IOAS_UNMAP everything',
    cmd: uapi.IOMMU_IOAS_UNMAP,
    layout: uapi.iommu_ioas_unmap,
    fields: { ioas_id: pick('IOAS'), iova: fc.constant(0n), length: fc.constant(U64_MAX) },
    weight: 1,
    partial: IN_ORDER,
    unanswered: UNANSWERED,
  }),
  structCommand({
    name: 'IOMMU_OPTION huge pages',
    cmd: uapi.IOMMU_OPTION,
    layout: uapi.iommu_option,
    fields: {
      option_id: flag(uapi.IOMMU_OPTION_HUGE_PAGES, 2),
      op: fc.constantFrom(0, 0, 1, 2),
      __reserved: reserved,
      object_id: pick('IOAS'),
      val64: fc.constantFrom(0n, 1n, 1n, 2n),
    },
    unanswered: TOLD_LATE,
  }),
  structCommand({
    name: 'IOMMU_OPTION accounting',
    cmd: uapi.IOMMU_OPTION,
    layout: uapi.iommu_option,
    fields: {
      option_id: fc.constant(uapi.IOMMU_OPTION_RLIMIT_MODE),
      op: fc.constantFrom(0, 0, 1, 2),
      object_id: flag(0, 1),
      val64: fc.constantFrom(0n, 1n, 1n, 2n),
    },
    unanswered: TOLD_LATE,
  }),
  structCommand({
    name: 'IOMMU_VFIO_IOAS',
    cmd: uapi.IOMMU_VFIO_IOAS,
    layout: uapi.iommu_vfio_ioas,
    fields: {
      ioas_id: pick('IOAS'),
      op: fc.constantFrom(0, 1, 1, 1, 2, 3),
      __reserved: reserved,
    },
  }),
  structCommand({
    name: 'IOMMU_IOAS_CHANGE_PROCESS',
    cmd: uapi.IOMMU_IOAS_CHANGE_PROCESS,
    layout: uapi.iommu_ioas_change_process,
    fields: { __reserved: reserved },
  }),
  structCommand({
    name: 'IOMMU_IOAS_NOIOMMU_GET_PA',
    cmd: uapi.IOMMU_IOAS_NOIOMMU_GET_PA,
    layout: uapi.iommu_ioas_noiommu_get_pa,
    fields: {
      flags: reserved,
      ioas_id: pick('IOAS'),
      __reserved: reserved,
      iova: fc.oneof(sure('mapping'), sure('mapping'), sure('mapping page 2'), iova),
      length,
    },
    weight: 3,
  }),
];
