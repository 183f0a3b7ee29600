/**
 * DEVICE_FEATURE of devices that migrate: states, their data, and the log of their DMA (vfio.md 2.10).
 */
import { E2BIG, EINVAL, EOVERFLOW, isErrno, type Result, type Status } from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import type { Task } from '../../base/task.ts';
import { hex, U64_MAX } from '../../base/u64.ts';
import {
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
  vfio_device_feature_mig_data_size,
  vfio_device_feature_mig_state,
  vfio_device_feature_migration,
} from '../../uapi/vfio.ts';
import type { DeviceFeature, DeviceFeatures } from '../feature.ts';
import { copyFromUser, copyToUser } from '../ioctl.ts';
import type { LoggedRange } from './dma-log.ts';
import { markBits } from './dirty-bitmap.ts';
import type { Migration } from './migration.ts';

/** struct vfio_device_feature_dma_logging_range in a page. */
const MOST_RANGES = 256;
const SMALLEST_PAGE = 4096n;
const NO_FD = 0xffff_ffff;

/** Feature 12: of devices with PRE_COPY. */
const PRECOPY_INFO: DeviceFeature<Migration> = {
  ops: VFIO_DEVICE_FEATURE_SET,
  size: 0,
  run(migration) {
    migration.tellsFlags = true;
    return undefined;
  },
};

/** What a device that migrates has besides the features of its driver. */
const FEATURES: DeviceFeatures<Migration> = {
  [VFIO_DEVICE_FEATURE_MIGRATION]: {
    ops: VFIO_DEVICE_FEATURE_GET,
    size: vfio_device_feature_migration.size,
    run: getMigration,
  },
  [VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE]: {
    ops: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
    size: vfio_device_feature_mig_state.size,
    run: deviceState,
  },
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_START]: {
    ops: VFIO_DEVICE_FEATURE_SET,
    size: vfio_device_feature_dma_logging_control.size,
    run: startLogging,
  },
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP]: {
    ops: VFIO_DEVICE_FEATURE_SET,
    size: 0,
    run(migration) {
      migration.log.stop();
      return undefined;
    },
  },
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT]: {
    ops: VFIO_DEVICE_FEATURE_GET,
    size: vfio_device_feature_dma_logging_report.size,
    run: reportLogging,
  },
  [VFIO_DEVICE_FEATURE_MIG_DATA_SIZE]: {
    ops: VFIO_DEVICE_FEATURE_GET,
    size: vfio_device_feature_mig_data_size.size,
    run: getDataSize,
  },
};

/** The feature of this index; undefined: it has nothing to do with migration, or the device does not migrate. */
export function migrationFeature(
  migration: Migration | undefined,
  index: number,
): DeviceFeature<unknown> | undefined {
  const isPrecopy = index === VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
  if (!migration || (isPrecopy && !migration.device.preCopy)) return undefined;
  const feature = isPrecopy ? PRECOPY_INFO : FEATURES[index];
  return (
    feature && {
      ...feature,
      run: (_device, task, data, isSet) => feature.run(migration, task, data, isSet),
    }
  );
}

/** @kernel vfio_ioctl_device_feature_migration */
function getMigration({ device }: Migration, task: Task, data: bigint): Status {
  const flags =
    VFIO_MIGRATION_STOP_COPY |
    (device.p2p ? VFIO_MIGRATION_P2P : 0) |
    (device.preCopy ? VFIO_MIGRATION_PRE_COPY : 0);
  const { bytes } = vfio_device_feature_migration.make({ flags: BigInt(flags) });
  return copyToUser(task, data, bytes);
}

/** The struct is written back whatever happens, with the fd or -1. @kernel vfio_ioctl_device_feature_mig_device_state */
function deviceState(migration: Migration, task: Task, data: bigint, isSet: boolean): Status {
  const layout = vfio_device_feature_mig_state;
  const raw = copyFromUser(task, data, layout.size);
  if (isErrno(raw)) return raw;
  const state = layout.view(raw);
  state.data_fd = NO_FD;
  if (!isSet) {
    state.device_state = migration.state;
    return copyToUser(task, data, state.bytes);
  }
  const fd = setState(migration, task, state.device_state);
  if (!isErrno(fd) && fd !== undefined) state.data_fd = fd;
  const unwritten = copyToUser(task, data, state.bytes);
  return isErrno(fd) ? fd : unwritten;
}
function setState(migration: Migration, task: Task, wanted: number): Result<number> | undefined {
  const file = migration.setState(wanted);
  if (isErrno(file) || !file) return file;
  const fd = task.installFile(file, true);
  if (isErrno(fd)) file.put();
  return fd;
}

