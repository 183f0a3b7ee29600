/** Page faults and fault handlers: the tables of core.md 9.1 and 9.2. */
import { describe, expect, test } from 'vitest';
import { Rig } from '../../testing/core/rig.ts';
import {
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOSYS,
  EPERM,
  type Errno,
  type Status,
} from '../../base/errno.ts';
import type { MockDriverKnobs } from '../../drivers/mock/knobs.ts';
import { attachGroupHandle } from '../attach/attach.ts';
import { getMsiCookie } from '../dma/cookies.ts';
import { IOMMU_DOMAIN_NESTED, type AttachHandle, type Domain } from './domain.ts';
import { reportIommuFault, setFaultHandler, IOMMU_FAULT_WRITE } from '../map/fault-handler.ts';
import {
  iopfFreeGroup,
  iopfGroupDequeue,
  iopfGroupQueueWork,
  iopfGroupResponse,
  iopfQueueAddDevice,
  iopfQueueAlloc,
  iopfQueueDiscardPartial,
  iopfQueueFlushDev,
  iopfQueueFree,
  iopfQueueRemoveDevice,
  reportDeviceFault,
} from './iopf.ts';
import {
  IopfQueue,
  IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE,
  IOMMU_FAULT_PAGE_REQUEST_PASID_VALID,
  IOMMU_PAGE_RESP_FAILURE,
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
  type IopfFault,
  type IopfGroup,
  type PageResponse,
} from './iopf-queue.ts';
import { attachDevicePasid } from '../attach/pasid.ts';

const LAST = IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE;
const WITH_PASID = IOMMU_FAULT_PAGE_REQUEST_PASID_VALID;

function fault(grpid: number, flags = LAST, extra: Partial<IopfFault> = {}): IopfFault {
  return { flags, pasid: 0, grpid, perm: 1, addr: 0x1000n, ...extra };
}

interface Setup {
  readonly rig: Rig;
  readonly queue: IopfQueue;
  readonly u: Domain;
  readonly handle: AttachHandle;
  readonly taken: IopfGroup[];
  readonly responses: PageResponse[];
}
/** Device A on a fault queue and on a fault-capable domain U, attached with a handle; groups are kept in `taken`. */
function setup(
  options: {
    queued?: boolean;
    handler?: (group: IopfGroup) => Status;
    driver?: MockDriverKnobs;
  } = {},
): Setup {
  const rig = new Rig({ driver: { group: 'own', ...options.driver } });
  const responses: PageResponse[] = [];
  rig.mock.ops.pageResponse = (_dev, _fault, response) => responses.push(response);
  const queue = iopfQueueAlloc(rig.core.env, 'test');
  if (options.queued ?? true) expect(iopfQueueAddDevice(queue, rig.a)).toBeUndefined();
  const u = rig.domain('U');
  const handle: AttachHandle = { domain: undefined };
  expect(attachGroupHandle(u, rig.group, handle)).toBeUndefined();
  const taken: IopfGroup[] = [];
  u.iopfHandler =
    options.handler ??
    ((group) => {
      taken.push(group);
      return undefined;
    });
  return { rig, queue, u, handle, taken, responses };
}

