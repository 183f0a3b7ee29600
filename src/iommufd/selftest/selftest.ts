/**
 * IOMMU_TEST_CMD: the kernel's own test interface, on mock hardware the machine provides (iommufd.md chapter 5).
 */
import {
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { U64_MAX } from '../../base/u64.ts';
import { reportDeviceFault } from '../../core/contract/iopf.ts';
import {
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
} from '../../core/contract/iopf-queue.ts';
import { iovaToPhys } from '../../core/map/map.ts';
import * as uapi from '../../uapi/iommufd-test.ts';
import { attachedHwpt, deviceAttach, deviceDetach, deviceReplace, NO_PASID } from '../attach.ts';
import { deviceBindMock, deviceUnbind } from '../device.ts';
import { IommufdDevice } from '../device-object.ts';
import { Hwpt, HwptNested, HwptPaging } from '../hwpt-object.ts';
import { Ioas } from '../ioas.ts';
import { IommufdObject } from '../object.ts';
import {
  testAccessPages,
  testAccessReplaceIoas,
  testAccessRw,
  testCreateAccess,
  testDestroyAccessPages,
  type TestCmd,
} from './selftest-access.ts';
import { testDirty, testDmabufGet, testDmabufRevoke } from './selftest-memory.ts';
import { DEFAULT_MEMORY_LIMIT, type SelftestDevice, type SelftestHardware } from '../subsystem.ts';

const MIN_MEMORY_LIMIT = 12;

// prettier-ignore
const OPS = new Map<number, (ucmd: TestCmd) => Status>([
  [uapi.IOMMU_TEST_OP_ADD_RESERVED, addReserved],
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN, (ucmd) => mockDomain(ucmd, 0)],
  [uapi.IOMMU_TEST_OP_MD_CHECK_MAP, checkMap],
  [uapi.IOMMU_TEST_OP_MD_CHECK_REFS, checkRefs],
  [uapi.IOMMU_TEST_OP_CREATE_ACCESS, testCreateAccess],
  [uapi.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, testDestroyAccessPages],
  [uapi.IOMMU_TEST_OP_ACCESS_PAGES, testAccessPages],
  [uapi.IOMMU_TEST_OP_ACCESS_RW, testAccessRw],
  [uapi.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, setMemoryLimit],
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, mockDomainReplace],
  [uapi.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, testAccessReplaceIoas],
  [uapi.IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, (ucmd) =>
    mockDomain(ucmd, uapi.iommu_test_mock_domain.view(ucmd.cmd.u).dev_flags)],
  [uapi.IOMMU_TEST_OP_DIRTY, testDirty],
  [uapi.IOMMU_TEST_OP_MD_CHECK_IOTLB, checkIotlb],
  [uapi.IOMMU_TEST_OP_TRIGGER_IOPF, triggerIopf],
  [uapi.IOMMU_TEST_OP_DEV_CHECK_CACHE, checkDeviceCache],
  [uapi.IOMMU_TEST_OP_TRIGGER_VEVENT, triggerVevent],
  [uapi.IOMMU_TEST_OP_PASID_ATTACH, (ucmd) => changePasid(ucmd, deviceAttach)],
  [uapi.IOMMU_TEST_OP_PASID_REPLACE, (ucmd) => changePasid(ucmd, deviceReplace)],
  [uapi.IOMMU_TEST_OP_PASID_DETACH, pasidDetach],
  [uapi.IOMMU_TEST_OP_PASID_CHECK_HWPT, pasidCheck],
  [uapi.IOMMU_TEST_OP_DMABUF_GET, testDmabufGet],
  [uapi.IOMMU_TEST_OP_DMABUF_REVOKE, testDmabufRevoke],
]);

/** @kernel iommufd_test */
export function selftest(ucmd: TestCmd): Status {
  const op = OPS.get(ucmd.cmd.op);
  if (!op) return refuse(EOPNOTSUPP, 'unknown test operation', { op: ucmd.cmd.op });
  return op(ucmd);
}

function hardwareOf(ucmd: TestCmd): Result<SelftestHardware> {
  return (
    ucmd.ctx.subsystem.selftest ??
    refuse(ENODEV, 'the machine has no mock hardware for the selftest')
  );
}

/** A mock device and its DEVICE. */
class Selftest extends IommufdObject {
  static readonly kind = 'SELFTEST';
  idev: IommufdDevice | undefined;
  device: SelftestDevice | undefined;

  override destroy(): void {
    const { idev } = this;
    if (idev) {
      for (const pasid of [...idev.igroup!.attachments.keys()]) deviceDetach(idev, pasid);
      deviceUnbind(idev);
    }
    this.device?.remove();
  }
}

