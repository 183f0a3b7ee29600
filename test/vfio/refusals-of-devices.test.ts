/** Refusals of VFIO that want a machine or a driver of their own (vfio.md 1.5, 1.12, 1.14, 2.8, 3.2, 3.3). */
import { expect, test } from 'vitest';
import { EINVAL, ENOMEM, ENOTTY, EOPNOTSUPP, EPERM, isErrno } from '../../src/base/errno.ts';
import { refuse } from '../../src/base/refuse.ts';
import type { Device } from '../../src/core/contract/device.ts';
import { mdevCreate, mdevRemove } from '../../src/core/aux/mdev.ts';
import { IOMMU_RESV_RESERVED } from '../../src/core/contract/resv-region.ts';
import { createMachine } from '../../src/machine/create-machine.ts';
import * as i from '../../src/uapi/iommufd.ts';
import * as v from '../../src/uapi/vfio.ts';
import type { VfioDeviceOps } from '../../src/vfio/device-ops.ts';
import { Client, EDU, machineOf, twoNoiommuFunctions } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';
import { PROBE } from '../../src/testing/devices/probe-device.ts';

function deviceOf(client: Client, name = EDU): Device {
  return client.machine.core.buses.get('pci')!.find((dev) => dev.name === name)!;
}

/** An mdev on a cdev, bound to an iommufd. */
function mdevRig(pasids: boolean) {
  const made = createMachine(
    { devices: [{ type: 'probe', at: EDU, driver: 'none' }] },
    { deviceTypes: new Map([['probe', PROBE]]) },
  );
  if ('problems' in made) throw new Error(JSON.stringify(made.problems));
  const client = new Client(made.machine);
  const mdev = must(mdevCreate(deviceOf(client), 'mdev0'));
  const ops: VfioDeviceOps = {
    name: 'sample',
    pasids,
    openDevice: () => undefined,
    closeDevice: () => undefined,
    ioctl: () => refuse(ENOTTY, 'the sample has no requests'),
    read: () => 0,
    write: () => 0,
  };
  const device = must(made.machine.vfio.registerDevice(mdev, ops, true));
  const iommufd = must(client.open('/dev/iommu'));
  const d = must(client.open(`/dev/vfio/devices/${device.cdevName}`));
  const bind = (values: Record<string, number | bigint> = {}) =>
    client.call(d, v.VFIO_DEVICE_BIND_IOMMUFD, v.vfio_device_bind_iommufd, { iommufd, ...values })
      .rc;
  const attach = (values: Record<string, number>) =>
    client.call(d, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, v.vfio_device_attach_iommufd_pt, values).rc;
  const ioas = client.call(iommufd, i.IOMMU_IOAS_ALLOC, i.iommu_ioas_alloc, { size: 12 });
  const close = () => {
    client.program.exit();
    expect(made.machine.vfio.unregisterDevice(mdev)).toBeUndefined();
    mdevRemove(mdev);
    made.machine.close();
  };
  return { client, device, close, bind, attach, pt_id: ioas.out.out_ioas_id };
}

test('a driver without tokens takes none, and one without PASIDs attaches none', () => {
  const { client, close, bind, attach, pt_id } = mdevRig(false);
  const token_uuid_ptr = client.memory(0x1000);
  expect(bind({ flags: v.VFIO_DEVICE_BIND_FLAG_TOKEN, token_uuid_ptr })).toBe(EINVAL);
  expect(bind()).toBe(0);
  expect(attach({ pt_id, flags: v.VFIO_DEVICE_ATTACH_PASID, pasid: 1 })).toBe(EOPNOTSUPP);
  expect(attach({ pt_id })).toBe(0);
  close();
});

test('an emulated device has no PASIDs, whatever its driver says', () => {
  const { close, bind, attach, pt_id } = mdevRig(true);
  expect(bind()).toBe(0);
  expect(attach({ pt_id, flags: v.VFIO_DEVICE_ATTACH_PASID, pasid: 1 })).toBe(EINVAL);
  expect(attach({ pt_id })).toBe(0);
  close();
});

