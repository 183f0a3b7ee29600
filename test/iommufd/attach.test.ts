/** Which hwpt an attach ends on, and who goes with whom (iommufd.md 1.9, 4.3 to 4.5). */
import { describe, expect, test } from 'vitest';
import {
  EADDRINUSE,
  EBUSY,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import {
  IOMMU_RESV_DIRECT_RELAXABLE,
  IOMMU_RESV_MSI,
  IOMMU_RESV_RESERVED,
} from '../../src/core/contract/resv-region.ts';
import { type MockDeviceKnobs, type MockDriverKnobs } from '../../src/drivers/mock/index.ts';
import {
  attachedHwpt,
  deviceAttach,
  deviceDetach,
  deviceReplace,
  type IommufdDevice,
} from '../../src/iommufd/device.ts';
import { HwptPaging } from '../../src/iommufd/hwpt-object.ts';
import { ctxFromFile } from '../../src/iommufd/main.ts';
import { must } from '../../src/testing/base/must.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  map,
  mock,
  unmap,
} from '../../src/testing/iommufd/calls.ts';
import { deviceRig } from '../../src/testing/iommufd/device-rig.ts';
import { BUFFER } from '../../src/testing/iommufd/process.ts';
import { type Iommufd } from '../../src/testing/iommufd/world.ts';

const PAGE = 0x1000n;
const APERTURE = 0x100_0000n;
const RID = 0;

function rig(knobs: MockDriverKnobs = {}) {
  const made = deviceRig(knobs);
  const bind = (device: Partial<MockDeviceKnobs> = {}): IommufdDevice =>
    must(made.bind({}, device));
  return { ...made, bind };
}
const at = (idev: IommufdDevice) => attachedHwpt(idev, RID)?.id;
const usersOf = (fd: Iommufd, id: number) =>
  must(ctxFromFile(fd.file)!.objects.get(id, HwptPaging)).users;

describe('an IOAS as target', () => {
  test('an IOAS as target shares one automatic hwpt among devices, and never one made by hand', () => {
    const { fd, bind, ioas } = rig();
    const [a, b] = [bind(), bind()];
    const made = must(hwptAlloc(fd, a.id, ioas));
    const auto = must(deviceAttach(a, RID, ioas));
    expect(auto).not.toBe(made);
    expect(deviceAttach(b, RID, ioas)).toBe(auto);
    expect(usersOf(fd, auto)).toBe(3);
    deviceDetach(a, RID);
    expect(destroy(fd, auto)).toBe(EBUSY);
    deviceDetach(b, RID);
    expect(destroy(fd, auto)).toBe(ENOENT);
    expect(destroy(fd, made)).toBeUndefined();
  });
  test.for(['attach', 'replace'] as const)(
    '%s to an IOAS tries the next candidate after EINVAL of one',
    (how) => {
      const { fd, bind, ioas } = rig();
      const [a, b] = [bind(), bind()];
      const first = must(deviceAttach(a, RID, ioas));
      const other = ioasAlloc(fd);
      if (how === 'replace') must(deviceAttach(b, RID, other));
      const { domain } = attachedHwpt(a, RID)!;
      map(fd, ioas, BUFFER, PAGE, APERTURE);
      knobsOf(b).failAttach.push({ errno: EINVAL, domain });
      const change = how === 'attach' ? deviceAttach : deviceReplace;
      const second = must(change(b, RID, ioas));
      expect(second).not.toBe(first);
      // Both hold what is mapped.
      expect(fd.world.frames.totalPins).toBe(1);
      expect(unmap(fd, ioas, APERTURE, PAGE)).toBe(PAGE);
      // The third device finds the first that fits.
      expect(deviceAttach(bind(), RID, ioas)).toBe(first);
    },
  );
  test.for<[Errno]>([[ENOMEM], [ENOSPC], [EBUSY], [ENODEV]])(
    '%s of a candidate is the answer, and nothing is made',
    ([errno]) => {
      const { fd, bind, ioas } = rig();
      const [a, b] = [bind(), bind()];
      must(deviceAttach(a, RID, ioas));
      const { domain } = attachedHwpt(a, RID)!;
      knobsOf(b).failAttach.push({ errno, domain });
      expect(deviceAttach(b, RID, ioas)).toBe(errno);
      expect(at(b)).toBeUndefined();
      const next = ioasAlloc(fd);
      expect(next).toBe(5);
    },
  );
  test('EINVAL of the new hwpt is the answer, and the hwpt is gone', () => {
    const { fd, bind, ioas } = rig();
    const a = bind();
    knobsOf(a).failAttach.push({ errno: EINVAL });
    expect(deviceAttach(a, RID, ioas)).toBe(EINVAL);
    expect(destroy(fd, ioas)).toBeUndefined();
  });
  test('an attach whose hwpt cannot be filled is undone, the device is as before', () => {
    const { fd, bind, ioas } = rig();
    const a = bind();
    map(fd, ioas, 0xdead_0000n, PAGE, APERTURE);
    const failed = deviceAttach(a, RID, ioas);
    expect(isErrno(failed) && failed.name).toBe('EFAULT');
    expect([at(a), a.users]).toEqual([undefined, 2]);
    expect(unmap(fd, ioas, APERTURE, PAGE)).toBe(PAGE);
    expect(isErrno(deviceAttach(a, RID, ioas))).toBe(false);
    expect(a.users).toBe(3);
  });
});

