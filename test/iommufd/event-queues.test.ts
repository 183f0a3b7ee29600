/** Reads and writes of event queues whose buffers cannot all be reached (iommufd.md 2.16, 2.19): nothing is lost. */
import { describe, expect, test } from 'vitest';
import { EFAULT, EINVAL, ESPIPE, isErrno, type Result, type Status } from '../../src/base/errno.ts';
import { OpenFile, plainBuffer, type UserBuffer } from '../../src/base/file.ts';
import { refuse } from '../../src/base/refuse.ts';
import { WaitQueue, type Outcome } from '../../src/base/wait-queue.ts';
import * as uapi from '../../src/uapi/iommufd.ts';
import * as t from '../../src/uapi/iommufd-test.ts';
import { reportDeviceFault } from '../../src/core/contract/iopf.ts';
import { IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE } from '../../src/core/contract/iopf-queue.ts';
import type { IommufdContext } from '../../src/iommufd/context.ts';
import { IommufdDevice } from '../../src/iommufd/device-object.ts';
import {
  destroy,
  hwptAlloc,
  ioasAlloc,
  mock,
  only,
  testOp,
} from '../../src/testing/iommufd/calls.ts';
import { ARRAY, poke } from '../../src/testing/iommufd/process.ts';
import { World, type Iommufd } from '../../src/testing/iommufd/world.ts';

/** A buffer of `length` bytes of which only the first `reachable` are mapped. */
function tornBuffer(length: number, reachable: number, bytes = new Uint8Array(length)): UserBuffer {
  const whole = plainBuffer(bytes);
  const reach = (at: number, count: number): Status<'EFAULT'> =>
    at + count <= reachable ? undefined : refuse(EFAULT, 'not mapped', { at, count });
  return {
    length,
    copyTo: (at, from) => reach(at, from.length) ?? whole.copyTo(at, from),
    copyFrom: (at, into) => reach(at, into.length) ?? whole.copyFrom(at, into),
  };
}

interface Scene {
  readonly fd: Iommufd;
  readonly dev: { readonly stdev: number; readonly idev: number };
  readonly nestParent: number;
}
const NESTED = { data_type: t.IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: ARRAY };

function scene(): Scene {
  const fd = new World().open();
  const ioas = ioasAlloc(fd);
  const dev = mock(fd, ioas);
  poke(fd.task, ARRAY, new Uint8Array(new Uint32Array([t.IOMMU_TEST_IOTLB_DEFAULT, 0]).buffer));
  const flags = uapi.IOMMU_HWPT_ALLOC_NEST_PARENT;
  return { fd, dev, nestParent: must(hwptAlloc(fd, dev.idev, ioas, { flags })) };
}
function must(value: unknown): number {
  if (typeof value !== 'number') throw new Error(String(value));
  return value;
}
function attach(fd: Iommufd, stdev: number, pt_id: number): void {
  expect(only(testOp(fd, 10, stdev, t.iommu_test_mock_domain_replace, { pt_id }))).toBeUndefined();
}
function done(outcome: Outcome<Result<number>>): Result<number> {
  if (outcome instanceof WaitQueue) throw new Error('these queues never block');
  return outcome;
}
function fileOf(fd: Iommufd, number: number) {
  const file = fd.task.fds.get(number);
  if (!(file instanceof OpenFile)) throw new Error('no file of ours');
  return {
    read: (into: UserBuffer) => done(file.ops.read!(file, fd.task, into, undefined)),
    write: (from: UserBuffer) => done(file.ops.write!(file, fd.task, from, undefined)),
    poll: () => file.ops.poll!(file),
    ready: () => (file.ops.poll!(file).events & 1) !== 0,
  };
}

