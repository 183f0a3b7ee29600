/** A VFIO program that uses device cdevs and iommufds. */
import { iommufdFileOps, openIommufd } from '../../iommufd/main.ts';
import { IommufdSubsystem } from '../../iommufd/subsystem.ts';
import type { Machine } from '../../machine/machine.ts';
import * as i from '../../uapi/iommufd.ts';
import * as v from '../../uapi/vfio.ts';
import { IOMMUFD_API } from '../../vfio/iommufd-api.ts';
import { Client } from './client.ts';
import { must } from '../base/must.ts';

export class CdevClient extends Client {
  readonly subsystem: IommufdSubsystem;
  constructor(machine: Machine, credentials = {}) {
    super(machine, credentials);
    (machine.vfio as { iommufd: unknown }).iommufd = IOMMUFD_API;
    const { core, memory, accounts } = machine;
    this.subsystem = new IommufdSubsystem({
      core,
      memory,
      accounts,
      fileOps: iommufdFileOps,
      newSharedPages: () => {
        throw new Error('no pages are shared here');
      },
    });
  }
  iommufd(): number {
    return must(this.program.installFile(openIommufd(this.subsystem)));
  }
  cdev(index = 0): number {
    const [device] = [...this.machine.vfio.devices()].filter((d) => d.index === index);
    return must(this.open(`/dev/vfio/devices/${device!.cdevName}`));
  }
  bind(d: number, iommufd: number, values: Record<string, number | bigint> = {}) {
    const type = v.vfio_device_bind_iommufd;
    return this.call(d, v.VFIO_DEVICE_BIND_IOMMUFD, type, { iommufd: iommufd >>> 0, ...values });
  }
  attach(d: number, pt_id: number, values: Record<string, number> = {}) {
    const type = v.vfio_device_attach_iommufd_pt;
    return this.call(d, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, type, { pt_id, ...values });
  }
  detach(d: number, values: Record<string, number> = {}) {
    return this.call(d, v.VFIO_DEVICE_DETACH_IOMMUFD_PT, v.vfio_device_detach_iommufd_pt, values)
      .rc;
  }
  ioas(iommufd: number): number {
    const { rc, out } = this.call(iommufd, i.IOMMU_IOAS_ALLOC, i.iommu_ioas_alloc, { size: 12 });
    must(rc);
    return out.out_ioas_id;
  }
}
