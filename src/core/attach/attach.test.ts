/** The call log of core.md 11.5, row by row, and the rules of 4.2. */
import { describe, expect, test } from 'vitest';
import { EINVAL, ENOMEM, EBUSY, ENODEV, EIO, type Errno } from '../../base/errno.ts';
import {
  attachDevice,
  attachGroup,
  attachGroupHandle,
  attachHandleGet,
  detachDevice,
  detachGroup,
  detachGroupHandle,
  driverGetDomainForDev,
  getDmaDomain,
  getDomainForDev,
  replaceGroupHandle,
} from './attach.ts';
import { Rig } from '../../testing/core/rig.ts';
import type { AttachHandle, Domain } from '../contract/domain.ts';
import {
  deviceClaimDmaOwner,
  groupClaimDmaOwner,
  groupReleaseDmaOwner,
} from '../group/ownership.ts';
import { attachDevicePasid, replaceDevicePasid } from './pasid.ts';
import { resetDone, resetPrepare } from '../group/reset.ts';

const OWNER = { name: 'user' };

function newHandle(): AttachHandle {
  return { domain: undefined };
}

interface Flow {
  readonly rig: Rig;
  readonly u: Domain;
  readonly u2: Domain;
}

interface Row {
  readonly flow: string;
  /** Bring the group to where the row begins. */
  readonly before?: readonly ((f: Flow) => unknown)[];
  readonly act: (f: Flow) => unknown;
  readonly calls: readonly string[];
  readonly result?: Errno;
  /** The group's domain afterwards. */
  readonly on: string;
  readonly cnt?: number;
  readonly warnings?: readonly string[];
  readonly check?: (f: Flow) => void;
  readonly traits?: readonly 'test-dev'[];
}

const claim = (f: Flow) => groupClaimDmaOwner(f.rig.group, OWNER);
const attachU = (f: Flow) => attachGroup(f.u, f.rig.group);
const replaceU2 = (f: Flow) => replaceGroupHandle(f.rig.group, f.u2, newHandle());
const detach = (f: Flow) => detachGroup(f.u, f.rig.group);
const pasidU = (f: Flow) => attachDevicePasid(f.u, f.rig.a, 5, newHandle());
const pasidU2 = (f: Flow) => attachDevicePasid(f.u2, f.rig.a, 5, newHandle());
const failAttach = (name: 'a' | 'b', errno: Errno) => (f: Flow) =>
  f.rig.mock.knobsOf(f.rig[name]).failAttach.push({ errno });
const failPasid = (name: 'a' | 'b', errno: Errno) => (f: Flow) =>
  f.rig.mock.knobsOf(f.rig[name]).failPasid.push({ errno });

