/** What is allowed while a device is reset, and what comes back after it (core.md 4.3). */
import { describe, expect, test } from 'vitest';
import { Rig, type RigOptions } from '../../testing/core/rig.ts';
import { EBUSY, EINVAL, EIO, type Status } from '../../base/errno.ts';
import {
  attachDevice,
  attachGroup,
  attachGroupHandle,
  deferredAttach,
  detachGroup,
  replaceGroupHandle,
} from '../attach/attach.ts';
import type { Domain } from '../contract/domain.ts';
import { deviceClaimDmaOwner, groupClaimDmaOwner, groupReleaseDmaOwner } from './ownership.ts';
import { attachDevicePasid, detachDevicePasid, replaceDevicePasid } from '../attach/pasid.ts';
import { resetDone, resetPrepare } from './reset.ts';

const OWNER = {};

function owned(options: RigOptions = {}): { rig: Rig; u: Domain; u2: Domain } {
  const rig = new Rig(options);
  expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
  const u = rig.domain('U');
  expect(attachGroup(u, rig.group)).toBeUndefined();
  const u2 = rig.domain('U2');
  rig.log.take();
  return { rig, u, u2 };
}

describe('which devices are bracketed', () => {
  const pf = { name: 'PF' };
  test.for([
    { device: 'without ATS', config: { ats: false }, calls: 0 },
    { device: 'untrusted', config: { untrusted: true }, calls: 0 },
    { device: 'with ATS', config: {}, calls: 1 },
  ])('a reset of a device $device makes $calls driver calls', ({ config, calls }) => {
    const { rig } = owned({ members: [{ name: 'A', ...config }], traits: ['strict-default'] });
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(rig.log.take()).toHaveLength(calls);
    expect(rig.group.recoveryCnt).toBe(calls);
    resetDone(rig.a);
    expect(rig.warnings).toEqual([]);
  });
  test.for([
    { pfAts: true, vfAts: true, calls: 1 },
    { pfAts: false, vfAts: true, calls: 0 },
    { pfAts: true, vfAts: false, calls: 0 },
  ])(
    'a reset of a VF ($vfAts) of a PF ($pfAts) makes $calls driver calls',
    ({ pfAts, vfAts, calls }) => {
      const physfn = new Rig({ members: [{ ...pf, ats: pfAts }] }).a;
      const pci = { isVf: true, hasPri: false, physfn };
      const { rig } = owned({ members: [{ name: 'VF', ats: vfAts, pci }] });
      expect(resetPrepare(rig.a)).toBeUndefined();
      expect(rig.log.take()).toHaveLength(calls);
    },
  );
  test('a device without an IOMMU is not bracketed', () => {
    const rig = new Rig();
    rig.mock.removeDevice(rig.b);
    expect(resetPrepare(rig.b)).toBeUndefined();
    resetDone(rig.b);
    expect(rig.warnings).toEqual([]);
  });
});

describe('while a device is reset', () => {
  const REFUSED: Record<string, (rig: Rig, u: Domain, u2: Domain) => Status> = {
    'replace of the group': (rig, _u, u2) =>
      replaceGroupHandle(rig.group, u2, { domain: undefined }),
    'PASID attach on the sibling': (rig, _u, u2) => attachDevicePasid(u2, rig.b, 6),
    'PASID replace': (rig, _u, u2) => replaceDevicePasid(u2, rig.a, 5, { domain: undefined }),
  };
  test.for(Object.keys(REFUSED))(
    '%s is EBUSY while a device is reset, without a driver call',
    (name) => {
      for (const traits of [[], ['test-dev']] as const) {
        const { rig, u, u2 } = owned({ traits });
        expect(attachDevicePasid(u, rig.a, 5)).toBeUndefined();
        expect(resetPrepare(rig.a)).toBeUndefined();
        rig.log.take();
        expect(REFUSED[name]!(rig, u, u2)).toBe(EBUSY);
        expect(rig.log.take()).toEqual([]);
      }
    },
  );
  const FROM_DEFAULT: Record<string, (rig: Rig, u: Domain) => Status> = {
    'attach of the group': (rig, u) => attachGroup(u, rig.group),
    'attach with a handle': (rig, u) => attachGroupHandle(u, rig.group, { domain: undefined }),
    'claim of the group': (rig) => groupClaimDmaOwner(rig.group, OWNER),
    'claim of the sibling': (rig) => deviceClaimDmaOwner(rig.b, OWNER),
  };
  test.for(Object.keys(FROM_DEFAULT))('%s is EBUSY while a device is reset', (name) => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(FROM_DEFAULT[name]!(rig, u)).toBe(EBUSY);
    resetDone(rig.a);
    expect(FROM_DEFAULT[name]!(rig, u)).toBeUndefined();
  });
  test('an attach of the only device is EBUSY while it is reset', () => {
    const rig = new Rig({ members: [{ name: 'A' }] });
    const u = rig.domain('U');
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(attachDevice(u, rig.a)).toBe(EBUSY);
  });
});

