/** Refusals that depend on the device bound, or on its IOMMU driver (iommufd.md 2.11, 2.12, 4.1 to 4.7). */
import { expect, test } from 'vitest';
import { EADDRINUSE, EINVAL, ENODEV, EOPNOTSUPP, EPERM, isErrno } from '../../src/base/errno.ts';
import { IOMMU_READ } from '../../src/core/contract/domain.ts';
import { IOMMU_CAP_ENFORCE_CACHE_COHERENCY } from '../../src/core/contract/driver.ts';
import { iommuMap, iommuUnmap } from '../../src/core/map/map.ts';
import { dmaPrepareMsi } from '../../src/core/dma/msi.ts';
import { IOMMU_RESV_SW_MSI } from '../../src/core/contract/resv-region.ts';
import {
  attachedHwpt,
  deviceAttach,
  deviceBind,
  deviceDetach,
  deviceReplace,
} from '../../src/iommufd/device.ts';
import { HwptPaging } from '../../src/iommufd/hwpt-object.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { must } from '../../src/testing/base/must.ts';
import { hwptAlloc, ioasAlloc, map, mock } from '../../src/testing/iommufd/calls.ts';
import { deviceRig, withoutNestedCaches } from '../../src/testing/iommufd/device-rig.ts';
import { ARRAY, BUFFER } from '../../src/testing/iommufd/process.ts';

const NESTED = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };

test('a device is bound when its DMA is coherent and its interrupts are isolated', () => {
  const { world, bind, fd } = deviceRig();
  expect(bind({}, { cacheCoherency: false })).toBe(EINVAL);
  expect(bind({ isolatedMsi: false })).toBe(EPERM);
  world.env.setTrait('unsafe-interrupts', true);
  expect(isErrno(bind({ isolatedMsi: false }))).toBe(false);
  expect(ioasAlloc(fd)).toBe(3);
});

test('the devices of a group are attached to one hwpt', () => {
  const { fd, bind, ioas } = deviceRig({ group: 'instance' });
  const [a, b] = [must(bind()), must(bind())];
  const first = must(deviceAttach(a, 0, ioas));
  const second = must(hwptAlloc(fd, a.id, ioas));
  expect(deviceAttach(b, 0, second)).toBe(EINVAL);
  expect(deviceAttach(b, 0, first)).toBe(first);
});

test('page faults of a VF come through its PF', () => {
  const { fd, bind, ioas } = deviceRig();
  const idev = must(bind({ pci: { isVf: true, hasPri: true } }));
  const { out_fault_id: fault_id } = fd.must(
    uapi.IOMMU_FAULT_QUEUE_ALLOC,
    uapi.iommu_fault_alloc,
    {},
  );
  const flags = uapi.IOMMU_HWPT_FAULT_ID_VALID;
  expect(deviceAttach(idev, 0, must(hwptAlloc(fd, idev.id, ioas, { flags, fault_id })))).toBe(
    EINVAL,
  );
  expect(isErrno(deviceAttach(idev, 0, ioas))).toBe(false);
});

test('a device with two windows for MSIs is not attached, and reserves nothing', () => {
  const { bind, ioas } = deviceRig();
  const window = { length: 0x1000n, prot: 0, type: IOMMU_RESV_SW_MSI };
  const resvRegions = [
    { ...window, start: 0x800_0000n },
    { ...window, start: 0x900_0000n },
  ];
  const idev = must(bind({}, { resvRegions }));
  expect(deviceAttach(idev, 0, ioas)).toBe(EINVAL);
});

test('an hwpt without room for the doorbells of a group is not attached, and the old one stays', () => {
  const { fd, bind, ioas } = deviceRig();
  const start = 0x800_0000n;
  const window = { start, length: 0x1000n, prot: 0, type: IOMMU_RESV_SW_MSI };
  const idev = must(bind({}, { resvRegions: [window] }));
  const first = must(deviceAttach(idev, 0, ioas));
  expect(dmaPrepareMsi(idev.dev, 0x1_0000_0040n)).toBe(start + 0x40n);
  const other = ioasAlloc(fd);
  const full = must(hwptAlloc(fd, idev.id, other));
  const { domain } = must(ctxFromFile(fd.file)!.objects.get(full, HwptPaging));
  expect(iommuMap(domain, start, 0n, 0x1000n, IOMMU_READ)).toBeUndefined();
  expect(deviceReplace(idev, 0, full)).toBe(EADDRINUSE);
  expect(attachedHwpt(idev, 0)?.id).toBe(first);
  deviceDetach(idev, 0);
  expect(deviceAttach(idev, 0, full)).toBe(EADDRINUSE);
  expect(attachedHwpt(idev, 0)).toBeUndefined();
  // Nothing of the window stays reserved in the IOAS it did not get to.
  expect(map(fd, other, BUFFER, 0x1000n, start)).toBe(EADDRINUSE);
  expect(iommuUnmap(domain, start, 0x1000n)).toBe(0x1000n);
  expect(map(fd, other, BUFFER, 0x1000n, start)).toBe(start);
});