describe('a fault queue', () => {
  const MESSAGE = 40;
  const CODE_SUCCESS = 0;
  function withFaults(count: number) {
    const { fd, dev, nestParent } = scene();
    const made = fd.must(uapi.IOMMU_FAULT_QUEUE_ALLOC, uapi.iommu_fault_alloc, {});
    const flags = uapi.IOMMU_HWPT_FAULT_ID_VALID;
    const fault_id = made.out_fault_id;
    attach(
      fd,
      dev.stdev,
      must(hwptAlloc(fd, dev.idev, nestParent, { ...NESTED, flags, fault_id })),
    );
    const faults = { dev_id: dev.idev, perm: 1 };
    for (let grpid = 1; grpid <= count; grpid++) {
      testOp(fd, 15, 0, t.iommu_test_trigger_iopf, { ...faults, grpid, addr: BigInt(grpid) });
    }
    return { fd, dev, fault_id, ...fileOf(fd, made.out_fault_fd) };
  }
  const messages = (bytes: Uint8Array) =>
    Array.from({ length: bytes.length / MESSAGE }, (_, n) => {
      const view = uapi.iommu_hwpt_pgfault.view(bytes.subarray(n * MESSAGE, (n + 1) * MESSAGE));
      return [view.grpid, view.cookie];
    });

  test('a read of a fault queue into memory that is not there is EFAULT, and the fault is still to be read', () => {
    const { fd, read, ready } = withFaults(2);
    expect(read(tornBuffer(MESSAGE, 0))).toBe(EFAULT);
    expect(read(tornBuffer(MESSAGE, MESSAGE - 1))).toBe(EFAULT);
    expect(ready()).toBe(true);
    const bytes = new Uint8Array(2 * MESSAGE);
    expect(read(plainBuffer(bytes))).toBe(2 * MESSAGE);
    expect(messages(bytes)).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(ready()).toBe(false);
    fd.close();
  });
  test('a read of a fault queue that reaches unmapped memory later returns the groups before it', () => {
    const { fd, read } = withFaults(3);
    const bytes = new Uint8Array(3 * MESSAGE);
    expect(read(tornBuffer(bytes.length, 2 * MESSAGE + 8, bytes))).toBe(2 * MESSAGE);
    expect(read(plainBuffer(bytes))).toBe(MESSAGE);
    expect(messages(bytes)[0]).toEqual([3, 3]);
    fd.close();
  });
  test('a fault that was put back can be dropped with its device', () => {
    const { fd, dev, fault_id, read, write } = withFaults(1);
    expect(read(tornBuffer(MESSAGE, 8))).toBe(EFAULT);
    // The cookie it nearly had is nobody's.
    expect(write(plainBuffer(new Uint8Array(new Uint32Array([1, 0]).buffer)))).toBe(EINVAL);
    expect(destroy(fd, dev.stdev)).toBeUndefined();
    expect(read(plainBuffer(new Uint8Array(MESSAGE)))).toBe(0);
    expect(fault_id).toBeGreaterThan(0);
    fd.close();
  });
  test('whoever shows a fault queue as readable hears that its faults were dropped with their device', () => {
    const { fd, dev, poll } = withFaults(2);
    let woken = 0;
    poll().wakes?.add(() => woken++);
    expect(destroy(fd, dev.stdev)).toBeUndefined();
    expect([woken, poll().events & 1]).toEqual([1, 0]);
    fd.close();
  });
  test('a group of several faults is read as a whole, answered once, or not at all', () => {
    const { fd, dev, read, write, ready } = withFaults(0);
    const ctx = fd.file.priv as IommufdContext;
    const device = ctx.objects.get(dev.idev, IommufdDevice);
    if (isErrno(device)) throw new Error(device.name);
    const fault = { pasid: 0, grpid: 7, perm: 1 };
    expect(reportDeviceFault(device.dev, { ...fault, flags: 0, addr: 0x1000n })).toBeUndefined();
    expect(ready()).toBe(false);
    const last = { ...fault, flags: IOMMU_FAULT_PAGE_REQUEST_LAST_PAGE, addr: 0x2000n };
    expect(reportDeviceFault(device.dev, last)).toBeUndefined();
    expect(read(plainBuffer(new Uint8Array(MESSAGE)))).toBe(EINVAL);
    expect(read(tornBuffer(2 * MESSAGE, MESSAGE + 39))).toBe(EFAULT);
    const bytes = new Uint8Array(3 * MESSAGE);
    expect(read(plainBuffer(bytes))).toBe(2 * MESSAGE);
    expect(messages(bytes.subarray(0, 2 * MESSAGE))).toEqual([
      [7, 1],
      [7, 1],
    ]);
    const answer = new Uint8Array(new Uint32Array([1, CODE_SUCCESS]).buffer);
    expect([write(plainBuffer(answer)), write(plainBuffer(answer))]).toEqual([8, EINVAL]);
    fd.close();
  });
  test('responses before unmapped memory count, with none before it is EFAULT', () => {
    const { fd, read, write } = withFaults(2);
    read(plainBuffer(new Uint8Array(2 * MESSAGE)));
    const responses = new Uint8Array(new Uint32Array([1, CODE_SUCCESS, 2, CODE_SUCCESS]).buffer);
    expect(write(tornBuffer(16, 4, responses))).toBe(EFAULT);
    expect(write(tornBuffer(16, 12, responses))).toBe(8);
    expect(write(plainBuffer(responses))).toBe(EINVAL);
    expect(write(plainBuffer(responses.subarray(8)))).toBe(8);
    fd.close();
  });
  test('a response with a bad code after good ones ends the write there', () => {
    const { fd, read, write } = withFaults(2);
    read(plainBuffer(new Uint8Array(2 * MESSAGE)));
    expect(write(plainBuffer(new Uint8Array(new Uint32Array([1, 0, 2, 9]).buffer)))).toBe(8);
    expect(write(plainBuffer(new Uint8Array(12)))).toBe(ESPIPE);
    expect(write(plainBuffer(new Uint8Array(0)))).toBe(0);
    expect(write(plainBuffer(new Uint8Array(new Uint32Array([2, 1]).buffer)))).toBe(8);
    fd.close();
  });
});

