/**
 * /dev/iommu: the table of commands, and the order in which a call is taken apart (iommufd.md 1.2, 1.3).
 */
import { EFAULT, ENOENT, ENOTTY, type Result, type Status } from '../base/errno.ts';
import { OpenFile, type FileOps } from '../base/file.ts';
import { Bug } from '../base/bug.ts';
import { refuse } from '../base/refuse.ts';
import { hex } from '../base/u64.ts';
import type { Task } from '../base/task.ts';
import * as uapi from '../uapi/iommufd.ts';
import { IOMMU_TEST_CMD, iommu_test_cmd } from '../uapi/iommufd-test.ts';
import { ioasChangeProcess } from './change-process.ts';
import { IommufdContext } from './context.ts';
import { hwptGetDirtyBitmap, hwptSetDirtyTracking } from './dirty.ts';
import { faultAlloc } from './fault.ts';
import { getHwInfo } from './hw-info.ts';
import { hwQueueAlloc } from './hw-queue.ts';
import { hwptAlloc } from './hwpt.ts';
import { hwptInvalidate } from './invalidate.ts';
import { ioasAlloc, ioasAllowIovas, ioasIovaRanges } from './ioas.ts';
import { ioasCopy, ioasMap, ioasMapFile, ioasUnmap } from './ioas-map.ts';
import { ioctlOp, type IoctlOp, type Ucmd } from './ioctl.ts';
import { ioasNoiommuGetPa } from './noiommu-get-pa.ts';
import { option, vfioIoas } from './option.ts';
import { selftest } from './selftest.ts';
import type { IommufdSubsystem } from './subsystem.ts';
import { vdeviceAlloc } from './vdevice.ts';
import { veventqAlloc } from './veventq.ts';
import { vfioCompatIoctl } from './vfio-compat.ts';
import { viommuAlloc } from './viommu.ts';

/** @kernel iommufd_destroy */
function destroy(ucmd: Ucmd<uapi.iommu_destroy>): Status {
  const { objects } = ucmd.ctx;
  const object = objects.lookup(ucmd.cmd.id);
  if (!object) return refuse(ENOENT, 'no object has this id', { id: ucmd.cmd.id });
  return objects.destroy(object);
}

/** Every command: number, struct, last field of the oldest struct, handler; since which kernel. */
// prettier-ignore
export const IOCTLS: readonly IoctlOp[] = [
  ioctlOp(uapi.IOMMU_DESTROY, uapi.iommu_destroy, 'id', destroy, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, 'out_ioas_id', ioasAlloc, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, 'allowed_iovas', ioasAllowIovas, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, 'src_iova', ioasCopy, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, 'out_iova_alignment', ioasIovaRanges, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, 'iova', ioasMap, '6.2'),
  ioctlOp(uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, 'length', ioasUnmap, '6.2'),
  ioctlOp(uapi.IOMMU_OPTION, uapi.iommu_option, 'val64', option, '6.2'),
  ioctlOp(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, '__reserved', vfioIoas, '6.2'),
  ioctlOp(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, '__reserved', hwptAlloc, '6.7'),
  ioctlOp(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, '__reserved', getHwInfo, '6.6'),
  ioctlOp(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, '__reserved', hwptSetDirtyTracking, '6.7'),
  ioctlOp(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, 'data', hwptGetDirtyBitmap, '6.7'),
  ioctlOp(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, '__reserved', hwptInvalidate, '6.8'),
  ioctlOp(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, 'out_fault_fd', faultAlloc, '6.11'),
  ioctlOp(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, 'iova', ioasMapFile, '6.13'),
  ioctlOp(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, 'out_viommu_id', viommuAlloc, '6.13'),
  ioctlOp(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, 'virt_id', vdeviceAlloc, '6.13'),
  ioctlOp(uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommu_ioas_change_process, '__reserved', ioasChangeProcess, '6.14'),
  ioctlOp(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, 'out_veventq_fd', veventqAlloc, '6.15'),
  ioctlOp(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, 'length', hwQueueAlloc, '6.17'),
  ioctlOp(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, 'out_phys', ioasNoiommuGetPa, '7.3'),
  ioctlOp(IOMMU_TEST_CMD, iommu_test_cmd, 'last', selftest, '6.2'),
];

const BY_COMMAND = new Map(IOCTLS.map((op) => [op.command, op]));
const FIRST_NR = uapi.IOMMUFD_CMD_BASE;

/** @kernel iommufd_fops_ioctl */
function ioctl(ctx: IommufdContext, task: Task, cmd: number, arg: bigint): Result<number> {
  const op = BY_COMMAND.get(cmd);
  if (op && op.command !== IOMMU_TEST_CMD) return op.run(ctx, task, arg);
  const hasSelftest = ctx.subsystem.env.has('iommufd-selftest');
  if (op && hasSelftest) return op.run(ctx, task, arg);
  const nr = cmd & 0xff;
  const lastNr = hasSelftest ? 0xa0 : 0x95;
  if (nr < FIRST_NR || nr > lastNr) return vfioCompatIoctl(ctx, task, cmd, arg);
  // An unreadable argument is found before an unknown command.
  if (task.mem.read(arg, new Uint8Array(4))) {
    return refuse(EFAULT, 'the size of the struct is not readable', { arg: hex(arg) });
  }
  return refuse(ENOTTY, 'unknown command', { cmd: hex(cmd) });
}

export const iommufdOps: FileOps = {
  ioctl(file, task, cmd, arg) {
    const ctx = ctxOf(file);
    const { subsystem } = ctx;
    const outer = subsystem.caller;
    subsystem.caller = task;
    const result = ioctl(ctx, task, cmd, arg);
    subsystem.caller = outer;
    return result;
  },
  mmap(file, _task, request) {
    return ctxOf(file).mmapRegions.map(request);
  },
  release(file) {
    ctxOf(file).release();
  },
};

function ctxOf(file: OpenFile): IommufdContext {
  if (file.priv instanceof IommufdContext) return file.priv;
  throw new Bug(`${file.name} is no iommufd`);
}

/** The context of an iommufd; undefined for another file. @kernel iommufd_ctx_from_file */
export function ctxFromFile(file: object): IommufdContext | undefined {
  return file instanceof OpenFile && file.priv instanceof IommufdContext && !file.released
    ? file.priv
    : undefined;
}

/** open("/dev/iommu"): a context of its own. @kernel iommufd_fops_open */
export function openIommufd(subsystem: IommufdSubsystem): OpenFile {
  return open('/dev/iommu', new IommufdContext(subsystem, 'user'));
}
/** open("/dev/vfio/vfio") when iommufd serves it: pages are charged to the address space. */
export function openVfioCompat(subsystem: IommufdSubsystem): OpenFile {
  return open('/dev/vfio/vfio', new IommufdContext(subsystem, 'mm'));
}
function open(name: string, ctx: IommufdContext): OpenFile {
  const file = new OpenFile(name, iommufdOps, ctx);
  ctx.file = file;
  return file;
}
