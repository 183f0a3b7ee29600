/** Hot reset: a slot or bus with all its functions (vfio.md 2.8). */
import {
  EBADF,
  EINVAL,
  ENODEV,
  ENOSPC,
  EPERM,
  isErrno,
  type Result,
  type Status,
} from '../../base/errno.ts';
import { refuse } from '../../base/refuse.ts';
import { joined } from '../../base/struct.ts';
import type { Task } from '../../base/task.ts';
import { devHasIommu } from '../../core/contract/device.ts';
import { resetDone, resetPrepare } from '../../core/group/reset.ts';
import type { PciDeviceFunction } from '../../pci/function.ts';
import {
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_DEVID_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from '../../uapi/vfio.ts';
import type { DeviceAccess } from '../device-ops.ts';
import type { DeviceGroup, VfioDevice } from '../device.ts';
import { groupOf } from '../group.ts';
import { behind, copyFromUser, copyToUser, readArg } from '../ioctl.ts';
import type { VfioPciState } from './state.ts';

function affected(device: VfioPciState): Result<readonly PciDeviceFunction[]> {
  return (
    device.fn.hotResetSet() ??
    refuse(ENODEV, 'neither its slot nor its bus can be reset', { device: device.fn.name })
  );
}

/** @kernel vfio_pci_ioctl_get_pci_hot_reset_info */
export function getHotResetInfo(
  device: VfioPciState,
  task: Task,
  arg: bigint,
  file: DeviceAccess,
): Status {
  const info = readArg(task, arg, vfio_pci_hot_reset_info, 'count');
  if (isErrno(info)) return info;
  const functions = affected(device);
  if (isErrno(functions)) return functions;
  info.flags = 0;
  info.count = functions.length;
  const room = Math.floor((info.argsz - info.bytes.length) / vfio_pci_dependent_device.size);
  if (functions.length > room) {
    const rc = copyToUser(task, arg, info.bytes);
    return rc ?? refuse(ENOSPC, 'the list does not fit', { count: functions.length, room });
  }
  const ids = file.isCdev ? devids(device, functions) : groupIds(device, functions);
  if (isErrno(ids)) return ids;
  if (file.isCdev) info.flags = devidFlags(ids);
  const entries = functions.map(({ at, devfn }, n) =>
    vfio_pci_dependent_device.make({ id: ids[n]!, segment: at.segment, bus: at.bus, devfn }),
  );
  return copyToUser(task, arg, joined(info, ...entries));
}

function groupIds(device: VfioPciState, functions: readonly PciDeviceFunction[]): Result<number[]> {
  const ids: number[] = [];
  for (const fn of functions) {
    const group = device.subsystem.deviceOfFunction(fn)?.iommuGroup;
    if (!group) return refuse(EPERM, 'a function has no iommu group', { function: fn.name });
    ids.push(group.id);
  }
  return ids;
}
function devids(device: VfioPciState, functions: readonly PciDeviceFunction[]): number[] {
  const { subsystem } = device;
  const ours = subsystem.deviceOf(device.dev)!.iommufd!;
  return functions.map((fn) => {
    const dev = subsystem.deviceOfFunction(fn);
    const bound = dev && subsystem.deviceOf(dev)?.iommufd;
    if (bound) return bound.ctx === ours.ctx ? bound.bound.devid : VFIO_PCI_DEVID_NOT_OWNED;
    if (!dev || !devHasIommu(dev) || !dev.iommuGroup) return VFIO_PCI_DEVID_NOT_OWNED;
    const owned = ours.api.ctxHasGroup(ours.ctx, dev.iommuGroup);
    return owned ? VFIO_PCI_DEVID_OWNED : VFIO_PCI_DEVID_NOT_OWNED;
  });
}
function devidFlags(ids: readonly number[]): number {
  const owned = !ids.includes(VFIO_PCI_DEVID_NOT_OWNED);
  return VFIO_PCI_HOT_RESET_FLAG_DEV_ID | (owned ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0);
}

/** @kernel vfio_pci_ioctl_pci_hot_reset */
export function hotReset(
  device: VfioPciState,
  task: Task,
  arg: bigint,
  file: DeviceAccess,
): Status {
  const reset = readArg(task, arg, vfio_pci_hot_reset, 'count');
  if (isErrno(reset)) return reset;
  const { flags, count } = reset;
  if (flags) return refuse(EINVAL, 'an unknown flag', { flags });
  if ((count === 0) !== file.isCdev) {
    return refuse(EINVAL, 'group fds are given exactly for a device opened through its group', {
      count,
    });
  }
  const functions = affected(device);
  if (isErrno(functions)) return functions;
  const groups = readGroups(task, arg, count, functions.length);
  if (isErrno(groups)) return groups;
  const owned = checkOwned(device, functions, groups);
  if (owned) return owned;
  return resetAll(device, functions);
}

function readGroups(
  task: Task,
  arg: bigint,
  count: number,
  most: number,
): Result<readonly DeviceGroup[]> {
  if (count > most) return refuse(EINVAL, 'more groups than functions', { count, most });
  const raw = copyFromUser(task, behind(arg, vfio_pci_hot_reset), 4 * count);
  if (isErrno(raw)) return raw;
  const fds = new DataView(raw.buffer);
  const groups: DeviceGroup[] = [];
  for (let n = 0; n < count; n++) {
    const fd = fds.getInt32(4 * n, true);
    const file = task.getFile(fd);
    if (isErrno(file)) return refuse(EBADF, 'the fd is not open', { fd });
    const group = groupOf(file);
    if (!group) return refuse(EINVAL, 'the fd is not a vfio group', { fd });
    groups.push(group);
  }
  return groups;
}

/** Every function of the set must be in the hands of the caller. */
function checkOwned(
  device: VfioPciState,
  functions: readonly PciDeviceFunction[],
  groups: readonly DeviceGroup[],
): Status {
  const { subsystem } = device;
  const ours = subsystem.deviceOf(device.dev)!;
  for (const fn of functions) {
    const dev = subsystem.deviceOfFunction(fn);
    const vfio = dev && subsystem.deviceOf(dev);
    if (!vfio) return refuse(EINVAL, 'a function of the set is not held by vfio', { fn: fn.name });
    const owned = groups.length > 0 ? groups.includes(vfio.group!) : isOwned(ours, vfio);
    if (!owned) return refuse(EINVAL, 'a function of the set is not owned', { fn: fn.name });
  }
  return undefined;
}
function isOwned(ours: VfioDevice, other: VfioDevice): boolean {
  const { iommufd } = ours;
  if (other.iommufd) return other.iommufd.ctx === iommufd?.ctx;
  if (!iommufd || !devHasIommu(other.dev)) return other.openCount === 0 && other === ours;
  return iommufd.api.ctxHasGroup(iommufd.ctx, other.dev.iommuGroup!);
}

function resetAll(device: VfioPciState, functions: readonly PciDeviceFunction[]): Status {
  const prepared = [];
  let rc: Status = undefined;
  for (const fn of functions) {
    const dev = device.subsystem.deviceOfFunction(fn);
    if (!dev || !devHasIommu(dev)) continue;
    rc = resetPrepare(dev);
    if (rc) break;
    prepared.push(dev);
  }
  if (!rc) for (const fn of functions) fn.resetKeepingConfig('bus');
  for (const dev of prepared) resetDone(dev);
  return rc;
}