describe('a fault queue', () => {
  test('a fault queue takes a device once, and only if its driver can answer', () => {
    const { rig, queue } = setup();
    expect(iopfQueueAddDevice(queue, rig.a)).toBe(EBUSY);
    delete rig.mock.ops.pageResponse;
    expect(iopfQueueAddDevice(queue, rig.b)).toBe(ENODEV);
  });
  test('a fault queue drops partial faults and answers pending groups INVALID when a device leaves', () => {
    const { rig, queue, taken, responses } = setup();
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    expect(reportDeviceFault(rig.a, fault(2, 0))).toBeUndefined();
    iopfQueueRemoveDevice(queue, rig.a);
    expect(responses).toEqual([{ pasid: 0, grpid: 1, code: IOMMU_PAGE_RESP_INVALID }]);
    expect(rig.a.iommu?.faultParam).toBeUndefined();
    // Too late: the group has its answer.
    iopfGroupResponse(taken[0]!, IOMMU_PAGE_RESP_SUCCESS);
    expect(responses.length).toBe(1);
    iopfFreeGroup(taken[0]!);
  });
  test('a fault queue warns when a device leaves that is not on it', () => {
    const { rig, queue } = setup();
    iopfQueueRemoveDevice(queue, rig.b);
    iopfQueueRemoveDevice(iopfQueueAlloc(rig.core.env, 'other'), rig.a);
    expect(rig.warnings).toEqual(['iopf-no-param', 'iopf-no-param']);
    expect(rig.a.iommu?.faultParam?.queue).toBe(queue);
  });
  test('a fault queue lets all devices go when it is freed; freeing none is nothing', () => {
    const { rig, queue } = setup();
    iopfQueueFree(queue);
    iopfQueueFree(undefined);
    expect([rig.a.iommu?.faultParam, queue.params.size]).toEqual([undefined, 0]);
  });
  test('a fault queue is flushed per device; a device on no queue is ENODEV and a warning', () => {
    const { rig, taken } = setup();
    const ran: number[] = [];
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    expect(iopfGroupQueueWork(taken[0]!, () => ran.push(1))).toBeUndefined();
    expect(iopfGroupQueueWork(taken[0]!, () => ran.push(2))).toBe(EBUSY);
    expect(ran).toEqual([]);
    expect(iopfQueueFlushDev(rig.a)).toBeUndefined();
    expect(ran).toEqual([1]);
    expect(iopfQueueFlushDev(rig.b)).toBe(ENODEV);
    expect(rig.warnings).toEqual(['iopf-no-param']);
  });
  test('a fault queue runs its work when the clock moves', () => {
    const { rig, taken } = setup();
    const ran: number[] = [];
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    expect(iopfGroupQueueWork(taken[0]!, () => ran.push(1))).toBeUndefined();
    rig.core.env.clock.advance(0);
    expect(ran).toEqual([1]);
  });
  test('a fault queue discards partial faults of all devices', () => {
    const { rig, queue, taken } = setup();
    expect(reportDeviceFault(rig.a, fault(1, 0))).toBeUndefined();
    expect(iopfQueueDiscardPartial(queue)).toBeUndefined();
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    expect(taken[0]?.faults.length).toBe(1);
    expect(iopfQueueDiscardPartial(undefined)).toBe(EINVAL);
  });
});

describe('a page request', () => {
  test('a page request reaches the handler with all faults of its number, the last one at the end', () => {
    const { rig, taken, responses, handle } = setup();
    const addrs = [0x1000n, 0x2000n, 0x3000n, 0x4000n];
    const parts = [
      fault(7, 0, { addr: addrs[0]! }),
      fault(8, 0, { addr: addrs[1]! }),
      fault(7, 0, { addr: addrs[2]! }),
      fault(7, LAST, { addr: addrs[3]! }),
    ];
    for (const part of parts) expect(reportDeviceFault(rig.a, part)).toBeUndefined();
    expect(taken.length).toBe(1);
    expect(taken[0]!.faults.map(({ addr }) => addr)).toEqual([0x1000n, 0x3000n, 0x4000n]);
    expect(taken[0]!.attachHandle).toBe(handle);
    expect(responses).toEqual([]);
    iopfGroupResponse(taken[0]!, IOMMU_PAGE_RESP_SUCCESS);
    iopfFreeGroup(taken[0]!);
    expect(responses).toEqual([{ pasid: 0, grpid: 7, code: IOMMU_PAGE_RESP_SUCCESS }]);
  });
  test('a page request that the handler refuses is answered FAILURE, which is no error of the driver', () => {
    const { rig, responses } = setup({ handler: () => [EIO][0] });
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    expect(responses).toEqual([{ pasid: 0, grpid: 1, code: IOMMU_PAGE_RESP_FAILURE }]);
    expect(rig.a.iommu?.faultParam?.pending.size).toBe(0);
  });
  test('a page request of a device on no queue is answered INVALID, with a warning', () => {
    const { rig, responses } = setup({ queued: false });
    expect(reportDeviceFault(rig.a, fault(1))).toBe(EINVAL);
    expect(responses.map(({ code }) => code)).toEqual([IOMMU_PAGE_RESP_INVALID]);
    expect(rig.warnings).toEqual(['iopf-no-param']);
  });
  test.for([
    [
      'a domain that takes no faults',
      (s: Setup): unknown => (s.u.iopfHandler = undefined),
      fault(1),
    ],
    ['an attach without a handle', (s: Setup) => s.rig.group.pasidArray.delete(0), fault(1)],
    ['a PASID nobody attached', () => undefined, fault(1, LAST | WITH_PASID, { pasid: 5 })],
  ] as const)('a page request for %s is answered INVALID', ([, before, report]) => {
    const s = setup();
    before(s);
    expect(reportDeviceFault(s.rig.a, report)).toBe(EINVAL);
    expect(s.responses).toEqual([{ pasid: report.pasid, grpid: 1, code: IOMMU_PAGE_RESP_INVALID }]);
    expect(s.taken).toEqual([]);
  });
});

