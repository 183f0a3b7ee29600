/** Containers and groups through the front door of a machine: vfio.md 1.2 to 1.7, worked sequences of 1.15a. */
import { describe, expect, test } from 'vitest';
import {
  EBADF,
  EBADFD,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOTTY,
  EPERM,
} from '../../src/base/errno.ts';
import * as v from '../../src/uapi/vfio.ts';
import { Client, EDU, machineOf } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

const MiB = 1n << 20n;

describe('the worked sequence of one group (1.15a)', () => {
  test('every call of one group is answered as on Linux (1.15a)', () => {
    const client = new Client(machineOf());
    const c = must(client.open('/dev/vfio/vfio'));
    expect(client.plain(c, v.VFIO_GET_API_VERSION)).toBe(0);
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, 1)).toBe(1);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 1)).toBe(EINVAL);
    expect(client.map(c, { iova: 0n, size: MiB })).toBe(EINVAL);
    expect(client.call(c, v.VFIO_IOMMU_GET_INFO, v.vfio_iommu_type1_info).rc).toBe(EINVAL);

    const g = client.group();
    expect(client.open(client.groupPath())).toBe(EBUSY);
    expect(client.call(g, v.VFIO_GROUP_GET_STATUS, v.vfio_group_status).out.flags).toBe(1);
    expect(client.deviceFd(g, EDU)).toBe(EINVAL);
    expect(client.setContainer(g, c)).toBe(0);
    expect(client.setContainer(g, c)).toBe(EINVAL);
    expect(client.call(g, v.VFIO_GROUP_GET_STATUS, v.vfio_group_status).out.flags).toBe(3);
    expect(client.deviceFd(g, EDU)).toBe(EINVAL);
    for (const type of [2, 4, 5, 6, 7, 8, 10, 99]) {
      expect(client.plain(c, v.VFIO_SET_IOMMU, type)).toBe(ENODEV);
    }
    expect(client.plain(c, v.VFIO_SET_IOMMU, 9)).toBe(EINVAL);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 1)).toBe(0);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 1)).toBe(EINVAL);

    const vaddr = client.memory(Number(MiB));
    expect(client.map(c, { vaddr, iova: 0n, size: MiB })).toBe(0);
    expect(client.map(c, { vaddr, iova: 0n, size: MiB })).toBe(EEXIST);
    expect(client.map(c, { vaddr, iova: 0n, size: MiB, flags: 0 })).toBe(EINVAL);
    expect(client.map(c, { vaddr, iova: 0n, size: 0n })).toBe(EINVAL);
    expect(client.map(c, { vaddr, iova: 0x800n, size: MiB })).toBe(EINVAL);
    expect(client.map(c, { vaddr, iova: 0xfee0_0000n, size: MiB })).toBe(EINVAL);
    expect(client.unmap(c, { iova: 0n, size: MiB / 2n })).toEqual({ rc: 0, size: MiB });
    expect(client.unmap(c, { iova: 0n, size: MiB })).toEqual({ rc: 0, size: 0n });

    const d = must(client.deviceFd(g, EDU));
    expect(client.deviceFd(g, '0000:00:1f.0')).toBe(ENODEV);
    const again = must(client.deviceFd(g, EDU));
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(EBUSY);
    must(client.program.close(d));
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(EBUSY);
    must(client.program.close(again));
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(EINVAL);
    expect(client.map(c, { vaddr, iova: 0n, size: MiB })).toBe(EINVAL);
    expect(client.setContainer(g, c)).toBe(0);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 3)).toBe(0);
    client.machine.close();
  });
  test('half of a mapping cannot be unmapped with v2; with v1 its start takes it whole and its middle nothing', () => {
    for (const [type, start, middle] of [
      [3, { rc: EINVAL, size: MiB / 2n }, { rc: EINVAL, size: MiB / 2n }],
      [1, { rc: 0, size: MiB }, { rc: 0, size: 0n }],
    ] as const) {
      const client = new Client(machineOf());
      const { c } = client.container(type);
      const vaddr = client.memory(Number(MiB));
      expect(client.map(c, { vaddr, iova: 0n, size: MiB })).toBe(0);
      expect(client.unmap(c, { iova: MiB / 2n, size: MiB / 2n })).toEqual(middle);
      expect(client.unmap(c, { iova: 0n, size: MiB / 2n })).toEqual(start);
    }
  });
});