describe('a vEVENTQ', () => {
  const RECORD = 12;
  function withEvents(count: number, depth = 4) {
    const { fd, dev, nestParent } = scene();
    const type = t.IOMMU_VIOMMU_TYPE_SELFTEST;
    const viommu = fd.must(uapi.IOMMU_VIOMMU_ALLOC, uapi.iommu_viommu_alloc, {
      ...{ type, dev_id: dev.idev, hwpt_id: nestParent },
    });
    const viommu_id = viommu.out_viommu_id;
    const virt = { viommu_id, dev_id: dev.idev, virt_id: 0x77n };
    fd.must(uapi.IOMMU_VDEVICE_ALLOC, uapi.iommu_vdevice_alloc, virt);
    const queue = fd.must(uapi.IOMMU_VEVENTQ_ALLOC, uapi.iommu_veventq_alloc, {
      ...{ viommu_id, type: t.IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth: depth },
    });
    attach(fd, dev.stdev, must(hwptAlloc(fd, dev.idev, viommu_id, NESTED)));
    for (let n = 0; n < count; n++) {
      testOp(fd, 17, 0, t.iommu_test_trigger_vevent, { dev_id: dev.idev });
    }
    return { fd, ...fileOf(fd, queue.out_veventq_fd) };
  }
  const words = (bytes: Uint8Array) => [...new Uint32Array(bytes.buffer)];

  test('a read of a vEVENTQ into memory that is not there is EFAULT, and the event is still to be read', () => {
    const { fd, read, ready } = withEvents(1);
    for (const reachable of [0, 7, 8, 11]) {
      expect(read(tornBuffer(RECORD, reachable))).toBe(EFAULT);
      expect(ready()).toBe(true);
    }
    const bytes = new Uint8Array(RECORD);
    expect(read(plainBuffer(bytes))).toBe(RECORD);
    expect(words(bytes)).toEqual([0, 0, 0x77]);
    expect(ready()).toBe(false);
    fd.close();
  });
  test('a read of a vEVENTQ that reaches unmapped memory later returns the records before it', () => {
    const { fd, read } = withEvents(3, 2);
    const bytes = new Uint8Array(32);
    expect(read(tornBuffer(32, 28, bytes))).toBe(2 * RECORD);
    expect(read(plainBuffer(bytes))).toBe(8);
    expect(words(bytes).slice(0, 2)).toEqual([1, 2]);
    fd.close();
  });
});