function addReserved(ucmd: TestCmd): Status {
  const { start, length } = uapi.iommu_test_add_reserved.view(ucmd.cmd.u);
  if (length === 0n) return refuse(EINVAL, 'the length is 0', { start, length });
  if (start + length - 1n > U64_MAX) return refuse(EOVERFLOW, 'the range wraps', { start, length });
  const ioas = ucmd.ctx.objects.get(ucmd.cmd.id, Ioas);
  if (isErrno(ioas)) return ioas;
  return ioas.iopt.reserveIova({ start, last: start + length - 1n }, undefined);
}

/** @kernel iommufd_test_mock_domain */
function mockDomain(ucmd: TestCmd, flags: number): Status {
  const { ctx, cmd } = ucmd;
  if (flags & ~(uapi.MOCK_FLAGS_DEVICE_NO_DIRTY | uapi.MOCK_FLAGS_DEVICE_PASID)) {
    return refuse(EINVAL, 'unknown flag of a mock device', { flags });
  }
  const hardware = hardwareOf(ucmd);
  if (isErrno(hardware)) return hardware;
  const object = new Selftest();
  const rc = ctx.objects.reserve(object) ?? fillSelftest(ucmd, hardware, object, flags);
  if (rc) return rc;
  const u = uapi.iommu_test_mock_domain.view(cmd.u);
  u.out_stdev_id = object.id;
  u.out_idev_id = object.idev!.id;
  u.out_hwpt_id = attachedHwpt(object.idev!, NO_PASID)!.id;
  const failed = ucmd.respond();
  if (failed) ctx.objects.abort(object);
  else ctx.objects.publish(object);
  return failed;
}
function fillSelftest(
  ucmd: TestCmd,
  hardware: SelftestHardware,
  object: Selftest,
  flags: number,
): Status {
  const rc = plugDevice(ucmd, hardware, object, flags);
  if (rc) ucmd.ctx.objects.abort(object);
  return rc;
}
function plugDevice(
  ucmd: TestCmd,
  hardware: SelftestHardware,
  object: Selftest,
  flags: number,
): Status {
  const device = hardware.addDevice(flags);
  if (isErrno(device)) return device;
  object.device = device;
  const idev = deviceBindMock(ucmd.ctx, device.dev);
  if (isErrno(idev)) return idev;
  object.idev = idev;
  const attached = deviceAttach(idev, NO_PASID, ucmd.cmd.id);
  return isErrno(attached) ? attached : undefined;
}

function getDevice(ucmd: TestCmd): Result<IommufdDevice> {
  const object = ucmd.ctx.objects.get(ucmd.cmd.id, Selftest);
  return isErrno(object) ? object : object.idev!;
}

/** @kernel iommufd_test_mock_domain_replace */
function mockDomainReplace(ucmd: TestCmd): Status {
  const idev = getDevice(ucmd);
  if (isErrno(idev)) return idev;
  const u = uapi.iommu_test_mock_domain_replace.view(ucmd.cmd.u);
  const id = deviceReplace(idev, NO_PASID, u.pt_id);
  if (isErrno(id)) return id;
  u.pt_id = id;
  return ucmd.respond();
}

function changePasid(ucmd: TestCmd, change: typeof deviceAttach): Status {
  const idev = getDevice(ucmd);
  if (isErrno(idev)) return idev;
  const u = uapi.iommu_test_pasid_attach.view(ucmd.cmd.u);
  const id = change(idev, u.pasid, u.pt_id);
  if (isErrno(id)) return id;
  u.pt_id = id;
  return ucmd.respond();
}
function pasidDetach(ucmd: TestCmd): Status {
  const idev = getDevice(ucmd);
  if (isErrno(idev)) return idev;
  deviceDetach(idev, uapi.iommu_test_pasid_attach.view(ucmd.cmd.u).pasid);
  return undefined;
}
function pasidCheck(ucmd: TestCmd): Status {
  const idev = getDevice(ucmd);
  if (isErrno(idev)) return idev;
  const { pasid, hwpt_id: id } = uapi.iommu_test_pasid_check.view(ucmd.cmd.u);
  const attached = attachedHwpt(idev, pasid);
  if (id === 0) {
    return attached ? refuse(EINVAL, 'something is attached at the PASID', { pasid }) : undefined;
  }
  const hwpt = ucmd.ctx.objects.lookup(id);
  if (!(hwpt instanceof Hwpt)) return refuse(ENOENT, 'no hwpt has this id', { hwpt_id: id });
  if (attached === hwpt) return undefined;
  return refuse(EINVAL, 'another hwpt is attached at the PASID', { pasid, hwpt_id: id });
}