test('a device of a group is not opened when the IOAS that played its container is gone', () => {
  const client = new Client(machineOf());
  const iommufd = must(client.open('/dev/iommu'));
  const g = client.group();
  expect(client.setContainer(g, iommufd)).toBe(0);
  const get = { size: 12, op: i.IOMMU_VFIO_IOAS_GET };
  const { out } = client.call(iommufd, i.IOMMU_VFIO_IOAS, i.iommu_vfio_ioas, get);
  const destroy = { size: 8, id: out.ioas_id };
  expect(client.call(iommufd, i.IOMMU_DESTROY, i.iommu_destroy, destroy).rc).toBe(0);
  expect(client.deviceFd(g, EDU)).toBe(EINVAL);
  client.machine.close();
});

test('a hot reset with the group of another device is refused', () => {
  const client = new Client(
    machineOf({
      devices: [
        { type: 'edu', at: EDU },
        {
          type: 'root-port',
          at: '0000:00:01.0',
          devices: [{ type: 'edu', at: '0000:01:00.0', options: { pcie: true } }],
        },
      ],
    }),
  );
  const { g } = client.container(v.VFIO_TYPE1v2_IOMMU, '0000:01:00.0');
  const d = must(client.deviceFd(g, '0000:01:00.0'));
  const reset = (group: number) =>
    client.call(
      d,
      v.VFIO_DEVICE_PCI_HOT_RESET,
      v.vfio_pci_hot_reset,
      { count: 1 },
      new Uint8Array(Int32Array.of(group).buffer),
    ).rc;
  expect(reset(client.group())).toBe(EINVAL);
  expect(reset(g)).toBe(0);
  client.machine.close();
});

test('the list of a hot reset wants a group of every function', () => {
  const client = new Client(twoNoiommuFunctions('none'));
  const [group] = [...client.machine.vfio.groups()];
  const g = must(client.open(`/dev/vfio/${group!.nodeName}`));
  const c = must(client.open('/dev/vfio/vfio'));
  expect(client.setContainer(g, c)).toBe(0);
  expect(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_NOIOMMU_IOMMU)).toBe(0);
  const d = must(client.deviceFd(g, '0000:01:00.0'));
  const request = v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO;
  expect(client.call(d, request, v.vfio_pci_hot_reset_info, { argsz: 28 }).rc).toBe(EPERM);
  client.machine.close();
});

test('a group whose reserved regions leave no address cannot be attached', () => {
  const client = new Client(machineOf());
  const dev = deviceOf(client);
  const { ops } = dev.iommu!.iommuDev!;
  const everything = { start: 0n, length: 1n << 63n, prot: 0, type: IOMMU_RESV_RESERVED };
  const told = ops.getResvRegions;
  Object.assign(ops, { getResvRegions: () => [everything] });
  const c = must(client.open('/dev/vfio/vfio'));
  const g = client.group();
  must(client.setContainer(g, c));
  expect(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_TYPE1v2_IOMMU)).toBe(EINVAL);
  Object.assign(ops, { getResvRegions: told });
  expect(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_TYPE1v2_IOMMU)).toBe(0);
  client.machine.close();
});

test('a mapping of 2^31 pages has no dirty bitmap', () => {
  const { client, device, close } = mdevRig(false);
  const c = must(client.open('/dev/vfio/vfio'));
  const g = must(client.open(`/dev/vfio/${device.group!.nodeName}`));
  expect(client.setContainer(g, c)).toBe(0);
  expect(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_TYPE1v2_IOMMU)).toBe(0);
  const size = 1n << 43n;
  expect(client.map(c, { vaddr: 0n, iova: 0n, size })).toBe(0);
  const start = () =>
    client.call(c, v.VFIO_IOMMU_DIRTY_PAGES, v.vfio_iommu_type1_dirty_bitmap, {
      flags: v.VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
    }).rc;
  expect(start()).toBe(EINVAL);
  expect(client.unmap(c, { iova: 0n, size }).size).toBe(size);
  expect(start()).toBe(0);
  close();
});

test('a pin that fails for want of memory is ENOMEM, and nothing is mapped', () => {
  const client = new Client(machineOf());
  const { c } = client.container(v.VFIO_TYPE1v2_IOMMU);
  const { mm } = client.program;
  const pin = mm.pin.bind(mm);
  mm.pin = () => ENOMEM;
  const mapping = { vaddr: client.memory(0x1000), iova: 0n, size: 0x1000n };
  expect(client.map(c, mapping)).toBe(ENOMEM);
  mm.pin = pin;
  expect(client.machine.memory.pinTotal).toBe(0);
  expect(isErrno(client.map(c, mapping))).toBe(false);
  client.machine.close();
});
