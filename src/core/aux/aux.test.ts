/** Aux domains on physical devices: core.md 8.2 and the rows of 12.3 about them. */
import { describe, expect, test } from 'vitest';
import { enableAux, newRig, TRAITS } from '../../testing/core/mdev-rig.ts';
import { Rig } from '../../testing/core/rig.ts';
import { EBUSY, EINVAL, ENODEV, ENOMEM, EPERM, type Errno } from '../../base/errno.ts';
import {
  attachDevice,
  attachGroup,
  attachGroupHandle,
  getDomainForDev,
  replaceGroupHandle,
} from '../attach/attach.ts';
import {
  devDisableFeature,
  devEnableFeature,
  devFeatureEnabled,
  devHasFeature,
  IOMMU_DEV_FEAT_AUX,
  IOMMU_DEV_FEAT_SVA,
} from '../attach/aux-feature.ts';
import { auxAttachDevice, auxDetachDevice, auxGetPasid } from './aux.ts';
import { IOMMU_DOMAIN_DMA } from '../contract/domain.ts';
import { testAttach } from '../attach/test-attach.ts';

describe('the feature', () => {
  test('the aux feature is there with PASIDs, and only when the kernel has aux domains', () => {
    const rig = newRig({ members: [{ name: 'A' }, { name: 'B', pasidBits: 0 }] });
    expect(devHasFeature(rig.a, IOMMU_DEV_FEAT_AUX)).toBe(true);
    expect(devHasFeature(rig.b, IOMMU_DEV_FEAT_AUX)).toBe(false);
    expect(devHasFeature(rig.a, IOMMU_DEV_FEAT_SVA)).toBe(false);
    expect(devHasFeature(newRig({ traits: [] }).a, IOMMU_DEV_FEAT_AUX)).toBe(false);
  });
  test.for([
    ['a kernel without aux domains', { traits: [] }, IOMMU_DEV_FEAT_AUX, ENODEV],
    ['a feature nobody knows', {}, IOMMU_DEV_FEAT_SVA, ENODEV],
    [
      'a device without PASIDs',
      { members: [{ name: 'A', pasidBits: 0 }] },
      IOMMU_DEV_FEAT_AUX,
      EINVAL,
    ],
    [
      'a driver that cannot take PASIDs off',
      { driver: { blockedPasid: false } },
      IOMMU_DEV_FEAT_AUX,
      EINVAL,
    ],
  ] as const)('the aux feature cannot be enabled for %s', ([, options, feature, errno]) => {
    const rig = newRig(options);
    expect(devEnableFeature(rig.a, feature)).toBe(errno);
    expect(devFeatureEnabled(rig.a, feature)).toBe(false);
  });
  test.for([
    ['a kernel without aux domains', { traits: [] }, IOMMU_DEV_FEAT_AUX],
    ['a feature nobody knows', {}, IOMMU_DEV_FEAT_SVA],
  ] as const)(
    'the aux feature cannot be disabled for %s, which is EBUSY',
    ([, options, feature]) => {
      expect(devDisableFeature(newRig(options).a, feature)).toBe(EBUSY);
    },
  );
  test('the aux feature cannot be disabled while aux domains are attached', () => {
    const rig = newRig();
    enableAux(rig.a);
    const u = rig.domain('U');
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    expect(devDisableFeature(rig.a, IOMMU_DEV_FEAT_AUX)).toBe(EBUSY);
    auxDetachDevice(u, rig.a);
    expect(devDisableFeature(rig.a, IOMMU_DEV_FEAT_AUX)).toBeUndefined();
    expect(devFeatureEnabled(rig.a, IOMMU_DEV_FEAT_AUX)).toBe(false);
  });
});

describe('the feature of a driver with calls of its own', () => {
  test("the aux feature is the driver's word when it has calls of its own", () => {
    const rig = newRig();
    const asked: string[] = [];
    let answer: Errno | undefined = EPERM;
    Object.assign(rig.mock.ops, {
      devHasFeature: () => asked.push('has') > 0,
      devEnableFeature: () => (asked.push('enable'), answer),
      devDisableFeature: () => (asked.push('disable'), answer),
    });
    expect(devHasFeature(rig.a, IOMMU_DEV_FEAT_SVA)).toBe(true);
    expect(devEnableFeature(rig.a, IOMMU_DEV_FEAT_SVA)).toBe(EPERM);
    answer = undefined;
    expect(devEnableFeature(rig.a, IOMMU_DEV_FEAT_SVA)).toBeUndefined();
    answer = EPERM;
    expect(devDisableFeature(rig.a, IOMMU_DEV_FEAT_SVA)).toBe(EPERM);
    expect(devFeatureEnabled(rig.a, IOMMU_DEV_FEAT_SVA)).toBe(true);
    expect(asked).toEqual(['has', 'enable', 'enable', 'disable']);
  });
});

