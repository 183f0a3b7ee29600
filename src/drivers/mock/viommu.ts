/** The vIOMMU of the mock driver: caches of its devices, a page to mmap, two hardware queues, events (iommufd.md 5.2). */
import {
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENOENT,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import type { SharedPages } from '../../base/file.ts';
import { refuse } from '../../base/refuse.ts';
import type { Device } from '../../core/contract/device.ts';
import type { Domain, DomainOps, UserArray, UserData } from '../../core/contract/domain.ts';
import type { HwQueueCore, ViommuCore, ViommuOps } from '../../core/contract/driver.ts';
import { copyStructFromUser } from '../../core/contract/user-data.ts';
import {
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommu_viommu_event_selftest,
  iommu_viommu_invalidate_selftest,
  iommu_viommu_selftest,
} from '../../uapi/iommufd-test.ts';
import { CACHE_WORDS, mockDeviceOf } from './device.ts';
import { allocNested, checkInvalidation, zeroWords } from './nested.ts';

const MMAP_LENGTH = 2 * 4096;
/** The struct may end after the fields a caller knows: in_data and out_data. */
const MIN_DATA = 8;
const HW_QUEUES = 2;

class MockViommu {
  pages: SharedPages | undefined;
  readonly queues = new Array<HwQueueCore | undefined>(HW_QUEUES).fill(undefined);
}

export function viommuSupports(type: number): boolean {
  return type === IOMMU_VIOMMU_TYPE_SELFTEST;
}

/**
 * Fill in a new vIOMMU.
 * Errnos: EINVAL the data's length; EFAULT it cannot be copied back; those of publishing its pages.
 */
export function viommuInit(
  viommu: ViommuCore,
  data: UserData | undefined,
  attachOps: DomainOps,
): Status {
  const record = new MockViommu();
  if (data) {
    const rc = publishPages(viommu, record, data);
    if (rc) return rc;
  }
  viommu.priv = record;
  viommu.ops = makeOps(attachOps);
  return undefined;
}

function publishPages(viommu: ViommuCore, record: MockViommu, data: UserData): Status {
  const view = copyStructFromUser(
    data,
    IOMMU_VIOMMU_TYPE_SELFTEST,
    iommu_viommu_selftest,
    MIN_DATA,
  );
  if (isErrno(view)) return view;
  const pages = viommu.newPages(MMAP_LENGTH);
  if (isErrno(pages)) return pages;
  const offset = viommu.mmapAlloc(pages);
  if (isErrno(offset)) {
    pages.free();
    return offset;
  }
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, view.in_data, true);
  pages.write(0, word);
  view.out_data = view.in_data;
  view.out_mmap_length = BigInt(MMAP_LENGTH);
  view.out_mmap_offset = offset;
  const rc = data.copyBack?.(view.bytes);
  if (rc) {
    viommu.mmapDestroy?.(offset);
    pages.free();
    return rc;
  }
  record.pages = pages;
  return undefined;
}

function makeOps(attachOps: DomainOps): ViommuOps {
  return {
    destroy: (viommu) => recordOf(viommu).pages?.free(),
    allocDomainNested: (viommu, flags, data): Result<Domain> =>
      allocNested(viommu.parent, flags, data, attachOps, viommu),
    cacheInvalidate,
    hwQueueSupports: (_viommu, type) => type === IOMMU_HW_QUEUE_TYPE_SELFTEST,
    hwQueueInitPhys,
  };
}

function recordOf(viommu: ViommuCore): MockViommu {
  // cast: iommufd brings a driver its own vIOMMUs only
  return viommu.priv as MockViommu;
}

/** All entries are read before the first is done. */
function cacheInvalidate(viommu: ViommuCore, array: UserArray): { done: number; status: Status } {
  if (array.type !== IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST) {
    const status = refuse(EINVAL, 'the entries are of another type', { type: array.type });
    return { done: 0, status };
  }
  const entries: Uint8Array[] = [];
  for (let index = 0; index < array.entryCount; index++) {
    const bytes = array.entry(index, iommu_viommu_invalidate_selftest.size, 0);
    if (isErrno(bytes)) return { done: 0, status: bytes };
    entries.push(bytes);
  }
  for (const [done, bytes] of entries.entries()) {
    const status = invalidateEntry(viommu, bytes);
    if (status) return { done, status };
  }
  return { done: entries.length, status: undefined };
}

function invalidateEntry(viommu: ViommuCore, bytes: Uint8Array): Status {
  const { flags, vdev_id: id, cache_id: word } = iommu_viommu_invalidate_selftest.view(bytes);
  const rc = checkInvalidation(flags, word, CACHE_WORDS);
  if (rc) return rc;
  const vdevice = viommu.vdevices.get(BigInt(id));
  if (!vdevice) return refuse(EINVAL, 'the vIOMMU has no device of this virtual id', { id });
  zeroWords(mockDeviceOf(vdevice.dev).cache, flags, word);
  return undefined;
}

function hwQueueInitPhys(
  viommu: ViommuCore,
  queue: HwQueueCore,
  index: number,
  basePa: bigint,
): Result<{ dependsOn?: HwQueueCore } | undefined> {
  const { queues } = recordOf(viommu);
  if (index >= queues.length) {
    return refuse(EINVAL, 'the mock vIOMMU has two queues', { index });
  }
  if (queues[index]) return refuse(EEXIST, 'the queue exists already', { index });
  const previous = index > 0 ? queues[index - 1] : undefined;
  if (index > 0 && !previous) {
    return refuse(EIO, 'the queue before this one does not exist', { index });
  }
  if (viommu.parent.pt?.iovaToPhys(queue.baseAddr) !== basePa) {
    return refuse(EFAULT, 'the queue is elsewhere than its address is mapped to', { basePa });
  }
  queues[index] = queue;
  queue.destroy = () => (queues[index] = undefined);
  return previous ? { dependsOn: previous } : undefined;
}

/**
 * A device behind a vIOMMU reports an event.
 * Errnos: ENOENT it is on no domain of a vIOMMU, or its virtual id is 0; EOPNOTSUPP there is no queue.
 */
export function mockReportVevent(dev: Device): Status {
  const { virtual } = mockDeviceOf(dev);
  if (!virtual || virtual.vdevice.virtId === 0n) {
    return refuse(ENOENT, 'the device has no virtual id now', { device: dev.name });
  }
  const event = iommu_viommu_event_selftest.view(new Uint8Array(4));
  event.virt_id = Number(BigInt.asUintN(32, virtual.vdevice.virtId));
  return virtual.viommu.reportEvent(IOMMU_VEVENTQ_TYPE_SELFTEST, event.bytes);
}
