/** GET_HW_INFO (iommufd.md 2.12). */
import { EOPNOTSUPP, isErrno, type Result, type Status } from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import type { Task } from '../base/task.ts';
import { devHasIommu, type Device } from '../core/contract/device.ts';
import { callOps } from '../core/contract/driver-call.ts';
import { IOMMU_CAP_DIRTY_TRACKING, IOMMU_CAP_PCI_ATS_SUPPORTED } from '../core/contract/driver.ts';
import { deviceIommuCapable } from '../core/probe/probe.ts';
import {
  IOMMU_HW_CAP_DIRTY_TRACKING,
  IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
  IOMMU_HW_CAP_PCI_PASID_EXEC,
  IOMMU_HW_CAP_PCI_PASID_PRIV,
  IOMMU_HW_INFO_FLAG_INPUT_TYPE,
  IOMMU_HW_INFO_TYPE_DEFAULT,
  IOMMU_HW_INFO_TYPE_NONE,
  iommu_hw_info as layout,
  type iommu_hw_info,
} from '../uapi/iommufd.ts';
import { IommufdDevice } from './device-object.ts';
import type { Ucmd } from './ioctl.ts';
import type { KernelAbi } from './kernel-abi.ts';
import { checkFlags } from './checks.ts';

/** @kernel iommufd_get_hw_info */
export function getHwInfo(ucmd: Ucmd<iommu_hw_info>): Status {
  const { cmd, ctx, task } = ucmd;
  const later = checkLater(cmd, ctx.subsystem.abi);
  if (later) return later;
  const wrong = checkFlags(cmd.flags, IOMMU_HW_INFO_FLAG_INPUT_TYPE);
  if (wrong) return wrong;
  if (cmd.__reserved.some((byte) => byte !== 0)) {
    return refuse(EOPNOTSUPP, 'a reserved byte is not 0', { bytes: cmd.__reserved.join(' ') });
  }
  const hasType = (cmd.flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE) !== 0;
  const wanted = hasType ? cmd.out_data_type : IOMMU_HW_INFO_TYPE_DEFAULT;
  const idev = ctx.objects.get(cmd.dev_id, IommufdDevice);
  if (isErrno(idev)) return idev;
  const { dev } = idev;
  if (idev.isNoiommu) return refuse(EOPNOTSUPP, 'the device has no IOMMU', { device: dev.name });

  const info = vendorInfo(dev, wanted);
  if (isErrno(info)) return info;
  const rc = writeInfo(task, cmd, info.bytes);
  if (rc) return rc;
  cmd.data_len = info.bytes.length;
  cmd.out_data_type = info.type;
  const { abi } = ctx.subsystem;
  cmd.out_capabilities = capabilities(dev) & ~BigInt(abi.hwCapabilities.bits);
  cmd.out_max_pasid_log2 = tellsPasids(abi) ? maxPasidLog2(dev) : 0;
  return ucmd.respond();
}

/** What kernels before this one refused. */
function checkLater(cmd: iommu_hw_info, abi: KernelAbi): Status<'EOPNOTSUPP'> {
  const rc = abi.hwInfoFlags.refuse(cmd.flags);
  if (rc || tellsPasids(abi) || cmd.out_max_pasid_log2 === 0) return rc;
  return refuse(EOPNOTSUPP, 'a byte that is reserved in this kernel is not 0', {
    field: 'out_max_pasid_log2',
    kernel: abi.release,
  });
}
function tellsPasids(abi: KernelAbi): boolean {
  return abi.hasField(layout.cName, 'out_max_pasid_log2');
}
function maxPasidLog2(dev: Device): number {
  const maxPasids = dev.iommu?.maxPasids ?? 0;
  return maxPasids > 0 ? Math.floor(Math.log2(maxPasids)) : 0;
}

function vendorInfo(dev: Device, wanted: number): Result<{ type: number; bytes: Uint8Array }> {
  const ops = devHasIommu(dev) ? dev.iommu.iommuDev.ops : undefined;
  if (ops?.hwInfo) return callOps(ops, 'hw_info', () => ops.hwInfo!(dev, wanted));
  return { type: IOMMU_HW_INFO_TYPE_NONE, bytes: new Uint8Array(0) };
}

/** Bytes. A caller may say that it has room for 4 GiB. */
const MOST_AT_ONCE = 0x10_0000;

/** As much as fits, and zeros up to the end of the caller's buffer. */
function writeInfo(task: Task, cmd: iommu_hw_info, bytes: Uint8Array): Status<'EFAULT'> {
  const room = cmd.data_len;
  if (room === 0) return undefined;
  const rc = task.mem.write(cmd.data_uptr, bytes.subarray(0, room));
  if (rc) return rc;
  for (let at = bytes.length; at < room;) {
    const zeros = new Uint8Array(Math.min(room - at, MOST_AT_ONCE));
    const failed = task.mem.write(cmd.data_uptr + BigInt(at), zeros);
    if (failed) return failed;
    at += zeros.length;
  }
  return undefined;
}

function capabilities(dev: Device): bigint {
  let caps = 0n;
  if (deviceIommuCapable(dev, IOMMU_CAP_DIRTY_TRACKING)) caps |= IOMMU_HW_CAP_DIRTY_TRACKING;
  if (!deviceIommuCapable(dev, IOMMU_CAP_PCI_ATS_SUPPORTED)) {
    caps |= IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
  }
  if (dev.config.pasidExec) caps |= IOMMU_HW_CAP_PCI_PASID_EXEC;
  if (dev.config.pasidPriv) caps |= IOMMU_HW_CAP_PCI_PASID_PRIV;
  return caps;
}
