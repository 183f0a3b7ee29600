/**
 * The container ioctls of VFIO type1 on an iommufd: an IOAS plays the container (iommufd.md chapter 6, vfio.md 1.12).
 */
import {
  EFAULT,
  EINVAL,
  ENODEV,
  ENOTTY,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { CAP_SYS_RAWIO, type Task } from '../../base/task.ts';
import { hex, U64_MAX } from '../../base/u64.ts';
import { registerOf, U64Register } from '../../base/word-pair.ts';
import { IOMMU_CACHE, IOMMU_READ, IOMMU_WRITE } from '../../pt/page-table.ts';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_CC_IOMMU,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../uapi/vfio.ts';
import type { IommufdContext } from '../context.ts';
import { Ioas, newIoas } from '../ioas.ts';
import { checkUserRange, mapUserPages } from '../ioas-map.ts';
import type { IoPagetable } from '../io-pagetable/io-pagetable.ts';
import { Placement } from '../io-pagetable/iova-alloc.ts';
import { cutIova } from '../io-pagetable/iopt-cut.ts';
import { disableLargePages } from '../io-pagetable/iopt-domains.ts';
import { compatGetInfo } from './vfio-compat-info.ts';

const NOTHING_UNMAPPED = 'nothing is mapped in the range: nothing was unmapped';

type CompatHandler = (ctx: IommufdContext, task: Task, arg: bigint) => Result<number>;

const HANDLERS = new Map<number, CompatHandler>([
  [VFIO_GET_API_VERSION, () => 0],
  [VFIO_CHECK_EXTENSION, (ctx, _task, arg) => checkExtension(ctx, arg)],
  [VFIO_SET_IOMMU, setIommu],
  [VFIO_IOMMU_GET_INFO, (ctx, task, arg) => withIoasLater(ctx, task, arg)],
  [VFIO_IOMMU_MAP_DMA, mapDma],
  [VFIO_IOMMU_UNMAP_DMA, unmapDma],
]);

/** @kernel iommufd_vfio_ioctl */
export function vfioCompatIoctl(
  ctx: IommufdContext,
  task: Task,
  cmd: number,
  arg: bigint,
): Result<number> {
  const handler = HANDLERS.get(cmd);
  if (handler) return handler(ctx, task, arg);
  return refuse(ENOTTY, 'unknown command', { cmd: hex(cmd) });
}

/** The IOAS that plays the container. Errnos: ENODEV there is none. */
export function compatIoas(ctx: IommufdContext): Result<Ioas, 'ENODEV'> {
  if (ctx.vfioIoas instanceof Ioas) return ctx.vfioIoas;
  return refuse(ENODEV, 'no IOAS plays the container');
}
/** @kernel iommufd_vfio_compat_ioas_get_id */
export function vfioCompatIoasGetId(ctx: IommufdContext): Result<number, 'ENODEV'> {
  const ioas = compatIoas(ctx);
  return isErrno(ioas) ? ioas : ioas.id;
}
/**
 * A group takes the iommufd as its container: there must be an IOAS.
 * Errnos: EINVAL a noiommu group uses it.
 * @kernel iommufd_vfio_compat_ioas_create
 */
export function vfioCompatIoasCreate(ctx: IommufdContext): Status {
  if (ctx.noIommuMode) {
    return refuse(EINVAL, 'a noiommu group uses this iommufd as its container');
  }
  if (ctx.vfioIoas) return undefined;
  const ioas = newIoas(ctx);
  if (isErrno(ioas)) return ioas;
  ctx.objects.publish(ioas);
  ctx.vfioIoas = ioas;
  return undefined;
}
/** Errnos: EINVAL there is an IOAS. @kernel iommufd_vfio_compat_set_no_iommu */
export function vfioCompatSetNoIommu(ctx: IommufdContext): Status {
  if (ctx.vfioIoas)
    return refuse(EINVAL, 'an IOAS plays the container of real groups already', {
      ioas_id: ctx.vfioIoas.id,
    });
  ctx.noIommuMode = true;
  return undefined;
}

/** @kernel iommufd_vfio_check_extension */
function checkExtension(ctx: IommufdContext, type: bigint): Result<number> {
  switch (Number(type)) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
      return ctx.noIommuMode ? 0 : 1;
    case VFIO_NOIOMMU_IOMMU:
      // Told of the build, not of the parameter enable_unsafe_noiommu_mode; every kernel here is built with it.
      return 1;
    case VFIO_DMA_CC_IOMMU: {
      const ioas = compatIoas(ctx);
      if (isErrno(ioas)) return ioas;
      return ioas.hwpts.every((hwpt) => hwpt.enforceCacheCoherency) ? 1 : 0;
    }
    default:
      return 0;
  }
}