describe('CHECK_EXTENSION (1.7)', () => {
  const none = { 1: 1, 3: 1, 9: 1, 6: 0, 4: 0, 10: 0, 8: 0, 2: 0, 99: 0 };
  test.for(Object.entries(none))(
    'CHECK_EXTENSION without a driver: %s is %s',
    ([extension, answer]) => {
      const client = new Client(machineOf());
      const c = must(client.open('/dev/vfio/vfio'));
      expect(client.plain(c, v.VFIO_CHECK_EXTENSION, Number(extension))).toBe(answer);
    },
  );
  const type1 = { 1: 1, 3: 1, 9: 1, 6: 0, 10: 1, 8: 0, 2: 0 };
  test.for(Object.entries(type1))('CHECK_EXTENSION with type1: %s is %s', ([extension, answer]) => {
    const client = new Client(machineOf());
    const { c } = client.container(3);
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, Number(extension))).toBe(answer);
  });
  test('an empty container says noiommu when the parameter is Y, and a noiommu one nothing else', () => {
    const client = new Client(machineOf('noiommu'));
    const c = must(client.open('/dev/vfio/vfio'));
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, 8)).toBe(1);
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, 1)).toBe(1);
  });
});

describe('groups', () => {
  test('SET_CONTAINER wants a readable number, an open fd, and a container or iommufd', () => {
    const client = new Client(machineOf());
    const g = client.group();
    expect(client.plain(g, v.VFIO_GROUP_SET_CONTAINER, 0n)).toBe(EFAULT);
    expect(client.setContainer(g, 77)).toBe(EBADF);
    expect(client.setContainer(g, client.eventfd())).toBe(EBADFD);
    expect(client.setContainer(g, g)).toBe(EBADFD);
  });
  test('unknown requests are ENOTTY, a short status EINVAL', () => {
    const client = new Client(machineOf());
    const g = client.group();
    expect(client.plain(g, 0x3bff)).toBe(ENOTTY);
    const short = client.call(g, v.VFIO_GROUP_GET_STATUS, v.vfio_group_status, { argsz: 7 });
    expect(short.rc).toBe(EINVAL);
    const { c } = new Client(machineOf()).container(3);
    expect(c).toBeGreaterThan(0);
  });
  test('requests nobody knows are EINVAL of a container without an IOMMU, and ENOTTY of one with it (1.7)', () => {
    const client = new Client(machineOf());
    const empty = must(client.open('/dev/vfio/vfio'));
    const { c } = client.container(v.VFIO_TYPE1v2_IOMMU);
    for (const cmd of [0x3bff, 0x78b1, 0x5413, 0, v.VFIO_IOMMU_GET_INFO]) {
      expect([cmd, client.plain(empty, cmd)]).toEqual([cmd, EINVAL]);
      if (cmd !== v.VFIO_IOMMU_GET_INFO) expect([cmd, client.plain(c, cmd)]).toEqual([cmd, ENOTTY]);
    }
  });
  test('type1 does not know the requests of others', () => {
    const client = new Client(machineOf());
    const { c } = client.container(3);
    expect(client.plain(c, v.VFIO_DEVICE_IOEVENTFD)).toBe(ENOTTY);
  });
  test('a device fd keeps the group open after its fd is closed', () => {
    const client = new Client(machineOf());
    const { g, d } = client.device();
    must(client.program.close(g));
    expect(client.open(client.groupPath())).toBe(EBUSY);
    must(client.program.close(d));
    must(client.program.close(must(client.open(client.groupPath()))));
  });
  test('a group with a member on a host driver is not viable and cannot be claimed', () => {
    const client = new Client(machineOf('not-viable'));
    const g = client.group('0000:01:00.0');
    const c = must(client.open('/dev/vfio/vfio'));
    expect(client.call(g, v.VFIO_GROUP_GET_STATUS, v.vfio_group_status).out.flags).toBe(0);
    expect(client.setContainer(g, c)).toBe(EPERM);
  });
  test('the name of a device: blanks are fine, other words are not, a token fits no function', () => {
    const client = new Client(machineOf());
    const { g } = client.container(3);
    const uuid = '00112233-4455-6677-8899-aabbccddeeff';
    for (const [given, answer] of [
      ['0000:00:04.1', ENODEV],
      [`${EDU}x`, ENODEV],
      [`${EDU} other`, EINVAL],
      [`${EDU} vf_token=${uuid} vf_token=${uuid}`, EINVAL],
      [`${EDU} vf_token=12`, EINVAL],
      [`${EDU} vf_token=${uuid}`, EINVAL],
    ] as const) {
      expect(client.deviceFd(g, given), given).toBe(answer);
    }
    expect(client.deviceFd(g, `${EDU}  `)).toBeGreaterThan(0);
    expect(client.plain(g, v.VFIO_GROUP_GET_DEVICE_FD, 0n)).toBe(EFAULT);
    client.put(client.buffer, new Uint8Array(4096).fill(0x61));
    expect(client.plain(g, v.VFIO_GROUP_GET_DEVICE_FD, client.buffer)).toBe(EINVAL);
  });
  test('a second group attaches to the container at once, sees its mappings, and outlives the first', () => {
    const client = new Client(
      machineOf({
        devices: [
          { type: 'edu', at: EDU },
          { type: 'edu', at: '0000:00:05.0' },
        ],
      }),
    );
    const { c, g } = client.container(3);
    const vaddr = client.memory(4096);
    expect(client.map(c, { vaddr, iova: 0x1000n, size: 0x1000n })).toBe(0);
    const g2 = client.group('0000:00:05.0');
    expect(client.setContainer(g2, c)).toBe(0);
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(client.unmap(c, { iova: 0x1000n, size: 0x1000n }).size).toBe(0x1000n);
    expect(client.map(c, { vaddr, iova: 0x1000n, size: 0x1000n })).toBe(0);
    expect(client.plain(g2, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(client.machine.memory.pinTotal).toBe(0);
    client.machine.close();
  });
});

describe('no IOMMU (3.5)', () => {
  function noiommuPath(client: Client): string {
    const [group] = [...client.machine.vfio.groups()];
    return `/dev/vfio/${group!.nodeName}`;
  }
  test('no IOMMU taints the kernel, the node says so, and every step needs CAP_SYS_RAWIO', () => {
    const machine = machineOf('noiommu');
    expect(machine.env.tainted).toBe(true);
    const weak = new Client(machine, { uid: 0, capabilities: [] });
    expect(noiommuPath(weak)).toMatch(/^\/dev\/vfio\/noiommu-\d+$/);
    expect(weak.open(noiommuPath(weak))).toBe(EPERM);
    const client = new Client(machine);
    const g = must(client.open(noiommuPath(client)));
    const c = must(client.open('/dev/vfio/vfio'));
    expect(client.setContainer(g, c)).toBe(0);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 1)).toBe(ENODEV);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 8)).toBe(0);
    expect(client.map(c, { iova: 0n, size: 0x1000n })).toBe(ENOTTY);
    expect(client.deviceFd(g, EDU)).toBeGreaterThan(0);
  });
  test('switching the parameter off refuses new noiommu containers but keeps the group', () => {
    const machine = machineOf('noiommu');
    const client = new Client(machine);
    const g = must(client.open(noiommuPath(client)));
    const c = must(client.open('/dev/vfio/vfio'));
    expect(client.setContainer(g, c)).toBe(0);
    machine.env.setTrait('unsafe-noiommu-mode', false);
    expect(client.plain(c, v.VFIO_CHECK_EXTENSION, 8)).toBe(0);
    expect(client.plain(c, v.VFIO_SET_IOMMU, 8)).toBe(ENODEV);
  });
});