test('a domain enforces the coherency its device wants, or is not made', () => {
  const { fd, bind, driver, ioas } = deviceRig();
  const capabilities = [IOMMU_CAP_ENFORCE_CACHE_COHERENCY];
  const idev = must(bind({}, { capabilities }));
  driver.domainKnobs.enforceCoherency = false;
  expect(hwptAlloc(fd, idev.id, ioas)).toBe(EINVAL);
  driver.domainKnobs.enforceCoherency = true;
  expect(isErrno(hwptAlloc(fd, idev.id, ioas))).toBe(false);
});

test('a domain of pages larger than those of the CPU holds no IOAS', () => {
  const { fd, bind, driver, ioas } = deviceRig();
  const idev = must(bind());
  Object.assign(driver.domainKnobs, { backing: 'map-pages', pgsizeBitmap: 1n << 16n });
  expect(hwptAlloc(fd, idev.id, ioas)).toBe(EINVAL);
});

test('a driver that knows neither flags nor data refuses both, and one without nested caches an invalidation', () => {
  const plain = deviceRig({ alloc: 'plain' });
  const one = must(plain.bind());
  const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
  expect(hwptAlloc(plain.fd, one.id, plain.ioas, { flags })).toBe(EOPNOTSUPP);
  expect(isErrno(hwptAlloc(plain.fd, one.id, plain.ioas))).toBe(false);

  const { fd, driver, bind, ioas } = deviceRig();
  withoutNestedCaches(driver);
  const idev = must(bind());
  const parent = must(hwptAlloc(fd, idev.id, ioas, { flags }));
  const hwpt_id = must(hwptAlloc(fd, idev.id, parent, NESTED));
  const values = { hwpt_id, data_uptr: ARRAY, data_type: 0, entry_len: 8, entry_num: 1 };
  expect(fd.call(uapi.IOMMU_HWPT_INVALIDATE, uapi.iommu_hwpt_invalidate, values)).toBe(EOPNOTSUPP);
});

test('a vIOMMU is for the devices behind its own IOMMU', () => {
  const { fd, bind, ioas } = deviceRig();
  const dev = mock(fd, ioas);
  const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
  const hwpt_id = must(hwptAlloc(fd, dev.idev, ioas, { flags }));
  const viommu_id = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
    type: t.IOMMU_VIOMMU_TYPE_SELFTEST,
    dev_id: dev.idev,
    hwpt_id,
  }).out_viommu_id;
  const stranger = must(bind());
  expect(hwptAlloc(fd, stranger.id, viommu_id, NESTED)).toBe(EINVAL);
  const vdevice = { viommu_id, dev_id: stranger.id, virt_id: 1n };
  expect(fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, vdevice)).toBe(EINVAL);
});

test('a device whose IOMMU went away gets no page table', () => {
  const { fd, bind, driver, instance, ioas } = deviceRig();
  const idev = must(bind());
  driver.unregisterInstance(instance);
  expect(hwptAlloc(fd, idev.id, ioas)).toBe(ENODEV);
});

test('a device without an IOMMU has no hardware to tell of, and its page tables no flags', () => {
  const { world, fd, ioas } = deviceRig();
  const idev = must(deviceBind(ctxFromFile(fd.file)!, world.noiommuDevice()));
  const info = { dev_id: idev.id };
  expect(fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, info)).toBe(EOPNOTSUPP);
  const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
  expect(hwptAlloc(fd, idev.id, ioas, { flags })).toBe(EOPNOTSUPP);
  expect(isErrno(hwptAlloc(fd, idev.id, ioas))).toBe(false);
});