const ROWS: readonly Row[] = [
  {
    flow: 'claim by owner, on the default domain',
    act: claim,
    calls: ['attach(K,A,D)', 'attach(K,B,D)'],
    on: 'K',
    cnt: 1,
  },
  {
    flow: 'attach_group',
    before: [claim],
    act: attachU,
    calls: ['attach(U,A,K)', 'attach(U,B,K)'],
    on: 'U',
  },
  {
    flow: 'attach_group, the second member fails',
    before: [claim, failAttach('b', EIO)],
    act: attachU,
    calls: ['attach(U,A,K)', 'attach(U,B,K)=EIO', 'attach(K,A,U)'],
    result: EIO,
    on: 'K',
  },
  {
    flow: 'attach_group again',
    before: [claim, attachU],
    act: attachU,
    calls: [],
    result: EBUSY,
    on: 'U',
  },
  {
    flow: 'replace',
    before: [claim, attachU],
    act: replaceU2,
    calls: ['attach(U2,A,U)', 'attach(U2,B,U)'],
    on: 'U2',
  },
  {
    flow: 'detach_group',
    before: [claim, attachU, replaceU2],
    act: detach,
    calls: ['attach(K,A,U2)', 'attach(K,B,U2)'],
    on: 'K',
  },
  {
    flow: 'detach_group, the first member fails: the target is the blocking domain, so no other attempt',
    before: [claim, attachU, replaceU2, failAttach('a', EIO)],
    act: detach,
    calls: ['attach(K,A,U2)=EIO', 'attach(K,B,U2)'],
    on: 'K',
    warnings: ['nofail-failed'],
  },
  {
    flow: 'release owner',
    before: [claim],
    act: (f) => groupReleaseDmaOwner(f.rig.group),
    calls: ['attach(D,A,K)', 'attach(D,B,K)'],
    on: 'D',
    cnt: 0,
  },
  {
    flow: 'release owner, the first member fails: it is blocked instead',
    before: [claim, failAttach('a', EIO)],
    act: (f) => groupReleaseDmaOwner(f.rig.group),
    calls: ['attach(D,A,K)=EIO', 'attach(K,A,K)', 'attach(D,B,K)'],
    on: 'D',
    cnt: 0,
    warnings: ['nofail-failed'],
  },
  {
    flow: 'PASID attach',
    before: [claim],
    act: pasidU,
    calls: ['set(U,A,5,–)', 'set(U,B,5,–)'],
    on: 'K',
    check: (f) => expect(f.rig.group.pasidArray.get(5)?.domain).toBe(f.u),
  },
  {
    flow: 'PASID attach, the second member fails',
    before: [claim, failPasid('b', ENOMEM)],
    act: pasidU,
    calls: ['set(U,A,5,–)', 'set(U,B,5,–)=ENOMEM', 'set(K,A,5,U)'],
    result: ENOMEM,
    on: 'K',
    check: (f) => expect(f.rig.group.pasidArray.size).toBe(0),
  },
  {
    flow: 'PASID replace, the second member fails',
    before: [claim, pasidU, failPasid('b', ENOMEM)],
    act: (f) => replaceDevicePasid(f.u2, f.rig.a, 5, newHandle()),
    calls: ['set(U2,A,5,U)', 'set(U2,B,5,U)=ENOMEM', 'set(U,A,5,U2)'],
    result: ENOMEM,
    on: 'K',
    check: (f) => expect(f.rig.group.pasidArray.get(5)?.domain).toBe(f.u),
  },
  {
    flow: 'reset prepare',
    before: [claim, attachU, pasidU2],
    act: (f) => resetPrepare(f.rig.a),
    calls: ['attach(K,A,U)', 'set(K,A,5,U2)'],
    on: 'U',
    check: (f) => expect(f.rig.group.devices.map((m) => m.blocked)).toEqual([true, false]),
  },
  {
    flow: 'detach_group while a member is blocked by a reset',
    before: [claim, attachU, pasidU2, (f) => resetPrepare(f.rig.a)],
    act: detach,
    calls: ['attach(K,B,U)'],
    on: 'K',
  },
  {
    flow: 'reset done after that',
    before: [claim, attachU, pasidU2, (f) => resetPrepare(f.rig.a), detach],
    act: (f) => resetDone(f.rig.a),
    calls: ['set(U2,A,5,K)'],
    on: 'K',
    check: (f) => expect(f.rig.group.devices.map((m) => m.blocked)).toEqual([false, false]),
  },
  {
    flow: 'with test_dev: the second member does not pass',
    traits: ['test-dev'],
    before: [claim, (f) => (f.rig.mock.knobsOf(f.rig.b).failTest = EINVAL)],
    act: attachU,
    calls: ['test(U,A,0,K)', 'test(U,B,0,K)=EINVAL'],
    result: EINVAL,
    on: 'K',
  },
  {
    flow: 'with test_dev: every member is tested before the first is attached',
    traits: ['test-dev'],
    before: [claim],
    act: attachU,
    calls: ['test(U,A,0,K)', 'test(U,B,0,K)', 'attach(U,A,K)', 'attach(U,B,K)'],
    on: 'U',
  },
];

describe('driver calls of the main flows', () => {
  test.for(ROWS)('$flow makes the driver calls of the kernel', (row) => {
    const rig = new Rig(row.traits ? { traits: row.traits } : {});
    const f = { rig, u: rig.domain('U'), u2: rig.domain('U2') };
    for (const step of row.before ?? []) step(f);
    rig.log.take();
    const warned = rig.warnings.length;

    const result = row.act(f);

    expect(rig.log.take()).toEqual(row.calls);
    expect(result).toBe(row.result);
    expect(rig.on).toBe(row.on);
    expect(rig.warnings.slice(warned)).toEqual(row.warnings ?? []);
    if (row.cnt !== undefined) expect(rig.group.ownerCnt).toBe(row.cnt);
    row.check?.(f);
  });
});

describe('attach and detach of a device', () => {
  const single = () => new Rig({ members: [{ name: 'A' }] });

  test('the only device of a group is attached and detached by itself', () => {
    const rig = single();
    const u = rig.domain('U');
    expect(attachDevice(u, rig.a)).toBeUndefined();
    expect(getDomainForDev(rig.a)).toBe(u);
    detachDevice(u, rig.a);
    expect(rig.on).toBe('D');
    expect(rig.warnings).toEqual([]);
  });
  test('a device of a larger group cannot be attached by itself, which is EINVAL', () => {
    const rig = new Rig();
    expect(attachDevice(rig.domain('U'), rig.a)).toBe(EINVAL);
  });
  test('a device without a group cannot be attached, which is ENODEV', () => {
    const rig = single();
    const u = rig.domain('U');
    rig.mock.removeDevice(rig.a);
    expect(attachDevice(u, rig.a)).toBe(ENODEV);
  });
  test('detaching what is not attached is warned and changes nothing', () => {
    const rig = single();
    const u = rig.domain('U');
    expect(attachDevice(u, rig.a)).toBeUndefined();
    detachDevice(rig.domain('U2'), rig.a);
    expect(rig.on).toBe('U');
    expect(rig.warnings).toEqual(['detach-mismatch']);
  });
  test('detaching one device of a larger group is warned', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachGroup(u, rig.group)).toBeUndefined();
    detachDevice(u, rig.a);
    expect(rig.on).toBe('U');
    expect(rig.warnings).toEqual(['detach-mismatch']);
  });
  test('a second attach of the very same domain is EBUSY', () => {
    const rig = single();
    const u = rig.domain('U');
    expect(attachDevice(u, rig.a)).toBeUndefined();
    expect(attachDevice(u, rig.a)).toBe(EBUSY);
  });
  test('a domain that cannot be attached at all is ENODEV', () => {
    const rig = single();
    const u = rig.domain('U');
    u.ops = {};
    expect(attachDevice(u, rig.a)).toBe(ENODEV);
  });
});

