/** IOAS_NOIOMMU_GET_PA: the physical address behind an IOVA, for devices without an IOMMU (iommufd.md 2.21). */
import {
  EINVAL,
  ENOENT,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Status,
} from '../base/errno.ts';
import { refuse } from '../base/refuse.ts';
import { CAP_SYS_RAWIO } from '../base/task.ts';
import { hex, U64_MAX } from '../base/u64.ts';
import { hiWord, loWord } from '../base/word-pair.ts';
import type { Domain } from '../core/contract/domain.ts';
import { iovaToPhys } from '../core/map/map.ts';
import type { iommu_ioas_noiommu_get_pa } from '../uapi/iommufd.ts';
import type { Area } from './io-pagetable/area.ts';
import { noiommuOps } from './hwpt-noiommu.ts';
import { Ioas } from './ioas.ts';
import type { Ucmd } from './ioctl.ts';
import { checkFlags, checkReserved } from './checks.ts';

const PAGE = 4096n;

/** @kernel iommufd_ioas_noiommu_get_pa */
export function ioasNoiommuGetPa(ucmd: Ucmd<iommu_ioas_noiommu_get_pa>): Status {
  const { cmd, ctx, task } = ucmd;
  if (!ctx.subsystem.env.has('iommufd-noiommu')) {
    return refuse(EOPNOTSUPP, 'the kernel is built without noiommu support in iommufd');
  }
  if (!task.capable(CAP_SYS_RAWIO)) {
    return refuse(EPERM, 'physical addresses are told to CAP_SYS_RAWIO only', { uid: task.uid });
  }
  const wrong = checkFlags(cmd.flags) ?? checkReserved(cmd.__reserved);
  if (wrong) return wrong;
  if (cmd.length === 0n) return refuse(EINVAL, 'the length is 0', { iova: hex(cmd.iova) });
  if (cmd.iova === U64_MAX)
    return refuse(EOVERFLOW, 'the IOVA is 2^64-1', {
      iova: hex(cmd.iova),
      length: hex(cmd.length),
    });
  const ioas = ctx.objects.get(cmd.ioas_id, Ioas);
  if (isErrno(ioas)) return ioas;
  const area = ioas.iopt.areas.find(hiWord(cmd.iova), loWord(cmd.iova));
  if (!area) return refuse(ENOENT, 'nothing is mapped at the IOVA', { iova: hex(cmd.iova) });
  if (area.pages.revoked) {
    return refuse(EINVAL, 'the dma-buf behind the mapping was revoked', { iova: hex(cmd.iova) });
  }
  if (area.storageDomain?.owner !== noiommuOps) {
    return refuse(EOPNOTSUPP, 'the mapping is not held by the page table of a noiommu device', {
      iova: hex(cmd.iova),
    });
  }
  cmd.out_phys = iovaToPhys(area.storageDomain, cmd.iova);
  cmd.length = contiguous(area, area.storageDomain, cmd.iova, cmd.length);
  return ucmd.respond();
}

/** Bytes from `iova` on in consecutive frames, inside the area; what lies beyond `wanted` is not looked at. */
function contiguous(area: Area, domain: Domain, iova: bigint, wanted: bigint): bigint {
  const end = area.last + 1n;
  let at = iova - (iova % PAGE);
  let length = at + PAGE < end ? at + PAGE - iova : end - iova;
  let pa = iovaToPhys(domain, iova) - (iova % PAGE);
  while (length < wanted) {
    at += PAGE;
    if (at >= end) break;
    const next = iovaToPhys(domain, at);
    if (next !== pa + PAGE) break;
    pa = next;
    length += PAGE < end - at ? PAGE : end - at;
  }
  return length < wanted ? length : wanted;
}