describe('attaching to a physical device', () => {
  test('an aux attach needs the feature enabled: attach and get_pasid, but not detach', () => {
    const rig = newRig();
    const u = rig.domain('U');
    expect(auxAttachDevice(u, rig.a)).toBe(ENODEV);
    expect(auxGetPasid(u, rig.a)).toBe(ENODEV);
    auxDetachDevice(u, rig.a);
    enableAux(rig.a);
    expect(auxGetPasid(u, rig.a)).toBe(EINVAL);
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    expect(auxGetPasid(u, rig.a)).toBe(1);
    expect(rig.warnings).toEqual([]);
  });
  test('an aux attach is refused by a kernel without aux domains', () => {
    const rig = newRig({ traits: [] });
    expect(auxAttachDevice(rig.domain('U'), rig.a)).toBe(ENODEV);
  });
  test('an aux attach is for unmanaged domains only', () => {
    const rig = newRig();
    enableAux(rig.a);
    const u = rig.domain('U');
    u.type = IOMMU_DOMAIN_DMA;
    expect(auxAttachDevice(u, rig.a)).toBe(EPERM);
  });
  test('an aux attach programs hardware for the first of several attaches, and takes off the last', () => {
    const rig = newRig();
    enableAux(rig.a);
    const u = rig.domain('U');
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)']);
    auxDetachDevice(u, rig.a);
    expect(rig.log.take()).toEqual([]);
    auxDetachDevice(u, rig.a);
    expect(rig.log.take()).toEqual(['set(K,A,1,U)']);
    auxDetachDevice(u, rig.a);
    expect(rig.log.take()).toEqual([]);
  });
});

describe('the PASID of an aux domain', () => {
  test('an aux domain has one PASID on all devices, and each its own', () => {
    const rig = newRig();
    enableAux(rig.a, rig.b);
    const [u, v] = [rig.domain('U'), rig.domain('V')];
    for (const dev of [rig.a, rig.b]) {
      expect(auxAttachDevice(u, dev)).toBeUndefined();
      expect(auxAttachDevice(v, dev)).toBeUndefined();
    }
    expect([auxGetPasid(u, rig.a), auxGetPasid(u, rig.b)]).toEqual([1, 1]);
    expect([auxGetPasid(v, rig.a), auxGetPasid(v, rig.b)]).toEqual([2, 2]);
  });
  test('an aux domain returns its PASID when no device is left', () => {
    const rig = newRig();
    enableAux(rig.a);
    const [u, v] = [rig.domain('U'), rig.domain('V')];
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    auxDetachDevice(u, rig.a);
    expect(auxAttachDevice(v, rig.a)).toBeUndefined();
    expect(auxGetPasid(v, rig.a)).toBe(1);
  });
  test('an aux attach fails with ENODEV when no PASID is left', () => {
    const rig = newRig({ members: [{ name: 'A', pasidBits: 1 }] });
    enableAux(rig.a);
    expect(auxAttachDevice(rig.domain('U'), rig.a)).toBeUndefined();
    expect(auxAttachDevice(rig.domain('V'), rig.a)).toBe(ENODEV);
  });
  test('an aux attach takes back the PASID when the driver refuses', () => {
    const rig = newRig();
    enableAux(rig.a);
    const u = rig.domain('U');
    rig.mock.knobsOf(rig.a).failPasid.push({ errno: ENOMEM });
    expect(auxAttachDevice(u, rig.a)).toBe(ENOMEM);
    expect(auxGetPasid(u, rig.a)).toBe(EINVAL);
    expect(devDisableFeature(rig.a, IOMMU_DEV_FEAT_AUX)).toBeUndefined();
    expect(rig.core.globalPasids.size).toBe(0);
  });
  test('an aux attach sets a group of several physical devices once', () => {
    const rig = new Rig({ traits: TRAITS });
    enableAux(rig.a, rig.b);
    const u = rig.domain('U');
    expect(auxAttachDevice(u, rig.a)).toBeUndefined();
    expect(auxAttachDevice(u, rig.b)).toBeUndefined();
    expect(rig.log.take()).toEqual(['set(U,A,1,–)', 'set(U,B,1,–)']);
    auxDetachDevice(u, rig.a);
    expect(rig.log.take()).toEqual([]);
    auxDetachDevice(u, rig.b);
    expect(rig.log.take()).toEqual(['set(K,A,1,U)', 'set(K,B,1,U)']);
  });
});

describe('an aux attach', () => {
  test('an aux attach leaves the primary domain alone, and forbids taking the whole device', () => {
    const rig = newRig();
    enableAux(rig.a);
    const primary = getDomainForDev(rig.a);
    expect(auxAttachDevice(rig.domain('U'), rig.a)).toBeUndefined();
    expect(getDomainForDev(rig.a)).toBe(primary);
    expect(rig.a.iommuGroup?.defaultDomain).toBe(primary);
    expect(attachDevice(rig.domain('V'), rig.a)).toBe(EPERM);
    expect(attachGroup(rig.domain('W'), rig.a.iommuGroup!)).toBe(EPERM);
    expect(getDomainForDev(rig.a)).toBe(primary);
  });
  test('an aux attach forbids replacing what has the whole device by another unmanaged domain, but not staying', () => {
    const rig = newRig();
    const group = rig.a.iommuGroup!;
    const v = rig.domain('V');
    expect(attachGroupHandle(v, group, { domain: undefined })).toBeUndefined();
    enableAux(rig.a);
    const w = rig.domain('W');
    rig.log.take();
    for (const domain of [w, v]) {
      const foretold = testAttach([{ target: { group }, domain, mode: 'replace' }]).errno;
      const rc = replaceGroupHandle(group, domain, { domain: undefined });
      expect([rc, foretold]).toEqual(domain === w ? [EPERM, EPERM] : [undefined, undefined]);
      expect(group.domain).toBe(v);
    }
    expect(rig.log.take()).toEqual([]);
  });
});
