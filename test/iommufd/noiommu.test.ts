/** Devices without an IOMMU in iommufd: as it was posted, and what was merged of it (iommufd.md 2.21, 4.1 to 4.7). */
import { describe, expect, test } from 'vitest';
import {
  EBUSY,
  EINVAL,
  ENOENT,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { U64_MAX } from '../../src/base/u64.ts';
import { Device } from '../../src/core/contract/device.ts';
import { groupAddDevice, groupAlloc, groupPut } from '../../src/core/group/group-ops.ts';
import { groupClaimDmaOwner, groupDmaOwnerClaimed } from '../../src/core/group/ownership.ts';
import { createMockDriver } from '../../src/drivers/mock/index.ts';
import {
  attachedHwpt,
  ctxHasGroup,
  deviceAttach,
  deviceBind,
  deviceDetach,
  deviceReplace,
  deviceUnbind,
  type IommufdDevice,
} from '../../src/iommufd/device.ts';
import { HwptPaging } from '../../src/iommufd/hwpt-object.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { must } from '../../src/testing/base/must.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  only,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { ARRAY, BUFFER, peek } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

const PAGE = 0x1000n;
const IOVA = 0x100_0000n;
const RID = 0;

const ctxOf = (fd: Iommufd) => ctxFromFile(fd.file)!;
function bindNoiommu(fd: Iommufd, dev = fd.world.noiommuDevice()): IommufdDevice {
  return must(deviceBind(ctxOf(fd), dev));
}
function rig() {
  const world = new World();
  const fd = world.open();
  return { world, fd, ioas: ioasAlloc(fd), idev: bindNoiommu(fd) };
}
function getPa(fd: Iommufd, values: Record<string, number | bigint>) {
  const layout = uapi.iommu_ioas_noiommu_get_pa;
  const out = fd.call(uapi.IOMMU_IOAS_NOIOMMU_GET_PA, layout, {
    ioas_id: 1,
    length: 1n,
    ...values,
  });
  return isErrno(out) ? out.name : [out.out_phys, out.length];
}
function hwptOf(fd: Iommufd, id: number): HwptPaging {
  return must(ctxOf(fd).objects.get(id, HwptPaging));
}

/** Devices of a driver of its own, with room for failures. */
function realDevice(world: World, knobs: { cacheCoherency?: boolean } = {}, isolatedMsi = true) {
  const driver = createMockDriver(world.core, { name: 'real', default: 'none', identity: true });
  const fwnode = {};
  must(driver.registerInstance({ name: 'real0', fwnode }));
  const config = { name: 'real', bus: 'pci', isolatedMsi } as const;
  return driver.addDevice({ config, fwnode, knobs });
}

describe('what is noiommu', () => {
  test('a device without an IOMMU record is noiommu, whatever group it is in', () => {
    const { world, fd } = rig();
    const dev = new Device(world.core, { name: 'faked', bus: 'pci' });
    const group = must(groupAlloc(world.core));
    expect(groupAddDevice(group, dev)).toBeUndefined();
    const idev = bindNoiommu(fd, dev);
    expect(idev.isNoiommu).toBe(true);
    expect(idev.igroup!.group).toBeUndefined();
    expect(ctxHasGroup(ctxOf(fd), group)).toBe(false);
    expect(groupDmaOwnerClaimed(group)).toBe(false);
    groupPut(group);
  });
  test('a device with a driver is not noiommu', () => {
    const { world, fd } = rig();
    const idev = must(deviceBind(ctxOf(fd), realDevice(world)));
    expect(idev.isNoiommu).toBe(false);
    expect(ctxHasGroup(ctxOf(fd), idev.dev.iommuGroup!)).toBe(true);
  });
  test('a device is not noiommu in a kernel without it, and is EINVAL for want of coherency', () => {
    const world = new World();
    world.env.setTrait('iommufd-noiommu', false);
    const fd = world.open();
    expect(deviceBind(ctxOf(fd), world.noiommuDevice())).toBe(EINVAL);
    expect(ioasAlloc(fd)).toBe(1);
  });
});

describe('bind', () => {
  test('each noiommu device has a group of its own: what one is attached to does not bind the other', () => {
    const { fd, ioas, idev } = rig();
    const other = bindNoiommu(fd);
    expect(other.igroup).not.toBe(idev.igroup);
    const [a, b] = [hwptAlloc(fd, idev.id, ioas), hwptAlloc(fd, idev.id, ioas)] as number[];
    expect(deviceAttach(idev, RID, a!)).toBe(a);
    expect(deviceAttach(other, RID, b!)).toBe(b);
  });
  test('nobody owns a noiommu device, and several contexts may bind it', () => {
    const { world, fd } = rig();
    const dev = world.noiommuDevice();
    bindNoiommu(fd, dev);
    expect(bindNoiommu(world.open(), dev).isNoiommu).toBe(true);
    // A real device has one owner.
    const real = realDevice(world);
    must(deviceBind(ctxOf(fd), real));
    expect(deviceBind(ctxOf(world.open()), real)).toBe(EPERM);
  });
  test('interrupts and coherency of a noiommu device are not asked for', () => {
    const { world, fd } = rig();
    const dev = new Device(world.core, { name: 'odd', bus: 'pci', isolatedMsi: false });
    const idev = bindNoiommu(fd, dev);
    expect(idev.enforceCacheCoherency).toBe(false);
    expect(destroy(fd, idev.id)).toBe(EBUSY);
    deviceUnbind(idev);
    expect(destroy(fd, idev.id)).toBe(ENOENT);
  });
  test('a bound noiommu device keeps the context, from the end of its bind to its unbind', () => {
    const { fd, idev } = rig();
    fd.close();
    expect(fd.file.released).toBe(false);
    deviceUnbind(idev);
    expect(fd.file.released).toBe(true);
  });
  test('a mock device of the selftest does not keep the context', () => {
    const fd = new World().open();
    mock(fd, ioasAlloc(fd));
    fd.close();
    expect(fd.file.released).toBe(true);
  });
});

describe('a bind that fails half way leaves nothing', () => {
  const foreign = {};
  test.for<[string, Errno, (world: World, fd: Iommufd) => Device]>([
    [
      'no id',
      ENOMEM,
      (world, fd) => {
        fd.task.failing = (point) => point === 'object';
        return world.noiommuDevice();
      },
    ],
    ['not coherent', EINVAL, (world) => realDevice(world, { cacheCoherency: false })],
    ['interrupts not isolated', EPERM, (world) => realDevice(world, {}, false)],
    [
      'another owner',
      EPERM,
      (world) => {
        const dev = realDevice(world);
        expect(groupClaimDmaOwner(dev.iommuGroup!, foreign)).toBeUndefined();
        return dev;
      },
    ],
  ])('a bind that fails half way leaves nothing: %s', ([, errno, make]) => {
    const world = new World();
    const fd = world.open();
    const dev = make(world, fd);
    const owner = dev.iommuGroup?.owner;
    const context = ctxOf(fd);
    expect(world.env.runAs(fd.task, () => deviceBind(context, dev))).toBe(errno);
    fd.task.failing = undefined;
    expect(context.objects.size).toBe(0);
    if (dev.iommuGroup) expect(ctxHasGroup(context, dev.iommuGroup)).toBe(false);
    expect(dev.iommuGroup?.owner).toBe(owner);
    // No reference was taken: closing is the end of it.
    fd.close();
    expect(fd.file.released).toBe(true);
  });
});

describe('attach, replace and detach keep the books and call no driver', () => {
  test('the rules of attach, replace and detach are those of any device', () => {
    const { world, fd, ioas, idev } = rig();
    const calls: string[] = [];
    world.env.trace.listen(({ event }) => {
      if (event.kind === 'driver') calls.push(event.op);
    });
    deviceDetach(idev, RID);
    expect(deviceReplace(idev, RID, ioas)).toBe(EINVAL);
    expect(deviceAttach(idev, RID, 99)).toBe(ENOENT);
    expect(deviceAttach(idev, RID, idev.id)).toBe(EINVAL);
    const auto = must(deviceAttach(idev, RID, ioas));
    expect(deviceAttach(idev, RID, ioas)).toBe(EBUSY);
    expect(deviceAttach(idev, RID, auto)).toBe(EBUSY);
    expect(destroy(fd, auto)).toBe(EBUSY);
    expect(destroy(fd, ioas)).toBe(EBUSY);
    expect(deviceReplace(idev, RID, auto)).toBe(auto);
    const own = hwptAlloc(fd, idev.id, ioas) as number;
    expect(deviceReplace(idev, RID, own)).toBe(own);
    // The automatic one went with its last device.
    expect(destroy(fd, auto)).toBe(ENOENT);
    expect(destroy(fd, own)).toBe(EBUSY);
    deviceDetach(idev, RID);
    expect(attachedHwpt(idev, RID)).toBeUndefined();
    expect(destroy(fd, own)).toBeUndefined();
    expect(destroy(fd, ioas)).toBeUndefined();
    expect(calls).toEqual([]);
  });
  test('a PASID of a noiommu device wants an hwpt made for PASIDs, which there is none of', () => {
    const { fd, ioas, idev } = rig();
    const flags = uapi.IOMMU_HWPT_ALLOC_PASID;
    expect(hwptAlloc(fd, idev.id, ioas, { flags })).toBe(EOPNOTSUPP);
    expect(deviceAttach(idev, 1, ioas)).toBe(EINVAL);
    expect(deviceAttach(idev, 1, hwptAlloc(fd, idev.id, ioas) as number)).toBe(EINVAL);
    // One of a real device could be attached: the checks let it pass, and nobody is asked.
    const real = mock(fd, ioas, t.MOCK_FLAGS_DEVICE_PASID);
    const made = hwptAlloc(fd, real.idev, ioas, { flags }) as number;
    expect(deviceAttach(idev, 1, made)).toBe(made);
    expect(destroy(fd, made)).toBe(EBUSY);
    deviceDetach(idev, 1);
    expect(destroy(fd, made)).toBeUndefined();
  });
  test('no region of a noiommu device is reserved, not even where every address is usable', () => {
    const { fd, ioas, idev } = rig();
    must(deviceAttach(idev, RID, ioas));
    const out = fd.must(uapi.IOMMU_IOAS_IOVA_RANGES, uapi.iommu_ioas_iova_ranges, {
      ioas_id: ioas,
      num_iovas: 1,
      allowed_iovas: ARRAY,
    });
    expect([out.num_iovas, out.out_iova_alignment]).toEqual([1, PAGE]);
    expect([...new BigUint64Array(peek(fd.task, ARRAY, 16).buffer)]).toEqual([0n, U64_MAX]);
  });
});

describe('the page table', () => {
  test('the page table of noiommu is an AMDv1 table with every page size but 512 GiB, over the whole address space', () => {
    const { fd, ioas, idev } = rig();
    const { domain } = hwptOf(fd, hwptAlloc(fd, idev.id, ioas) as number);
    const sizes = ((1n << 52n) - 1n) & ~0xfffn & ~(1n << 39n);
    expect(domain.pgsizeBitmap).toBe(sizes);
    expect(domain.geometry).toMatchObject({ apertureStart: 0n, apertureEnd: U64_MAX });
    expect([domain.dirtyOps, domain.ops.attachDev]).toEqual([undefined, undefined]);
  });
  test.for([
    ['nest parent', uapi.IOMMU_HWPT_ALLOC_NEST_PARENT],
    ['dirty tracking', uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING],
    ['PASID', uapi.IOMMU_HWPT_ALLOC_PASID],
    ['unknown', 16],
    ['fault and nest parent', 5],
  ] as const)('%s is no flag of a noiommu hwpt, which is EOPNOTSUPP', ([, flags]) => {
    const { fd, ioas, idev } = rig();
    expect(hwptAlloc(fd, idev.id, ioas, { flags })).toBe(EOPNOTSUPP);
    expect(ioasAlloc(fd)).toBe(3);
  });
  test('a noiommu hwpt has no vendor data, nothing nests on it, and it tracks nothing', () => {
    const { fd, ioas, idev } = rig();
    const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
    expect(hwptAlloc(fd, idev.id, ioas, data)).toBe(EOPNOTSUPP);
    const hwpt_id = hwptAlloc(fd, idev.id, ioas) as number;
    expect(hwptAlloc(fd, idev.id, hwpt_id, data)).toBe(EOPNOTSUPP);
    const set = uapi.iommu_hwpt_set_dirty_tracking;
    expect(fd.call(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, set, { hwpt_id })).toBe(EOPNOTSUPP);
    const get = uapi.iommu_hwpt_get_dirty_bitmap;
    const range = { hwpt_id, length: PAGE, page_size: PAGE, data: ARRAY };
    expect(fd.call(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, get, range)).toBe(EOPNOTSUPP);
  });
  test('a noiommu hwpt may have a fault queue, to which no fault ever comes', () => {
    const { fd, ioas, idev } = rig();
    const queue = fd.must(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {});
    const flags = uapi.IOMMU_HWPT_FAULT_ID_VALID;
    const hwpt = hwptAlloc(fd, idev.id, ioas, { flags, fault_id: queue.out_fault_id }) as number;
    expect(deviceAttach(idev, RID, hwpt)).toBe(hwpt);
    fd.task.close(queue.out_fault_fd);
    expect(destroy(fd, queue.out_fault_id)).toBe(EBUSY);
    deviceDetach(idev, RID);
    expect(destroy(fd, hwpt)).toBeUndefined();
    expect(destroy(fd, queue.out_fault_id)).toBeUndefined();
  });
  test('a noiommu device has no hardware information, no vIOMMU, no vDEVICE, no hwpt of a vIOMMU', () => {
    const { fd, ioas, idev } = rig();
    const info = { dev_id: idev.id };
    expect(fd.call(uapi.IOMMU_GET_HW_INFO, uapi.iommu_hw_info, info)).toBe(EOPNOTSUPP);
    const real = mock(fd, ioas);
    const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
    const hwpt_id = hwptAlloc(fd, real.idev, ioas, { flags }) as number;
    const viommu = { type: t.IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: idev.id, hwpt_id };
    const alloc = (dev_id: number) =>
      fd.call(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, { ...viommu, dev_id });
    expect(alloc(idev.id)).toBe(EOPNOTSUPP);
    const made = alloc(real.idev);
    const viommu_id = isErrno(made) ? 0 : made.out_viommu_id;
    const vdevice = { viommu_id, dev_id: idev.id, virt_id: 1n };
    expect(fd.call(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, vdevice)).toBe(EINVAL);
    const data = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };
    expect(hwptAlloc(fd, idev.id, viommu_id, data)).toBe(EINVAL);
  });
});