describe('what goes on during a reset', () => {
  test('a deferred attach of the blocked device is EBUSY', () => {
    const rig = new Rig();
    expect(resetPrepare(rig.a)).toBeUndefined();
    rig.a.iommu!.attachDeferred = true;
    expect(deferredAttach(rig.a, rig.group.defaultDomain!)).toBe(EBUSY);
    expect(deferredAttach(rig.b, rig.group.defaultDomain!)).toBeUndefined();
  });
  test('a release passes by the blocked member, done brings it to the default domain', () => {
    const { rig, u } = owned();
    expect(resetPrepare(rig.a)).toBeUndefined();
    detachGroup(u, rig.group);
    groupReleaseDmaOwner(rig.group);
    expect(rig.log.take()).toEqual(['attach(K,A,U)', 'attach(K,B,U)', 'attach(D,B,K)']);
    resetDone(rig.a);
    expect(rig.log.take()).toEqual(['attach(D,A,K)']);
    expect(rig.warnings).toEqual([]);
  });
  test('detaching a PASID passes by the blocked member, which does not get it back', () => {
    const { rig, u2 } = owned();
    expect(attachDevicePasid(u2, rig.a, 5)).toBeUndefined();
    expect(resetPrepare(rig.a)).toBeUndefined();
    rig.log.take();
    detachDevicePasid(u2, rig.a, 5);
    expect(rig.log.take()).toEqual(['set(K,B,5,U2)']);
    resetDone(rig.a);
    expect(rig.log.take()).toEqual(['attach(U,A,K)']);
  });
  test('both members may be reset at the same time', () => {
    const { rig } = owned();
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(resetPrepare(rig.b)).toBeUndefined();
    expect(rig.group.recoveryCnt).toBe(2);
    resetDone(rig.a);
    expect(attachDevicePasid(rig.domain('U3'), rig.a, 7)).toBe(EBUSY);
    resetDone(rig.b);
    expect(rig.group.recoveryCnt).toBe(0);
  });
});

describe('prepare and done', () => {
  test('nested brackets of a reset are counted', () => {
    const { rig } = owned();
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(rig.log.take()).toEqual(['attach(K,A,U)']);
    resetDone(rig.a);
    expect(rig.log.take()).toEqual([]);
    resetDone(rig.a);
    expect(rig.log.take()).toEqual(['attach(U,A,K)']);
  });
  test('done without prepare is warned', () => {
    const { rig } = owned();
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['reset-unbalanced']);
    expect(rig.log.take()).toEqual([]);
  });
  test('a failing prepare leaves nothing behind', () => {
    const { rig } = owned();
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EIO });
    expect(resetPrepare(rig.a)).toBe(EIO);
    expect(rig.group.recoveryCnt).toBe(0);
    expect(rig.group.devices[0]).toMatchObject({ blocked: false, resetDepth: 0 });
  });
  test('a restore that fails is warned, and the reset is over', () => {
    const { rig } = owned();
    expect(resetPrepare(rig.a)).toBeUndefined();
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EINVAL });
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['rollback-failed']);
    expect(rig.group.recoveryCnt).toBe(0);
  });
  test('a group on the blocking domain needs no attach, only its PASIDs', () => {
    const rig = new Rig();
    expect(groupClaimDmaOwner(rig.group, OWNER)).toBeUndefined();
    expect(attachDevicePasid(rig.domain('U'), rig.a, 5)).toBeUndefined();
    rig.log.take();
    expect(resetPrepare(rig.a)).toBeUndefined();
    resetDone(rig.a);
    expect(rig.log.take()).toEqual(['set(K,A,5,U)', 'set(U,A,5,K)']);
  });
  test('a DMA alias that is still blocked is warned', () => {
    const pci = { isVf: false, hasPri: false, dmaAliasOf: () => true };
    const { rig } = owned({
      members: [
        { name: 'A', pci },
        { name: 'B', pci },
      ],
    });
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(resetPrepare(rig.b)).toBeUndefined();
    resetDone(rig.a);
    expect(rig.warnings).toEqual(['reset-alias']);
  });
});