describe('attach with a handle', () => {
  test('an attach with a handle wants a handle, else EINVAL', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachGroupHandle(u, rig.group, undefined)).toBe(EINVAL);
    expect(replaceGroupHandle(rig.group, u, undefined)).toBe(EINVAL);
    expect(replaceGroupHandle(rig.group, undefined, newHandle())).toBe(EINVAL);
  });
  test('a handle is found only after the attach succeeded, and is gone after the detach', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    const handle = newHandle();
    rig.mock.knobsOf(rig.b).failAttach.push({ errno: ENOMEM });
    expect(attachGroupHandle(u, rig.group, handle)).toBe(ENOMEM);
    expect(attachHandleGet(rig.group, 0, 0)).toMatchObject({ name: 'ENOENT' });

    expect(attachGroupHandle(u, rig.group, handle)).toBeUndefined();
    expect(attachHandleGet(rig.group, 0, 0)).toBe(handle);
    expect(attachHandleGet(rig.group, 0, u.type)).toBe(handle);
    expect(attachHandleGet(rig.group, 0, 64)).toBe(EBUSY);

    detachGroupHandle(u, rig.group);
    expect(attachHandleGet(rig.group, 0, 0)).toMatchObject({ name: 'ENOENT' });
  });
  test('a second handle is EBUSY before anything else', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachGroupHandle(u, rig.group, newHandle())).toBeUndefined();
    rig.log.take();
    expect(attachGroupHandle(rig.domain('U2'), rig.group, newHandle())).toBe(EBUSY);
    expect(rig.log.take()).toEqual([]);
  });
  test('replacing with the same domain swaps the handle and calls no driver', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(attachGroupHandle(u, rig.group, newHandle())).toBeUndefined();
    rig.log.take();
    const next = newHandle();
    expect(replaceGroupHandle(rig.group, u, next)).toBeUndefined();
    expect(rig.log.take()).toEqual([]);
    expect(attachHandleGet(rig.group, 0, 0)).toBe(next);
  });
  test('a failed replace keeps the old handle, but has written into the new one', () => {
    const rig = new Rig();
    const [u, u2] = [rig.domain('U'), rig.domain('U2')];
    const [handle, next] = [newHandle(), newHandle()];
    expect(attachGroupHandle(u, rig.group, handle)).toBeUndefined();
    rig.mock.knobsOf(rig.a).failAttach.push({ errno: EINVAL });
    expect(replaceGroupHandle(rig.group, u2, next)).toBe(EINVAL);
    expect(attachHandleGet(rig.group, 0, 0)).toBe(handle);
    expect(next.domain).toBe(u2);
    expect(rig.on).toBe('U');
  });
});

describe('what a device is on', () => {
  test('a driver sees the blocking domain while the device is reset, others the domain of the group', () => {
    const rig = new Rig();
    const u = rig.domain('U');
    expect(claim({ rig, u, u2: u })).toBeUndefined();
    expect(attachGroup(u, rig.group)).toBeUndefined();
    expect(resetPrepare(rig.a)).toBeUndefined();
    expect(getDomainForDev(rig.a)).toBe(u);
    using _ = rig.group.mutex.hold();
    expect(driverGetDomainForDev(rig.a)).toBe(rig.group.blockingDomain);
    expect(driverGetDomainForDev(rig.b)).toBe(u);
  });
  test('asking for the domain under the group mutex is a deadlock', () => {
    const rig = new Rig();
    using _ = rig.group.mutex.hold();
    expect(() => getDomainForDev(rig.a)).toThrow(/taken twice/);
  });
  test('the domain of the DMA API is the default one, whatever the device is on', () => {
    const rig = new Rig();
    expect(attachGroup(rig.domain('U'), rig.group)).toBeUndefined();
    expect(rig.nameOf(getDmaDomain(rig.a))).toBe('D');
  });
  test('a device outside of any group is on nothing', () => {
    const rig = new Rig();
    rig.mock.removeDevice(rig.b);
    expect(getDomainForDev(rig.b)).toBeUndefined();
    expect(driverGetDomainForDev(rig.b)).toBeUndefined();
    expect(deviceClaimDmaOwner(rig.b, OWNER)).toBe(ENODEV);
  });
});
