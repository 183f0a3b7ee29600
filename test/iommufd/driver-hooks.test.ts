/** What iommufd asks of IOMMU drivers: a driver that throws or answers nonsense is named (core.md 11.2, iommufd.md 2.17 to 2.20). */
import { expect, test } from 'vitest';
import { EINVAL, ENODEV, isErrno, type Status } from '../../src/base/errno.ts';
import type { ViommuOps } from '../../src/core/contract/driver.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import { Viommu } from '../../src/iommufd/viommu-object.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { destroy, hwptAlloc, ioasAlloc, map, mock } from '../../src/testing/iommufd/calls.ts';
import { BUFFER } from '../../src/testing/iommufd/process.ts';
import { World } from '../../src/testing/iommufd/world.ts';

const APERTURE = 0x100_0000n;
const PAGE = 0x1000n;

/** A vIOMMU of the selftest's mock whose driver does something else at one hook. */
function rig(change: Partial<ViommuOps> = {}) {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  const hwpt_id = hwptAlloc(fd, dev.idev, ioas, { flags: uapi.IOMMU_HWPT_ALLOC_NEST_PARENT });
  const id = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: dev.idev,
    hwpt_id: hwpt_id as number,
  }).out_viommu_id;
  const viommu = ctxFromFile(fd.file)!.objects.get(id, Viommu);
  if (isErrno(viommu)) throw new Error(viommu.name);
  viommu.ops = { ...viommu.ops, ...change };
  map(fd, ioas, BUFFER, PAGE, APERTURE);
  const vdevice = () => {
    const values = { viommu_id: id, dev_id: dev.idev, virt_id: 1n };
    const out = fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, values);
    return isErrno(out) ? out : out.out_vdevice_id;
  };
  const queue = () => {
    const out = fd.call(uapi.IOMMU_HW_QUEUE_ALLOC, uapi.iommu_hw_queue_alloc, {
      viommu_id: id,
      type: t.IOMMU_HW_QUEUE_TYPE_SELFTEST,
      nesting_parent_iova: APERTURE,
      length: PAGE,
    });
    return isErrno(out) ? out : out.out_hw_queue_id;
  };
  return { fd, id, vdevice, queue };
}
function fail(): never {
  throw new Error('out of order');
}

test('an errno of vdevice_init undoes the vDEVICE, anything else is a bug of the driver', () => {
  const refusing = rig({ vdeviceInit: () => ENODEV });
  expect(refusing.vdevice()).toBe(ENODEV);
  expect(destroy(refusing.fd, refusing.id)).toBeUndefined();
  expect(() => rig({ vdeviceInit: fail }).vdevice()).toThrow(
    /selftest_iommu, vdevice_init: out of/,
  );
  const odd = (): Status => 5 as never;
  expect(() => rig({ vdeviceInit: odd }).vdevice()).toThrow(/vdevice_init: answered with a number/);
});

test('the hook of a vDEVICE runs once, when it goes', () => {
  let gone = 0;
  const { fd, vdevice } = rig({
    vdeviceInit(_viommu, core) {
      core.destroy = () => void gone++;
      return undefined;
    },
  });
  const id = vdevice() as number;
  expect(gone).toBe(0);
  expect(destroy(fd, id)).toBeUndefined();
  expect(gone).toBe(1);
  const failing = rig({
    vdeviceInit(_viommu, core) {
      core.destroy = fail;
      return undefined;
    },
  });
  const other = failing.vdevice() as number;
  expect(() => destroy(failing.fd, other)).toThrow(/vdevice_destroy: out of order/);
});

test('a hook of a queue or of the vIOMMU itself that fails is its errno or a bug of the driver', () => {
  expect(rig({ hwQueueInitPhys: () => EINVAL }).queue()).toBe(EINVAL);
  expect(() => rig({ hwQueueInitPhys: fail }).queue()).toThrow(/hw_queue_init_phys: out of order/);
  const queued = rig({
    hwQueueInitPhys(_viommu, queue) {
      queue.destroy = fail;
      return undefined;
    },
  });
  const id = queued.queue() as number;
  expect(() => destroy(queued.fd, id)).toThrow(/hw_queue_destroy: out of order/);
  const broken = rig({ destroy: fail });
  expect(() => destroy(broken.fd, broken.id)).toThrow(/viommu_destroy: out of order/);
});