describe('beside devices with an IOMMU', () => {
  test('a noiommu device takes the automatic hwpt of a real one; then there are no physical addresses', () => {
    const { fd, ioas, idev } = rig();
    const real = mock(fd, ioas);
    expect(deviceAttach(idev, RID, ioas)).toBe(real.hwpt);
    map(fd, ioas, BUFFER, PAGE, IOVA);
    expect(getPa(fd, { iova: IOVA })).toBe(EOPNOTSUPP.name);
    expect(destroy(fd, real.stdev)).toBeUndefined();
    expect(destroy(fd, real.hwpt)).toBe(EBUSY);
    deviceDetach(idev, RID);
    expect(destroy(fd, real.hwpt)).toBe(ENOENT);
  });
  test('a real device refuses the hwpt of a noiommu one and gets its own; addresses are those of whoever was first', () => {
    const { world, fd, ioas, idev } = rig();
    const first = must(deviceAttach(idev, RID, ioas));
    const real = mock(fd, ioas);
    expect(real.hwpt).not.toBe(first);
    map(fd, ioas, BUFFER, PAGE, IOVA);
    const pfn = fd.task.mm.pfnAt(BUFFER);
    expect(world.frames.pins(pfn)).toBe(1);
    expect(getPa(fd, { iova: IOVA })).toEqual([BigInt(pfn) << 12n, 1n]);
    // The pins go over to the other domain, which is no noiommu one.
    deviceDetach(idev, RID);
    expect(getPa(fd, { iova: IOVA })).toBe(EOPNOTSUPP.name);
    expect(world.frames.pins(pfn)).toBe(1);
    expect(destroy(fd, real.stdev)).toBeUndefined();
    expect(world.frames.pins(pfn)).toBe(0);
  });
  test('a real device cannot be attached to an hwpt of a noiommu one', () => {
    const { world, fd, ioas, idev } = rig();
    const hwpt = hwptAlloc(fd, idev.id, ioas) as number;
    const real = must(deviceBind(ctxOf(fd), realDevice(world)));
    expect(deviceAttach(real, RID, hwpt)).toBe(EINVAL);
    expect(isErrno(deviceAttach(real, RID, ioas))).toBe(false);
  });
});

