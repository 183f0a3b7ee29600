/**
 * /dev/vfio/devices/vfioN: BIND to an iommufd, ATTACH and DETACH (vfio.md 3.1 to 3.4).
 */
import {
  E2BIG,
  EBADFD,
  EINVAL,
  EOPNOTSUPP,
  isErrno,
  type Result,
  type Status,
} from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { struct, u32, type Struct, type View } from '../base/struct.ts';
import type { Task } from '../base/task.ts';
import { hexOf } from '../base/u64.ts';
import {
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_DETACH_PASID,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../uapi/vfio.ts';
import type { VfioDeviceFile } from './device-access.ts';
import type { VfioDevice } from './device.ts';
import { DeviceIommufd } from './iommufd.ts';
import { copyFromUser, copyToUser, readArg, readRest, type ArgFields } from './ioctl.ts';

type BindArg = ReturnType<typeof vfio_device_bind_iommufd.view>;

/** @kernel vfio_df_ioctl_bind_iommufd */
export function bindIommufd(access: VfioDeviceFile, task: Task, arg: bigint): Status {
  const isPlain = access.device.world.env.has('vfio-bind-plain');
  const bind = readBind(task, arg, !isPlain);
  if (isErrno(bind)) return bind;
  if (access.group)
    return refuse(EINVAL, 'a device fd from a group is not bound to an iommufd', {
      device: access.device.dev.name,
    });
  const { device } = access;
  // While a cdev is bound, its group cannot be opened.
  const blocked = device.group?.blockOpen();
  if (blocked) return blocked;
  const rc = bindBlocked(access, task, bind, arg);
  if (rc) device.group?.unblockOpen();
  return rc;
}

function readBind(task: Task, arg: bigint, knowsTokens: boolean): Result<BindArg> {
  const type = vfio_device_bind_iommufd;
  const bind = readArg(task, arg, type, 'argsz');
  if (isErrno(bind)) return bind;
  const { argsz } = bind;
  const min = type.end('out_devid');
  if (argsz < min) return refuse(EINVAL, 'argsz is smaller than the struct', { argsz, min });
  const size = knowsTokens ? type.size : min;
  const range = { from: type.end('argsz'), to: Math.min(argsz, size) };
  const rest = readRest(task, arg, bind, range);
  if (rest) return rest;
  const tail = knowsTokens ? checkZeroTail(task, arg, size, argsz) : undefined;
  if (tail) return tail;
  if ((bind.iommufd | 0) < 0) return refuse(EINVAL, 'a negative fd', { iommufd: bind.iommufd | 0 });
  if (bind.flags & ~(knowsTokens ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0)) {
    return refuse(EINVAL, 'an unknown flag', { flags: bind.flags });
  }
  return bind;
}
/** Bytes a newer caller knows of and we do not must be zero. */
function checkZeroTail(task: Task, arg: bigint, from: number, to: number): Status {
  for (let at = from; at < to; at += 4096) {
    const part = copyFromUser(task, arg + BigInt(at), Math.min(4096, to - at));
    if (isErrno(part)) return part;
    if (part.some((byte) => byte !== 0)) {
      return refuse(E2BIG, 'bytes beyond the known struct are not zero', {
        known: from,
        argsz: to,
      });
    }
  }
  return undefined;
}

function bindBlocked(access: VfioDeviceFile, task: Task, bind: BindArg, arg: bigint): Status {
  const { device } = access;
  if (access.accessGranted)
    return refuse(EINVAL, 'this fd is bound already', { device: device.dev.name });
  const token = checkToken(device, task, bind);
  if (token) return token;
  const api = device.world.iommufd;
  const file = task.getFile(bind.iommufd | 0);
  if (isErrno(file)) return file;
  const ctx = api?.ctxFromFile(file);
  if (!api || !ctx) return refuse(EBADFD, 'the fd is not an iommufd', { fd: bind.iommufd | 0 });
  const rc = openBound(device, () => DeviceIommufd.bind(device, api, ctx));
  if (rc) {
    api.ctxPut(ctx);
    return rc;
  }
  bind.out_devid = device.iommufd!.bound.devid;
  const at = vfio_device_bind_iommufd.offsets.out_devid;
  const copied = copyToUser(task, arg + BigInt(at), bind.bytes.subarray(at, at + 4));
  if (copied) {
    device.close(() => unbind(device));
    return copied;
  }
  access.accessGranted = true;
  const { env } = device.world;
  env.backends.add(device.kind === 'noiommu' ? 'noiommu by cdev' : 'cdev and iommufd');
  return undefined;
}

function openBound(device: VfioDevice, bind: () => Result<DeviceIommufd>): Status {
  if (device.openCount > 0)
    return refuse(EINVAL, 'the device is open through another fd', {
      device: device.dev.name,
      opens: device.openCount,
    });
  return device.open(
    () => {
      const bound = bind();
      if (isErrno(bound)) return bound;
      device.iommufd = bound;
      return undefined;
    },
    () => {
      device.iommufd?.unbind();
      device.iommufd = undefined;
    },
  );
}

function checkToken(device: VfioDevice, task: Task, bind: BindArg): Status {
  const given = (bind.flags & VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0;
  if (!device.ops.checkToken) {
    return given
      ? refuse(EINVAL, 'the driver of the device knows no tokens', { device: device.dev.name })
      : undefined;
  }
  if (!given) return device.ops.checkToken(undefined);
  const uuid = copyFromUser(task, bind.token_uuid_ptr, 16);
  if (isErrno(uuid)) return uuid;
  return device.ops.checkToken(hexOf(uuid));
}

function unbind(device: VfioDevice): void {
  const bound = device.iommufd;
  device.iommufd = undefined;
  bound?.unbind();
  bound?.api.ctxPut(bound.ctx);
}

/** The last reference to the file is gone. @kernel vfio_df_unbind_iommufd */
export function unbindIommufd(access: VfioDeviceFile): void {
  if (!access.accessGranted) return;
  const { device } = access;
  device.close(() => unbind(device));
  device.group?.unblockOpen();
}

/** @kernel vfio_df_ioctl_attach_pt */
export function attachIommufdPt(access: VfioDeviceFile, task: Task, arg: bigint): Status {
  const attach = readPt(access, task, arg, {
    type: vfio_device_attach_iommufd_pt,
    last: 'pt_id',
    flag: VFIO_DEVICE_ATTACH_PASID,
  });
  if (isErrno(attach)) return attach;
  const what = attach.flags ? attach.pasid : undefined;
  const id = access.device.iommufd!.attach(what, attach.pt_id);
  if (isErrno(id)) return id;
  attach.pt_id = id;
  const at = vfio_device_attach_iommufd_pt.offsets.pt_id;
  const copied = copyToUser(task, arg + BigInt(at), attach.bytes.subarray(at, at + 4));
  if (copied) access.device.iommufd!.detach(what);
  return copied;
}

/** Detaching what is not attached is a success. @kernel vfio_df_ioctl_detach_pt */
export function detachIommufdPt(access: VfioDeviceFile, task: Task, arg: bigint): Status {
  const detach = readPt(access, task, arg, {
    type: vfio_device_detach_iommufd_pt,
    last: 'flags',
    flag: VFIO_DEVICE_DETACH_PASID,
  });
  if (isErrno(detach)) return detach;
  const { dev, iommufd, world } = access.device;
  if (!iommufd!.detach(detach.flags ? detach.pasid : undefined)) {
    world.env.trace.remark('the device was not attached', { device: dev.name });
  }
  return undefined;
}

/** What both structs begin with. */
const ptHead = struct('vfio_device_{attach,detach}_iommufd_pt', 8, { argsz: u32, flags: u32 });
/** A struct that ends with a pasid. */
interface PtStruct<F extends ArgFields> {
  readonly type: Struct<F> & { readonly offsets: { readonly pasid: number } };
  /** The last field that every caller has. */
  readonly last: NoInfer<keyof F>;
  /** Announces the pasid. */
  readonly flag: number;
}

/** Arguments with an optional pasid behind what every caller has; without the flag it is not looked at. */
function readPt<F extends ArgFields>(
  access: VfioDeviceFile,
  task: Task,
  arg: bigint,
  { type, last, flag }: PtStruct<F>,
): Result<View<F>> {
  const given = readArg(task, arg, type, last);
  if (isErrno(given)) return given;
  const { argsz, flags } = ptHead.view(given.bytes);
  const known = access.device.world.env.has('vfio-bind-plain') ? 0 : flag;
  if (flags & ~known) return refuse(EINVAL, 'an unknown flag', { flags });
  if (!flags) return given;
  if (!access.device.ops.pasids) {
    return refuse(EOPNOTSUPP, 'the driver attaches no PASIDs', { driver: access.device.ops.name });
  }
  if (argsz < type.size) {
    return refuse(EINVAL, 'argsz leaves no room for the pasid', { argsz, min: type.size });
  }
  return readRest(task, arg, given, { from: type.offsets.pasid, to: type.size }) ?? given;
}