/** @kernel vfio_ioctl_device_feature_migration_data_size */
function getDataSize(migration: Migration, task: Task, data: bigint): Status {
  const stop_copy_length = BigInt(migration.dataSize);
  const { bytes } = vfio_device_feature_mig_data_size.make({ stop_copy_length });
  return copyToUser(task, data, bytes);
}

/**
 * Errnos: EINVAL no ranges, or some that overlap or are not made of pages, a page that is no power of two, or the log is
 * on; E2BIG too many; EOVERFLOW one wraps; EFAULT.
 * @kernel vfio_ioctl_device_feature_logging_start
 */
function startLogging({ log }: Migration, task: Task, data: bigint): Status {
  const layout = vfio_device_feature_dma_logging_control;
  const raw = copyFromUser(task, data, layout.size);
  if (isErrno(raw)) return raw;
  const control = layout.view(raw);
  const ranges = readRanges(task, control);
  if (isErrno(ranges)) return ranges;
  if (log.isOn) return refuse(EINVAL, 'DMA is logged already', { ranges: ranges.length });
  control.page_size = log.start(ranges, control.page_size);
  const unwritten = copyToUser(task, data, control.bytes);
  if (unwritten) log.stop();
  return unwritten;
}
function readRanges(
  task: Task,
  control: { page_size: bigint; num_ranges: number; ranges: bigint },
): Result<LoggedRange[]> {
  const { page_size, num_ranges } = control;
  if (num_ranges === 0) return refuse(EINVAL, 'no range is to be logged', { page_size });
  if (num_ranges > MOST_RANGES) {
    return refuse(E2BIG, 'more ranges than can be logged', { num_ranges, most: MOST_RANGES });
  }
  if (!isPowerOfTwo(page_size)) {
    return refuse(EINVAL, 'the page size of a log is a power of two', { page_size });
  }
  const { size } = vfio_device_feature_dma_logging_range;
  const out: LoggedRange[] = [];
  for (let n = 0; n < num_ranges; n++) {
    const raw = copyFromUser(task, control.ranges + BigInt(n * size), size);
    if (isErrno(raw)) return raw;
    const range = rangeOf(vfio_device_feature_dma_logging_range.view(raw), page_size);
    if (isErrno(range)) return range;
    if (out.some(({ first, last }) => first <= range.last && last >= range.first)) {
      return refuse(EINVAL, 'ranges to be logged overlap', { first: hex(range.first) });
    }
    out.push(range);
  }
  return out;
}
function rangeOf(
  { iova, length }: { iova: bigint; length: bigint },
  pageSize: bigint,
): Result<LoggedRange, 'EINVAL' | 'EOVERFLOW'> {
  const facts = { iova: hex(iova), length: hex(length) };
  if ((iova | length) & (pageSize - 1n) || length === 0n) {
    return refuse(EINVAL, 'a range to be logged is not made of pages', facts);
  }
  if (iova + length > U64_MAX) return refuse(EOVERFLOW, 'a range to be logged wraps', facts);
  return { first: iova, last: iova + length - 1n };
}

/** Errnos: EINVAL a page that is too small or no power of two, no length, or no log; EOVERFLOW it wraps; EFAULT. @kernel vfio_ioctl_device_feature_logging_report */
function reportLogging({ log }: Migration, task: Task, data: bigint): Status {
  const layout = vfio_device_feature_dma_logging_report;
  const raw = copyFromUser(task, data, layout.size);
  if (isErrno(raw)) return raw;
  const { iova, length, page_size, bitmap } = layout.view(raw);
  if (page_size < SMALLEST_PAGE || !isPowerOfTwo(page_size)) {
    return refuse(EINVAL, 'pages to report are a power of two, and 4 KiB or more', { page_size });
  }
  if (length === 0n) return refuse(EINVAL, 'a report of nothing', { iova: hex(iova) });
  if (iova + length > U64_MAX) {
    return refuse(EOVERFLOW, 'the range to report wraps', { iova: hex(iova), length: hex(length) });
  }
  const asked = { first: iova, last: iova + length - 1n };
  const written: LoggedRange[] = [];
  const off = log.take(asked, (range) => written.push(range));
  if (off) return off;
  return markBits(task, { bitmap, pageSize: page_size, asked }, written);
}
function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && (value & (value - 1n)) === 0n;
}
