/** Mediated devices in a type1 container: pages pinned by their drivers, and aux domains (vfio.md 1.13, 1.16). */
import { expect, test } from 'vitest';
import {
  EACCES,
  EBUSY,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOMEM,
  ENOTTY,
  EPERM,
  isErrno,
} from '../../src/base/errno.ts';
import { refuse } from '../../src/base/refuse.ts';
import { devEnableFeature, IOMMU_DEV_FEAT_AUX } from '../../src/core/attach/aux-feature.ts';
import { auxGetDomainForDev, auxGetPasid } from '../../src/core/aux/aux.ts';
import type { Device } from '../../src/core/contract/device.ts';
import { getDomainForDev, iovaToPhys } from '../../src/core/index.ts';
import { mdevCreate, mdevSetIommuDevice } from '../../src/core/aux/mdev.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import type { MachineInput } from '../../src/machine/description/description.ts';
import * as v from '../../src/uapi/vfio.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import type { VfioDeviceOps } from '../../src/vfio/device-ops.ts';
import { pinPages, unpinPages } from '../../src/vfio/type1/device-pins.ts';
import type { Type1Iommu } from '../../src/vfio/type1/state.ts';
import { Type1Container } from '../../src/vfio/type1/type1.ts';
import { Client, EDU } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';
import { PROBE } from '../../src/testing/devices/probe-device.ts';

const PAGE = 0x1000n;

interface Rig {
  client: Client;
  phys: Device;
  mdev: Device;
  device: VfioDevice;
  unmaps: string[];
}
function rig(backed: boolean, credentials = {}, kernel: MachineInput['kernel'] = {}): Rig {
  const made = createMachine(
    { kernel, devices: [{ type: 'probe', at: EDU, driver: 'none' }] },
    { deviceTypes: new Map([['probe', PROBE]]) },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const { machine } = made;
  const phys = machine.core.buses.get('pci')!.find((dev) => dev.name === EDU)!;
  const mdev = must(mdevCreate(phys, 'mdev0'));
  if (backed) expect(mdevSetIommuDevice(mdev, phys)).toBeUndefined();
  const unmaps: string[] = [];
  const ops: VfioDeviceOps = {
    name: 'sample',
    pasids: false,
    openDevice: () => undefined,
    closeDevice: () => undefined,
    ioctl: () => refuse(ENOTTY, 'the sample has no requests'),
    read: () => 0,
    write: () => 0,
    dmaUnmap(iova, length) {
      unmaps.push(`${iova}+${length}`);
    },
  };
  const device = must(machine.vfio.registerDevice(mdev, ops, true));
  return { client: new Client(machine, credentials), phys, mdev, device, unmaps };
}
function contain(r: Rig, type = 3): { c: number; iommu: Type1Iommu } {
  const c = must(r.client.open('/dev/vfio/vfio'));
  const g = must(r.client.open(`/dev/vfio/${r.device.group!.nodeName}`));
  expect(r.client.setContainer(g, c)).toBe(0);
  expect(r.client.plain(c, v.VFIO_SET_IOMMU, type)).toBe(0);
  expect(r.client.deviceFd(g, 'mdev1')).toBe(ENODEV);
  must(r.client.deviceFd(g, 'mdev0'));
  const { iommu } = r.client.machine.vfio.groupOf(r.mdev.iommuGroup!)!.container!;
  if (!(iommu instanceof Type1Container)) throw new Error('not type1');
  return { c, iommu: iommu.iommu };
}

test('a container of emulated devices pins nothing at map time and knows no limits', () => {
  const r = rig(false);
  const { client } = r;
  const { c } = contain(r);
  expect(client.plain(c, v.VFIO_CHECK_EXTENSION, v.VFIO_UPDATE_VADDR)).toBe(0);
  expect(client.map(c, { vaddr: 0n, iova: 0xfee0_0000n, size: PAGE })).toBe(0);
  expect(client.map(c, { vaddr: 0n, iova: (1n << 64n) - PAGE, size: PAGE })).toBe(0);
  expect(client.machine.memory.pinTotal).toBe(0);
  const { all } = client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info, { argsz: 512 });
  expect(new DataView(all.buffer).getUint32(60, true)).toBe(0);
  const VADDR = v.VFIO_DMA_UNMAP_FLAG_VADDR;
  expect(client.unmap(c, { flags: VADDR, iova: 0n, size: PAGE }).rc).toBe(EBUSY);
  expect(client.unmap(c, { iova: 1n << 63n, size: 1n << 63n }).size).toBe(PAGE);
  expect(client.unmap(c, { flags: v.VFIO_DMA_UNMAP_FLAG_ALL }).size).toBe(PAGE);
});