/** @kernel iommufd_vfio_set_iommu */
function setIommu(ctx: IommufdContext, task: Task, type: bigint): Result<number> {
  if (ctx.noIommuMode && type === BigInt(VFIO_NOIOMMU_IOMMU)) {
    if (task.capable(CAP_SYS_RAWIO)) return played(ctx, 'noiommu');
    return refuse(EPERM, 'no-iommu mode wants CAP_SYS_RAWIO', { uid: task.uid });
  }
  const isType1 = type === BigInt(VFIO_TYPE1_IOMMU);
  if (ctx.noIommuMode) {
    return refuse(EINVAL, 'a container in no-iommu mode is of type 8', { type });
  }
  if (!isType1 && type !== BigInt(VFIO_TYPE1v2_IOMMU)) {
    return refuse(EINVAL, 'an iommufd plays containers of type 1 and 3', { type });
  }
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  // Type 1 may unmap parts of what it mapped, so nothing may be made of large pages.
  const rc = isType1 ? disableLargePages(ioas.iopt) : undefined;
  return rc ?? played(ctx, isType1 ? 'type1' : 'type1v2');
}
function played(ctx: IommufdContext, type: string): 0 {
  ctx.subsystem.env.backends.add(`${type} compat (an iommufd as container)`);
  return 0;
}

/** argsz and flags are in every struct; EFAULT, then EINVAL. */
function readStruct(
  task: Task,
  arg: bigint,
  bytes: Uint8Array,
  knownFlags: number,
): Status<'EFAULT' | 'EINVAL'> {
  if (task.mem.read(arg, bytes)) return refuse(EFAULT, 'the struct is not readable', { arg });
  const view = new DataView(bytes.buffer);
  const argsz = view.getUint32(0, true);
  const flags = view.getUint32(4, true);
  if (argsz < bytes.length) {
    return refuse(EINVAL, 'argsz is below the struct', { argsz, min: bytes.length });
  }
  if ((flags & ~knownFlags) === 0) return undefined;
  return refuse(EINVAL, 'unknown flag', { flags, known: knownFlags });
}

/** @kernel iommufd_vfio_map_dma */
function mapDma(ctx: IommufdContext, task: Task, arg: bigint): Result<number> {
  const map = vfio_iommu_type1_dma_map.view(new Uint8Array(vfio_iommu_type1_dma_map.size));
  const rc = readStruct(task, arg, map.bytes, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
  if (rc) return rc;
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  let prot = IOMMU_CACHE;
  if (map.flags & VFIO_DMA_MAP_FLAG_READ) prot |= IOMMU_READ;
  if (map.flags & VFIO_DMA_MAP_FLAG_WRITE) prot |= IOMMU_WRITE;
  const place = new Placement();
  place.fixed = true;
  place.prot = prot;
  place.iova.value = map.iova;
  place.hint.value = map.vaddr;
  place.span.value = map.size;
  const bad = checkUserRange(place.hint, place.span, ctx.subsystem.env);
  if (bad) return bad;
  place.span.decrement();
  return mapUserPages(ctx, task, ioas.iopt, place) ?? 0;
}

/** @kernel iommufd_vfio_unmap_dma */
function unmapDma(ctx: IommufdContext, task: Task, arg: bigint): Result<number> {
  const layout = vfio_iommu_type1_dma_unmap;
  const unmap = layout.view(new Uint8Array(layout.size));
  const rc = readStruct(task, arg, unmap.bytes, VFIO_DMA_UNMAP_FLAG_ALL);
  if (rc) return rc;
  const ioas = compatIoas(ctx);
  if (isErrno(ioas)) return ioas;
  const { iopt } = ioas;
  let status: Status;
  const unmapped = new U64Register();
  if (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) {
    if (unmap.iova !== 0n || unmap.size !== 0n) {
      return refuse(EINVAL, 'unmapping everything wants iova and size 0', {
        iova: unmap.iova,
        size: unmap.size,
      });
    }
    status = iopt.unmapAll(unmapped);
  } else {
    const cut = iopt.largePages ? undefined : cutEnds(ioas, unmap.iova, unmap.size);
    if (cut) return cut;
    status = unmapWhole(iopt, unmap, unmapped);
    if (!status && unmapped.value === 0n) {
      const { iova, size } = unmap;
      ctx.subsystem.env.trace.remark(NOTHING_UNMAPPED, { iova, size });
    }
  }
  unmap.size = unmapped.value;
  const at = layout.offsets.size;
  const written = task.mem.write(arg + BigInt(at), unmap.bytes.subarray(at, at + 8));
  return written ?? status ?? 0;
}
function cutEnds(ioas: Ioas, iova: bigint, size: bigint): Status {
  const last = BigInt.asUintN(64, iova + size - 1n);
  return cutIova(ioas.iopt, last) ?? (iova === 0n ? undefined : cutIova(ioas.iopt, iova - 1n));
}
/** Nothing there is no error. */
function unmapWhole(
  iopt: IoPagetable,
  { iova, size }: vfio_iommu_type1_dma_unmap,
  unmapped: U64Register,
): Status {
  if (size === 0n) return refuse(EINVAL, 'the size is 0', { iova });
  const last = iova + size - 1n;
  if (last > U64_MAX) return refuse(EOVERFLOW, 'the range wraps', { iova, size });
  return iopt.unmapAny(registerOf(iova), registerOf(last), unmapped);
}

function withIoasLater(ctx: IommufdContext, task: Task, arg: bigint): Result<number> {
  return compatGetInfo(task, arg, () => compatIoas(ctx));
}