describe('GET_PA', () => {
  test('GET_PA makes each check in its turn', () => {
    const { fd, ioas, idev } = rig();
    const wrong = { flags: 1, length: 0n, iova: U64_MAX, ioas_id: 99 };
    fd.task.caps.delete(17);
    expect(getPa(fd, wrong)).toBe(EPERM.name);
    fd.task.caps.add(17);
    expect(getPa(fd, wrong)).toBe(EOPNOTSUPP.name);
    expect(getPa(fd, { ...wrong, flags: 0, __reserved: 1 })).toBe(EOPNOTSUPP.name);
    expect(getPa(fd, { ...wrong, flags: 0 })).toBe(EINVAL.name);
    expect(getPa(fd, { ...wrong, flags: 0, length: 1n })).toBe(EOVERFLOW.name);
    expect(getPa(fd, { ioas_id: 99, iova: IOVA })).toBe(ENOENT.name);
    expect(getPa(fd, { ioas_id: idev.id, iova: IOVA })).toBe(ENOENT.name);
    expect(getPa(fd, { iova: IOVA })).toBe(ENOENT.name);
    map(fd, ioas, BUFFER, PAGE, IOVA);
    expect(getPa(fd, { iova: IOVA })).toBe(EOPNOTSUPP.name);
    must(deviceAttach(idev, RID, ioas));
    expect(getPa(fd, { iova: IOVA })).toEqual([BigInt(fd.task.mm.pfnAt(BUFFER)) << 12n, 1n]);
    fd.world.env.setTrait('iommufd-noiommu', false);
    fd.task.caps.delete(17);
    expect(getPa(fd, wrong)).toBe(EOPNOTSUPP.name);
  });

  /** Pages 0 to 2 and 3 to 4 in consecutive frames, a gap between; then a neighbour that goes on behind page 4. */
  function mapped() {
    const { world, fd, ioas, idev } = rig();
    const va = 0x7000_0000n;
    const { mm } = fd.task;
    mm.map(va, 3);
    world.frames.skip();
    mm.map(va + 3n * PAGE, 4);
    must(deviceAttach(idev, RID, ioas));
    expect(map(fd, ioas, va, 5n * PAGE, IOVA)).toBe(IOVA);
    expect(map(fd, ioas, va + 5n * PAGE, 2n * PAGE, IOVA + 5n * PAGE)).toBe(IOVA + 5n * PAGE);
    return { fd, ioas, pa: (n: number) => BigInt(mm.pfnAt(va + BigInt(n) * PAGE)) << 12n };
  }
  const s = mapped();
  test.for([
    ['one byte', 0n, 1n, 0, 1n],
    ['a page', 0n, PAGE, 0, PAGE],
    ['one byte more', 0n, PAGE + 1n, 0, PAGE + 1n],
    ['from inside a page to its end', 0x80n, PAGE - 0x80n, 0, PAGE - 0x80n],
    ['from inside a page over its end', 0x80n, PAGE, 0, PAGE],
    ['to the last consecutive frame', 0n, 3n * PAGE, 0, 3n * PAGE],
    ['not beyond it', 0n, 3n * PAGE + 1n, 0, 3n * PAGE],
    ['from its last byte', 3n * PAGE - 1n, 2n, 2, 1n],
    ['behind the gap', 3n * PAGE, U64_MAX, 3, 2n * PAGE],
    ['not into the neighbour, though its frames go on', 4n * PAGE + 8n, U64_MAX, 4, PAGE - 8n],
    ['the neighbour', 5n * PAGE, 0x10000n, 5, 2n * PAGE],
    ['the last byte', 7n * PAGE - 1n, 1n, 6, 1n],
  ] as const)('GET_PA: %s', ([, at, length, page, expected]) => {
    const answer = getPa(s.fd, { iova: IOVA + at, length });
    expect(answer).toEqual([s.pa(page) + (at % PAGE), expected]);
  });
  test('GET_PA finds nothing before and behind the mapping', () => {
    expect(getPa(s.fd, { iova: IOVA - 1n })).toBe(ENOENT.name);
    expect(getPa(s.fd, { iova: IOVA + 7n * PAGE })).toBe(ENOENT.name);
    expect(getPa(s.fd, { iova: U64_MAX - 1n })).toBe(ENOENT.name);
  });
  test('GET_PA reaches the last page of the address space', () => {
    const { fd, ioas, idev } = rig();
    must(deviceAttach(idev, RID, ioas));
    const top = U64_MAX - PAGE + 1n;
    expect(map(fd, ioas, BUFFER, PAGE, top)).toBe(top);
    const pa = BigInt(fd.task.mm.pfnAt(BUFFER)) << 12n;
    expect(getPa(fd, { iova: top + 0xffen, length: U64_MAX })).toEqual([pa + 0xffen, 2n]);
    expect(unmap(fd, ioas, top, PAGE)).toBe(PAGE);
    expect(getPa(fd, { iova: top })).toBe(ENOENT.name);
  });
  test('GET_PA finds memory of a file, and memory that is unmapped from the program', () => {
    const { world, fd, ioas, idev } = rig();
    must(deviceAttach(idev, RID, ioas));
    const file = fd.task.installFile(world.memfd(4));
    const values = {
      flags: 7,
      ioas_id: ioas,
      fd: file,
      start: PAGE,
      length: 3n * PAGE,
      iova: IOVA,
    };
    expect(only(fd.call(uapi.IOMMU_IOAS_MAP_FILE, uapi.iommu_ioas_map_file, values))).toBe(
      undefined,
    );
    const whole = getPa(fd, { iova: IOVA, length: U64_MAX });
    expect(whole).toEqual([expect.any(BigInt), 3n * PAGE]);
    map(fd, ioas, BUFFER, PAGE, 2n * IOVA);
    const pa = BigInt(fd.task.mm.pfnAt(BUFFER)) << 12n;
    fd.task.mm.unmap(BUFFER, 1);
    expect(getPa(fd, { iova: 2n * IOVA })).toEqual([pa, 1n]);
  });
  test('GET_PA reads the same of a mapping through large pages', () => {
    const { fd, ioas, idev } = rig();
    must(deviceAttach(idev, RID, ioas));
    expect(map(fd, ioas, BUFFER, 16n * PAGE, 0x4000_0000n)).toBe(0x4000_0000n);
    const pa = BigInt(fd.task.mm.pfnAt(BUFFER)) << 12n;
    const at = 7n * PAGE + 0x123n;
    expect(getPa(fd, { iova: 0x4000_0000n + at, length: U64_MAX })).toEqual([
      pa + at,
      16n * PAGE - at,
    ]);
  });
});