test('an older kernel loses the mapping that ends with the last page, and keeps the others', () => {
  const { client, ...r } = rig(false, {}, { version: '6.12' });
  const { c, iommu } = contain({ client, ...r });
  const map = { vaddr: 0n, iova: (1n << 64n) - PAGE, size: PAGE };
  expect(client.map(c, map)).toBe(0);
  expect(client.map(c, { ...map, iova: 0n })).toBe(0);
  expect(client.unmap(c, { iova: map.iova, size: PAGE }).size).toBe(0n);
  expect(client.unmap(c, { flags: v.VFIO_DMA_UNMAP_FLAG_ALL }).size).toBe(PAGE);
  expect(client.unmap(c, { flags: v.VFIO_DMA_UNMAP_FLAG_ALL }).size).toBe(0n);
  expect([...iommu.dmas]).toHaveLength(1);
  // It goes with the container.
  client.program.exit();
  expect([...iommu.dmas]).toHaveLength(0);
});

test('a driver pins pages, hears of their unmap, and only those are dirty', () => {
  const r = rig(false);
  const { client } = r;
  const { c, iommu } = contain(r);
  const vaddr = client.memory(0x4000);
  expect(client.map(c, { vaddr, iova: 0n, size: 4n * PAGE, flags: 1 })).toBe(0);
  expect(client.map(c, { vaddr, iova: 0x8000n, size: 4n * PAGE })).toBe(0);
  const type = v.vfio_iommu_type1_dirty_bitmap;
  expect(client.call(c, v.VFIO_IOMMU_DIRTY_PAGES, type, { flags: 1 }).rc).toBe(0);
  expect(pinPages(iommu, r.device, { page: 0, npages: 1, write: true })).toBe(EPERM);
  expect(pinPages(iommu, r.device, { page: 3, npages: 2, write: false })).toBe(EINVAL);
  expect(client.machine.memory.pinTotal).toBe(0);
  expect(pinPages(iommu, r.device, { page: 9, npages: 2, write: true })).toHaveLength(2);
  expect(pinPages(iommu, r.device, { page: 9, npages: 1, write: true })).toHaveLength(1);
  expect(client.program.mm.lockedVm).toBe(2);
  unpinPages(iommu, 10, 1);
  expect(client.program.mm.lockedVm).toBe(1);
  const data = client.buffer + 0x2000n;
  const tail = new Uint8Array(40);
  const get = { iova: 0n, size: 16n * PAGE, pgsize: PAGE, bitmap_size: 8n, data };
  Object.assign(v.vfio_iommu_type1_dirty_bitmap_get.view(tail), get);
  const look = () => {
    expect(client.call(c, v.VFIO_IOMMU_DIRTY_PAGES, type, { flags: 4 }, tail).rc).toBe(0);
    return [...client.bytes(data, 2)];
  };
  // Page 3 was pinned for a moment: a pin marks whatever comes of the call.
  expect(look()).toEqual([8, 6]);
  expect(look()).toEqual([0, 2]);
  expect(client.unmap(c, { iova: 0x8000n, size: 4n * PAGE }).size).toBe(4n * PAGE);
  expect(r.unmaps).toEqual(['32768+16384']);
  expect(client.machine.memory.pinTotal).toBe(0);
  expect(client.program.mm.lockedVm).toBe(0);
  expect(pinPages(iommu, { ...r.device } as VfioDevice, { page: 0, npages: 1, write: false })).toBe(
    EINVAL,
  );
});