/** The domain maps the range to the caller's pages. @kernel iommufd_test_md_check_pa */
function checkMap(ucmd: TestCmd): Status {
  const { cmd, ctx, task } = ucmd;
  const { iova, length, uptr } = uapi.iommu_test_check_map.view(cmd.u);
  const hwpt = ctx.objects.get(cmd.id, HwptPaging);
  if (isErrno(hwpt)) return hwpt;
  const { domain } = hwpt;
  const page = domain.pgsizeBitmap & -domain.pgsizeBitmap;
  if (((iova | length | uptr) & (page - 1n)) !== 0n || uptr + length > U64_MAX) {
    return refuse(EINVAL, 'the range is not made of pages of the domain', { page });
  }
  for (let at = 0n; at < length; at += page) {
    const frame = task.mm.lookup(Number((uptr + at) >> 12n));
    if (isErrno(frame)) return frame;
    const pa = (BigInt(frame) << 12n) | ((uptr + at) & 0xfffn);
    if (iovaToPhys(domain, iova + at) === pa) continue;
    return refuse(EINVAL, 'the domain does not map the address to the page', { iova: iova + at });
  }
  return undefined;
}

/** Every page of the range has exactly so many pins. @kernel iommufd_test_md_check_refs */
function checkRefs(ucmd: TestCmd): Status {
  const { cmd, ctx, task } = ucmd;
  const { length, uptr, refs } = uapi.iommu_test_check_refs.view(cmd.u);
  if (((length | uptr) & 0xfffn) !== 0n || uptr + length > U64_MAX) {
    return refuse(EINVAL, 'the range is not made of whole pages', { uptr, length });
  }
  const { memory } = ctx.subsystem;
  const first = Number(uptr >> 12n);
  for (let n = 0; n < Number(length >> 12n); n++) {
    const pfn = task.mm.lookup(first + n);
    if (isErrno(pfn)) return pfn;
    const pins = memory.pins(pfn);
    if (pins === refs || memory.isCompound(pfn)) continue;
    return refuse(EIO, 'a page has another number of pins', { page: n, pins, refs });
  }
  return undefined;
}

function setMemoryLimit(ucmd: TestCmd): Status {
  const { limit } = uapi.iommu_test_memory_limit.view(ucmd.cmd.u);
  if (limit < MIN_MEMORY_LIMIT) return refuse(EINVAL, 'not even one batch entry fits', { limit });
  ucmd.ctx.subsystem.tempMemoryLimit = Math.min(limit, DEFAULT_MEMORY_LIMIT);
  return undefined;
}

function checkIotlb(ucmd: TestCmd): Status {
  const { cmd, ctx } = ucmd;
  const { id, iotlb } = uapi.iommu_test_check_iotlb.view(cmd.u);
  const hardware = hardwareOf(ucmd);
  if (isErrno(hardware)) return hardware;
  const hwpt = ctx.objects.get(cmd.id, HwptNested);
  if (isErrno(hwpt)) return hwpt;
  const found =
    id > uapi.MOCK_NESTED_DOMAIN_IOTLB_ID_MAX ? undefined : hardware.nestedIotlb(hwpt.domain, id);
  return checkCacheEntry(id, found, iotlb);
}
function checkDeviceCache(ucmd: TestCmd): Status {
  const { cmd, ctx } = ucmd;
  const { id, cache } = uapi.iommu_test_check_dev_cache.view(cmd.u);
  const hardware = hardwareOf(ucmd);
  if (isErrno(hardware)) return hardware;
  const idev = ctx.objects.get(cmd.id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const found = id > uapi.MOCK_DEV_CACHE_ID_MAX ? undefined : hardware.deviceCache(idev.dev, id);
  return checkCacheEntry(id, found, cache);
}
function checkCacheEntry(id: number, found: number | undefined, wanted: number): Status {
  if (found === wanted) return undefined;
  if (found === undefined) return refuse(EINVAL, 'there is no such cache entry', { id });
  return refuse(EINVAL, 'the cache entry has another value', { id, found, wanted });
}

/** A fault nobody takes is no error. @kernel iommufd_test_trigger_iopf */
function triggerIopf(ucmd: TestCmd): Status {
  const fault = uapi.iommu_test_trigger_iopf.view(ucmd.cmd.u);
  const idev = ucmd.ctx.objects.get(fault.dev_id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const { pasid, grpid, perm, addr } = fault;
  const withPasid = pasid === NO_PASID ? 0 : IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;
  const flags = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE | withPasid;
  void reportDeviceFault(idev.dev, { flags, pasid, grpid, perm, addr });
  return undefined;
}
function triggerVevent(ucmd: TestCmd): Status {
  const { dev_id: id } = uapi.iommu_test_trigger_vevent.view(ucmd.cmd.u);
  const hardware = hardwareOf(ucmd);
  if (isErrno(hardware)) return hardware;
  const idev = ucmd.ctx.objects.get(id, IommufdDevice);
  if (isErrno(idev)) return idev;
  return hardware.triggerVevent(idev.dev);
}