describe('a page request with a PASID', () => {
  const report = fault(1, LAST | WITH_PASID, { pasid: 5 });
  test('a page request with a PASID goes to the handle of that PASID', () => {
    const { rig, u, taken } = setup();
    const handle: AttachHandle = { domain: undefined };
    // The mock driver would use a queue of its own for a domain that takes faults when it is attached.
    const { iopfHandler } = u;
    u.iopfHandler = undefined;
    expect(attachDevicePasid(u, rig.a, 5, handle)).toBeUndefined();
    u.iopfHandler = iopfHandler;
    expect(reportDeviceFault(rig.a, report)).toBeUndefined();
    expect(taken[0]?.attachHandle).toBe(handle);
  });
  test('a page request with a PASID goes to a nested stage 1 that has a PASID table of its own', () => {
    const { rig, u, taken, handle } = setup();
    u.type = IOMMU_DOMAIN_NESTED;
    expect(reportDeviceFault(rig.a, report)).toBeUndefined();
    expect(taken[0]?.attachHandle).toBe(handle);
  });
  test('a page request with a PASID goes nowhere when the driver keeps the PASID table', () => {
    const { rig, u, taken } = setup({ driver: { userPasidTable: false } });
    u.type = IOMMU_DOMAIN_NESTED;
    expect(reportDeviceFault(rig.a, report)).toBe(EINVAL);
    expect(taken).toEqual([]);
  });
});

describe('a group of faults', () => {
  test('a group of faults taken off the pending ones can still be answered, once', () => {
    const { rig, taken, responses } = setup();
    expect(reportDeviceFault(rig.a, fault(1))).toBeUndefined();
    const group = taken[0]!;
    expect(() => iopfFreeGroup(group)).toThrow('before it was answered');
    iopfGroupDequeue(group);
    expect(rig.a.iommu?.faultParam?.pending.size).toBe(0);
    iopfGroupResponse(group, IOMMU_PAGE_RESP_SUCCESS);
    iopfGroupResponse(group, IOMMU_PAGE_RESP_INVALID);
    expect(responses.length).toBe(1);
    iopfFreeGroup(group);
    expect(() => iopfGroupResponse(group, IOMMU_PAGE_RESP_SUCCESS)).toThrow('after it was freed');
  });
});

describe('a fault handler', () => {
  test('a fault handler hears of faults, and its answer is the result', () => {
    const { rig, u } = setup();
    const heard: unknown[] = [];
    let answer: Errno | undefined = EPERM;
    setFaultHandler(
      u,
      (...[, dev, iova, flags]) => (heard.push([dev.name, iova, flags]), answer),
      'token',
    );
    expect(reportIommuFault(u, rig.a, 0x1234n, IOMMU_FAULT_WRITE)).toBe(EPERM);
    answer = ENOSYS;
    expect(reportIommuFault(u, rig.a, 0n, 0)).toBe(ENOSYS);
    answer = undefined;
    expect(reportIommuFault(u, rig.a, 0n, 0)).toBeUndefined();
    expect(heard[0]).toEqual(['A', 0x1234n, 1]);
  });
  test('a missing fault handler is ENOSYS, and the fault is traced all the same', () => {
    const { rig, u } = setup();
    const texts: string[] = [];
    rig.core.env.trace.listen(({ event }) => {
      if (event.kind === 'fault') texts.push(event.text);
    });
    expect(reportIommuFault(u, rig.a, 0x1234n, IOMMU_FAULT_WRITE)).toBe(ENOSYS);
    expect(texts).toEqual(['io_page_fault: A iova=0x1234 flags=0x1']);
  });
  test('a fault handler is ignored, with a warning, by a domain that has a cookie', () => {
    const { rig, u } = setup();
    expect(getMsiCookie(u, 0x800_0000n)).toBeUndefined();
    setFaultHandler(u, () => undefined, undefined);
    expect(u.cookie.kind).toBe('dma-msi');
    expect(rig.warnings).toEqual(['fault-handler-cookie']);
  });
});