test('pins are refused by v1, by the limit, and where nothing is behind a mapping', () => {
  const r = rig(false);
  const { iommu } = contain(r, 1);
  expect(pinPages(iommu, r.device, { page: 0, npages: 1, write: false })).toBe(EACCES);
  const poor = rig(false, { uid: 0, capabilities: [], rlimitMemlock: PAGE });
  const two = contain(poor);
  expect(
    poor.client.map(two.c, { vaddr: poor.client.memory(0x2000), iova: 0n, size: 2n * PAGE }),
  ).toBe(0);
  expect(pinPages(two.iommu, poor.device, { page: 0, npages: 2, write: true })).toBe(ENOMEM);
  expect(poor.client.program.mm.lockedVm).toBe(0);
  expect(poor.client.map(two.c, { vaddr: 0n, iova: 0x8000n, size: PAGE })).toBe(0);
  expect(pinPages(two.iommu, poor.device, { page: 8, npages: 1, write: true })).toBe(EFAULT);
});

test('with AUX enabled the mdev gets an aux domain of its device, which keeps its own', () => {
  const r = rig(true);
  const { client, phys, mdev } = r;
  expect(devEnableFeature(phys, IOMMU_DEV_FEAT_AUX)).toBeUndefined();
  const before = getDomainForDev(phys);
  const { c } = contain(r);
  const domain = auxGetDomainForDev(mdev)!;
  expect(domain).toBeDefined();
  const pasid = auxGetPasid(domain, phys);
  expect(isErrno(pasid) ? 0 : pasid).toBeGreaterThan(0);
  expect(getDomainForDev(phys)).toBe(before);
  expect(client.map(c, { vaddr: client.memory(0x1000), iova: 0x1000n, size: PAGE })).toBe(0);
  expect(iovaToPhys(domain, 0x1000n)).not.toBe(0n);
  client.program.exit();
  expect(auxGetDomainForDev(mdev)).toBeUndefined();
  expect(mdev.iommuGroup!.domain).toBeUndefined();
  expect(client.machine.memory.pinTotal).toBe(0);
});

test('with AUX off the whole device behind the mdev is attached', () => {
  const r = rig(true);
  const { client, phys, mdev } = r;
  const before = getDomainForDev(phys);
  contain(r);
  expect(auxGetDomainForDev(mdev)).toBeUndefined();
  expect(getDomainForDev(phys)).toBe(mdev.iommuGroup!.domain);
  expect(getDomainForDev(phys)).not.toBe(before);
  client.program.exit();
  expect(getDomainForDev(phys)).toBe(before);
});

test('without the trait a backed mdev is an emulated one', () => {
  const r = rig(true);
  r.client.machine.env.setTrait('aux-domains', false);
  const { iommu } = contain(r);
  expect(iommu.emulated).toEqual([r.mdev.iommuGroup]);
});

test('a driver without mmap is EINVAL', () => {
  const r = rig(false);
  const { client } = r;
  const g = must(client.open(`/dev/vfio/${r.device.group!.nodeName}`));
  const c = must(client.open('/dev/vfio/vfio'));
  expect(client.setContainer(g, c)).toBe(0);
  expect(client.plain(c, v.VFIO_SET_IOMMU, 3)).toBe(0);
  const d = must(client.deviceFd(g, 'mdev0'));
  expect(client.program.mmap(0x1000, { fd: d })).toBe(EINVAL);
});

test('a page is not pinned while an address of the container is invalid, which is EBUSY', () => {
  const r = rig(false);
  const { iommu } = contain(r);
  iommu.vaddrInvalidCount = 1;
  expect(pinPages(iommu, r.device, { page: 0, npages: 1, write: false })).toBe(EBUSY);
  iommu.vaddrInvalidCount = 0;
});
