/**
 * /dev/iommu: the table of commands, and the order in which a call is taken apart (iommufd.md 1.2, 1.3).
 */
import { EFAULT, ENODEV, ENOENT, ENOTTY, type Result, type Status } from '../base/errno.ts';
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
import { ioctlOp, opFor, type IoctlOp, type Ucmd } from './ioctl.ts';
import type { KernelAbi } from './kernel-abi.ts';
import { ioasNoiommuGetPa } from './noiommu-get-pa.ts';
import { option, vfioIoas } from './option.ts';
import { selftest } from './selftest/selftest.ts';
import type { IommufdSubsystem } from './subsystem.ts';
import { vdeviceAlloc } from './vdevice.ts';
import { veventqAlloc } from './veventq.ts';
import { vfioCompatIoctl } from './compat/vfio-compat.ts';
import { viommuAlloc } from './viommu.ts';

/** @kernel iommufd_destroy */
function destroy(ucmd: Ucmd<uapi.iommu_destroy>): Status {
  const { objects } = ucmd.ctx;
  const object = objects.lookup(ucmd.cmd.id);
  if (!object) return refuse(ENOENT, 'no object has this id', { id: ucmd.cmd.id });
  return objects.destroy(object);
}

/** Every command: number, struct, last field of the oldest struct, handler. Which kernel has it: uapi/iommufd-since.ts. */
// prettier-ignore
export const IOCTLS: readonly IoctlOp[] = [
  ioctlOp(uapi.IOMMU_DESTROY, uapi.iommu_destroy, 'id', destroy),
  ioctlOp(uapi.IOMMU_IOAS_ALLOC, uapi.iommu_ioas_alloc, 'out_ioas_id', ioasAlloc),
  ioctlOp(uapi.IOMMU_IOAS_ALLOW_IOVAS, uapi.iommu_ioas_allow_iovas, 'allowed_iovas', ioasAllowIovas),
  ioctlOp(uapi.IOMMU_IOAS_COPY, uapi.iommu_ioas_copy, 'src_iova', ioasCopy),
  ioctlOp(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, 'out_iova_alignment', ioasIovaRanges),
  ioctlOp(uapi.IOMMU_IOAS_MAP, uapi.iommu_ioas_map, 'iova', ioasMap),
  ioctlOp(uapi.IOMMU_IOAS_UNMAP, uapi.iommu_ioas_unmap, 'length', ioasUnmap),
  ioctlOp(uapi.IOMMU_OPTION, uapi.iommu_option, 'val64', option),
  ioctlOp(uapi.IOMMU_VFIO_IOAS, uapi.iommu_vfio_ioas, '__reserved', vfioIoas),
  ioctlOp(uapi.IOMMU_HWPT_ALLOC, uapi.iommu_hwpt_alloc, '__reserved', hwptAlloc),
  ioctlOp(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, '__reserved', getHwInfo),
  ioctlOp(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.iommu_hwpt_set_dirty_tracking, '__reserved', hwptSetDirtyTracking),
  ioctlOp(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.iommu_hwpt_get_dirty_bitmap, 'data', hwptGetDirtyBitmap),
  ioctlOp(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, '__reserved', hwptInvalidate),
  ioctlOp(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, 'out_fault_fd', faultAlloc),
  ioctlOp(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, 'iova', ioasMapFile),
  ioctlOp(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, 'out_viommu_id', viommuAlloc),
  ioctlOp(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, 'virt_id', vdeviceAlloc),
  ioctlOp(uapi.IOMMU_IOAS_CHANGE_PROCESS, uapi.iommu_ioas_change_process, '__reserved', ioasChangeProcess),
  ioctlOp(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, 'out_veventq_fd', veventqAlloc),
  ioctlOp(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, 'length', hwQueueAlloc),
  ioctlOp(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, uapi.iommu_ioas_noiommu_get_pa, 'out_phys', ioasNoiommuGetPa),
  ioctlOp(IOMMU_TEST_CMD, iommu_test_cmd, 'last', selftest),
];

/** The file operations of one kernel: its commands, at its sizes. @kernel iommufd_fops */
export function iommufdFileOps(abi: KernelAbi): FileOps {
  const served = IOCTLS.filter((op) => abi.hasCommand(op.command)).map((op) => opFor(op, abi));
  const byCommand = new Map(served.map((op) => [op.command, op]));
  const lastNr = Math.max(...served.map((op) => op.command & 0xff));
  return {
    ioctl(file, task, cmd, arg) {
      const ctx = ctxOf(file);
      const op = byCommand.get(cmd);
      return op ? op.run(ctx, task, arg) : unserved({ ctx, task, cmd, arg, lastNr });
    },
    mmap(file, _task, request) {
      if (!abi.hasMmap) {
        return refuse(ENODEV, 'mapping an iommufd is of a later kernel', { ...abi.tooOldForMmap });
      }
      return ctxOf(file).mmapRegions.map(request);
    },
    release(file) {
      ctxOf(file).release();
    },
  };
}

interface UnservedCall {
  readonly ctx: IommufdContext;
  readonly task: Task;
  readonly cmd: number;
  readonly arg: bigint;
  /** Of the last command in the kernel's table. */
  readonly lastNr: number;
}

/** A command that is not in the kernel's table. @kernel iommufd_fops_ioctl */
function unserved({ ctx, task, cmd, arg, lastNr }: UnservedCall): Result<number> {
  const nr = cmd & 0xff;
  const isInTable = nr >= uapi.IOMMUFD_CMD_BASE && nr <= lastNr;
  // An unreadable argument is found before an unknown command.
  if (isInTable && task.mem.read(arg, new Uint8Array(4))) {
    return refuse(EFAULT, 'the size of the struct is not readable', { arg: hex(arg) });
  }
  const tooOld = ctx.subsystem.abi.tooOldFor(cmd);
  if (tooOld)
    return refuse(ENOTTY, 'the command is of a later kernel', { cmd: hex(cmd), ...tooOld });
  if (!isInTable) return vfioCompatIoctl(ctx, task, cmd, arg);
  return refuse(ENOTTY, 'unknown command', { cmd: hex(cmd) });
}

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
  const file = new OpenFile(name, ctx.subsystem.fileOps, ctx);
  ctx.file = file;
  return file;
}