function knobsOf(idev: IommufdDevice): MockDeviceKnobs {
  return (idev.dev.iommu!.priv as { knobs: MockDeviceKnobs }).knobs;
}

describe('the devices of a group', () => {
  test('the devices of a group go over together, with their users and their reserved regions', () => {
    const { fd, bind, ioas } = rig({ group: 'instance' });
    const region = { length: PAGE, prot: 0, type: IOMMU_RESV_RESERVED };
    const a = bind({ resvRegions: [{ ...region, start: APERTURE }] });
    const b = bind({ resvRegions: [{ ...region, start: APERTURE + PAGE }] });
    const first = must(deviceAttach(a, RID, ioas));
    expect(deviceAttach(b, RID, ioas)).toBe(first);
    const taken = (id: number) =>
      [0n, PAGE].map((offset) => {
        const made = map(fd, id, BUFFER, PAGE, APERTURE + offset);
        if (!isErrno(made)) unmap(fd, id, APERTURE + offset, PAGE);
        return isErrno(made);
      });
    expect(taken(ioas)).toEqual([true, true]);
    const other = ioasAlloc(fd);
    const second = must(deviceReplace(a, RID, other));
    expect([at(a), at(b)]).toEqual([second, second]);
    expect(destroy(fd, first)).toBe(ENOENT);
    expect(usersOf(fd, second)).toBe(3);
    expect([taken(ioas), taken(other)]).toEqual([
      [false, false],
      [true, true],
    ]);
    deviceDetach(a, RID);
    expect(taken(other)).toEqual([false, true]);
    expect(at(b)).toBe(second);
    deviceDetach(b, RID);
    expect(destroy(fd, second)).toBe(ENOENT);
  });
  test('the devices of a group stay where they are when one of them has no room in the new IOAS', () => {
    const { fd, bind, ioas } = rig({ group: 'instance' });
    const region = { length: PAGE, prot: 0, type: IOMMU_RESV_RESERVED };
    const a = bind({ resvRegions: [{ ...region, start: APERTURE }] });
    const b = bind({ resvRegions: [{ ...region, start: APERTURE + PAGE }] });
    const first = must(deviceAttach(a, RID, ioas));
    must(deviceAttach(b, RID, ioas));
    const other = ioasAlloc(fd);
    map(fd, other, BUFFER, PAGE, APERTURE + PAGE);
    expect(deviceReplace(a, RID, other)).toBe(EADDRINUSE);
    expect([at(a), at(b)]).toEqual([first, first]);
    // Nothing of the first stays reserved there.
    expect(map(fd, other, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
  });
  test('a member that is not attached cannot be replaced, though its group is', () => {
    const { fd, bind, ioas } = rig({ group: 'instance' });
    const [a, b] = [bind(), bind()];
    const hwpt = must(deviceAttach(a, RID, ioas));
    expect(deviceReplace(b, RID, ioas)).toBe(EINVAL);
    expect(deviceReplace(b, RID, hwpt)).toBe(EINVAL);
    deviceDetach(b, RID);
    expect(usersOf(fd, hwpt)).toBe(2);
  });
  test('a replace that the driver refuses keeps the old one', () => {
    const { fd, bind, ioas } = rig();
    const a = bind();
    const first = must(deviceAttach(a, RID, ioas));
    const other = ioasAlloc(fd);
    knobsOf(a).failAttach.push({ errno: ENOMEM });
    expect(deviceReplace(a, RID, other)).toBe(ENOMEM);
    expect(at(a)).toBe(first);
    expect(destroy(fd, other)).toBeUndefined();
  });
});

describe('reserved regions', () => {
  const region = { start: APERTURE, length: PAGE, prot: 3 };
  test.for([
    ['RESERVED', IOMMU_RESV_RESERVED, true],
    ['MSI', IOMMU_RESV_MSI, true],
    ['DIRECT_RELAXABLE', IOMMU_RESV_DIRECT_RELAXABLE, false],
  ] as const)('a reserved region is kept free, %s: %s', ([, type, reserved]) => {
    const { fd, bind, ioas } = rig({ default: 'none', identity: true });
    const idev = bind({ resvRegions: [{ ...region, type }] });
    must(deviceAttach(idev, RID, ioas));
    expect(isErrno(map(fd, ioas, BUFFER, PAGE, APERTURE))).toBe(reserved);
    deviceDetach(idev, RID);
    unmap(fd, ioas, APERTURE, PAGE);
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
  });
  test('a mapping in the way of a reserved region is EADDRINUSE, and no region stays', () => {
    const { fd, bind, ioas } = rig();
    const type = IOMMU_RESV_RESERVED;
    const idev = bind({
      resvRegions: [
        { ...region, type },
        { ...region, start: APERTURE + PAGE, type },
      ],
    });
    map(fd, ioas, BUFFER, PAGE, APERTURE + PAGE);
    expect(deviceAttach(idev, RID, ioas)).toBe(EADDRINUSE);
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
  });
  test('a PASID reserves nothing', () => {
    const { fd, bind, ioas } = rig();
    const idev = bind({ resvRegions: [{ ...region, type: IOMMU_RESV_RESERVED }] });
    const hwpt = must(hwptAlloc(fd, idev.id, ioas, { flags: 8 }));
    expect(deviceAttach(idev, 5, hwpt)).toBe(hwpt);
    expect(map(fd, ioas, BUFFER, PAGE, APERTURE)).toBe(APERTURE);
    deviceDetach(idev, 5);
  });
});

test('PASIDs of devices that are not capable of them, or beyond them, are refused', () => {
  const { fd, bind, ioas } = rig();
  const idev = bind();
  const hwpt = must(hwptAlloc(fd, idev.id, ioas, { flags: 8 }));
  // 10 bits of PASIDs.
  expect(deviceAttach(idev, 1024, hwpt)).toBe(EINVAL);
  expect(deviceAttach(idev, 1023, hwpt)).toBe(hwpt);
  const foreign = mock(fd, ioas);
  const theirs = must(hwptAlloc(fd, foreign.idev, ioas, { flags: 8 }));
  expect(deviceAttach(idev, 7, theirs)).toBe(EINVAL);
  deviceDetach(idev, 1023);
});
