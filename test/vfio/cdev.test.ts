/** Device cdevs and iommufd in the place of a container: vfio.md 1.12, 1.15a, chapter 3. */
import { describe, expect, test } from 'vitest';
import {
  E2BIG,
  EBADF,
  EBADFD,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOTTY,
  EPERM,
} from '../../src/base/errno.ts';
import * as i from '../../src/uapi/iommufd.ts';
import * as v from '../../src/uapi/vfio.ts';
import { CdevClient } from '../../src/testing/machine/cdev-client.ts';
import { EDU, machineOf, twoNoiommuFunctions } from '../../src/testing/machine/client.ts';
import { must } from '../../src/testing/base/must.ts';

/** Requests that nobody has: of VFIO's type, of others. */
const UNKNOWN = [0x3bff, 0x78b1, 0x5413, 0];

function rig() {
  const client = new CdevClient(machineOf());
  return { client, iommufd: client.iommufd(), d: client.cdev() };
}

test('the worked sequence of a cdev is answered as on Linux (1.15a)', () => {
  const { client, iommufd, d } = rig();
  const info = () => client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info).rc;
  expect(info()).toBe(EINVAL);
  expect(client.attach(d, 1).rc).toBe(EINVAL);
  expect(client.pread(d, 7n << 40n, 4)).toBe(EINVAL);
  expect(client.pwrite(d, 7n << 40n, Uint8Array.of(0))).toBe(EINVAL);
  expect(client.program.mmap(0x1000, { fd: d, offset: 0n })).toBe(EINVAL);
  expect(client.bind(d, -2).rc).toBe(EINVAL);
  expect(client.bind(d, 99).rc).toBe(EBADF);
  const container = must(client.open('/dev/vfio/vfio'));
  expect(client.bind(d, container).rc).toBe(EBADFD);
  expect(client.bind(d, client.eventfd()).rc).toBe(EBADFD);
  const g = client.group();
  expect(client.bind(d, iommufd).rc).toBe(EBUSY);
  expect(client.bind(d, 99).rc).toBe(EBUSY);
  expect(client.program.close(g)).toBeUndefined();

  // Before BIND no request is looked at, of whatever type.
  for (const cmd of UNKNOWN) expect([cmd, client.plain(d, cmd)]).toEqual([cmd, EINVAL]);

  const bound = client.bind(d, iommufd);
  expect(bound.rc).toBe(0);
  for (const cmd of UNKNOWN) expect([cmd, client.plain(d, cmd)]).toEqual([cmd, ENOTTY]);
  const devid = bound.out.out_devid;
  expect(devid).toBeGreaterThan(0);
  expect(client.bind(d, iommufd).rc).toBe(EINVAL);
  expect(client.bind(client.cdev(), iommufd).rc).toBe(EINVAL);
  expect(client.open(client.groupPath())).toBe(EBUSY);
  expect(info()).toBe(0);
  expect(client.attach(d, devid).rc).toBe(EINVAL);
  expect(client.attach(d, 0).rc).toBe(ENOENT);
  expect(client.attach(d, 0xffff_ffff).rc).toBe(ENOENT);
  const ioas = client.ioas(iommufd);
  const first = client.attach(d, ioas);
  expect(first.rc).toBe(0);
  expect(first.out.pt_id).not.toBe(ioas);
  const again = client.attach(d, ioas);
  expect([again.rc, again.out.pt_id]).toEqual([0, first.out.pt_id]);
  expect(client.detach(d)).toBe(0);
  expect(client.detach(d)).toBe(0);
  const destroy = () =>
    client.call(iommufd, i.IOMMU_DESTROY, i.iommu_destroy, { size: 8, id: devid }).rc;
  expect(destroy()).toBe(EBUSY);
  expect(client.program.close(d)).toBeUndefined();
  expect(destroy()).toBe(ENOENT);
  client.machine.close();
});

describe('BIND, in the order of its checks (3.2)', () => {
  test('BIND looks at argsz, the tail, the flags and the tokens, in this order', () => {
    const { client, iommufd, d } = rig();
    expect(client.plain(d, v.VFIO_DEVICE_BIND_IOMMUFD, 0n)).toBe(EFAULT);
    expect(client.bind(d, iommufd, { argsz: 15 }).rc).toBe(EINVAL);
    const type = v.vfio_device_bind_iommufd;
    const tail = (byte: number) =>
      client.call(
        d,
        v.VFIO_DEVICE_BIND_IOMMUFD,
        type,
        { iommufd: 0xffff_fffe },
        Uint8Array.of(byte),
      ).rc;
    expect(tail(1)).toBe(E2BIG);
    expect(tail(0)).toBe(EINVAL);
    expect(client.bind(d, iommufd, { flags: 2 }).rc).toBe(EINVAL);
    expect(client.bind(d, iommufd, { flags: 1, token_uuid_ptr: 0n }).rc).toBe(EFAULT);
    expect(client.bind(d, iommufd, { flags: 1, token_uuid_ptr: client.buffer }).rc).toBe(EINVAL);
    expect(client.bind(d, iommufd, { argsz: 16 }).rc).toBe(0);
  });
  test('a device fd from a group is not bound', () => {
    const { client, iommufd } = rig();
    const { d } = client.device();
    expect(client.bind(d, iommufd).rc).toBe(EINVAL);
  });
  test('an answer of BIND that cannot be written undoes it', () => {
    const { client, iommufd, d } = rig();
    const page = must(client.program.mmap(0x1000));
    client.put(page, Uint8Array.from([16, 0, 0, 0, 0, 0, 0, 0, iommufd, 0, 0, 0, 0, 0, 0, 0]));
    const mem = client.program.mem as { write: (at: bigint, from: Uint8Array) => unknown };
    const write = mem.write.bind(mem);
    mem.write = () => EFAULT;
    expect(client.plain(d, v.VFIO_DEVICE_BIND_IOMMUFD, page)).toBe(EFAULT);
    mem.write = write;
    expect(client.open(client.groupPath())).toBeGreaterThan(0);
  });
  test('BIND of a group with a foreign owner is EPERM', () => {
    const client = new CdevClient(machineOf('not-viable'));
    expect(client.bind(client.cdev(), client.iommufd()).rc).toBe(EPERM);
  });
  test('closing the iommufd first leaves the device bound', () => {
    const { client, iommufd, d } = rig();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioas = client.ioas(iommufd);
    expect(client.program.close(iommufd)).toBeUndefined();
    expect(client.attach(d, ioas).rc).toBe(0);
    expect(client.program.close(d)).toBeUndefined();
    client.machine.close();
  });
});

describe('ATTACH and DETACH (3.3)', () => {
  test('ATTACH and DETACH look at argsz, flags and pasids', () => {
    const { client, iommufd, d } = rig();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioas = client.ioas(iommufd);
    expect(client.plain(d, v.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0n)).toBe(EFAULT);
    expect(client.attach(d, ioas, { argsz: 11 }).rc).toBe(EINVAL);
    expect(client.attach(d, ioas, { flags: 2 }).rc).toBe(EINVAL);
    expect(client.attach(d, ioas, { flags: 1, argsz: 12 }).rc).toBe(EINVAL);
    expect(client.attach(d, ioas, { flags: 1, pasid: 5 }).rc).toBe(EINVAL);
    expect(client.detach(d, { argsz: 7 })).toBe(EINVAL);
    expect(client.detach(d, { flags: 2 })).toBe(EINVAL);
    expect(client.detach(d, { flags: 1, argsz: 8 })).toBe(EINVAL);
    expect(client.detach(d, { flags: 1, pasid: 5 })).toBe(0);
    expect(client.attach(d, ioas, { argsz: 12 }).rc).toBe(0);
  });
  test('an attach while attached is a replace', () => {
    const { client, iommufd, d } = rig();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const [one, two] = [client.ioas(iommufd), client.ioas(iommufd)];
    const first = client.attach(d, one).out.pt_id;
    const second = client.attach(d, two);
    expect(second.rc).toBe(0);
    expect(second.out.pt_id).not.toBe(first);
    expect(client.attach(d, 999).rc).toBe(ENOENT);
    expect(client.attach(d, two).out.pt_id).toBe(second.out.pt_id);
  });
});

/** Plain, or with the PASID flag and PASID 0; each step with its answer. */
type PasidStep = readonly [call: 'attach' | 'detach', how: 'plain' | 'flagged', answer: unknown];
const PASID_0: readonly (readonly [what: string, steps: readonly PasidStep[]])[] = [
  [
    'after a flagged attach a plain one is EBUSY, a plain detach does nothing',
    [
      ['attach', 'flagged', 0],
      ['attach', 'plain', EBUSY],
      ['detach', 'plain', 0],
      ['attach', 'plain', EBUSY],
      ['attach', 'flagged', 0],
      ['detach', 'flagged', 0],
      ['attach', 'plain', 0],
    ],
  ],
  [
    'after a plain attach a flagged one is EBUSY, a flagged detach does nothing',
    [
      ['attach', 'plain', 0],
      ['attach', 'flagged', EBUSY],
      ['detach', 'flagged', 0],
      ['attach', 'flagged', EBUSY],
      ['attach', 'plain', 0],
      ['detach', 'plain', 0],
      ['attach', 'flagged', 0],
    ],
  ],
];
describe.for(['default', 'noiommu'])('PASID 0 that is named (3.3), on preset %s', (preset) => {
  test.for(PASID_0)('%s', ([, steps]) => {
    const client = new CdevClient(machineOf(preset));
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioases = [client.ioas(iommufd), client.ioas(iommufd)] as const;
    const answers = steps.map(([call, how], n) => {
      const flag = how === 'flagged' ? { flags: 1, pasid: 0 } : {};
      if (call === 'detach') return client.detach(d, flag);
      return client.attach(d, ioases[n % 2 === 0 ? 0 : 1], flag).rc;
    });
    expect(answers).toEqual(steps.map(([, , answer]) => answer));
    client.machine.close();
  });
  test('PASID 0 that is attached again goes over to the other IOAS', () => {
    const client = new CdevClient(machineOf(preset));
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const [first, second] = [client.ioas(iommufd), client.ioas(iommufd)];
    const destroy = (id: number) =>
      client.call(iommufd, i.IOMMU_DESTROY, i.iommu_destroy, { size: 8, id }).rc;
    const flag = { flags: 1, pasid: 0 };
    expect(client.attach(d, first, flag).rc).toBe(0);
    expect(destroy(first)).toBe(EBUSY);
    expect(client.attach(d, second, flag).rc).toBe(0);
    expect([destroy(first), destroy(second)]).toEqual([0, EBUSY]);
    expect(client.detach(d, flag)).toBe(0);
    expect(destroy(second)).toBe(0);
    client.machine.close();
  });
});

describe.for(['default', 'noiommu'])('a map that gives no rights, on preset %s', (preset) => {
  const compat = (client: CdevClient, iommufd: number, ioas: number, iova: bigint) => {
    const use = { size: 12, ioas_id: ioas, op: i.IOMMU_VFIO_IOAS_SET };
    must(client.call(iommufd, i.IOMMU_VFIO_IOAS, i.iommu_vfio_ioas, use).rc);
    return client.map(iommufd, { flags: 0, vaddr: client.memory(0x1000), iova, size: 0x1000n });
  };
  test('a map that gives no rights is EINVAL from the page table, which warns (1.12)', () => {
    const client = new CdevClient(machineOf(preset));
    const iommufd = client.iommufd();
    const d = client.cdev();
    const ioas = client.ioas(iommufd);
    expect(client.bind(d, iommufd).rc).toBe(0);
    expect(compat(client, iommufd, ioas, 0x1000n)).toBe(0);
    expect(client.attach(d, ioas).rc).toBe(EINVAL);
    must(client.unmap(iommufd, { iova: 0x1000n, size: 0x1000n }).rc);
    expect(client.attach(d, ioas).rc).toBe(0);
    const { warnings } = client.machine.env;
    const before = warnings.length;
    expect(compat(client, iommufd, ioas, 0x1000n)).toBe(EINVAL);
    const map = { size: 40, flags: i.IOMMU_IOAS_MAP_FIXED_IOVA, ioas_id: ioas, length: 0x1000n };
    expect(client.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, map).rc).toBe(EINVAL);
    expect(warnings.slice(before)).toEqual(['map-no-access']);
    client.machine.close();
  });
});

describe('iommufd as the container of a group (1.12)', () => {
  test('an iommufd as the container of a group makes the compat IOAS, devices attach to it at open, mappings go through it', () => {
    const { client, iommufd } = rig();
    const g = client.group();
    expect(client.setContainer(g, iommufd)).toBe(0);
    expect(client.setContainer(g, iommufd)).toBe(EINVAL);
    expect(client.call(g, v.VFIO_GROUP_GET_STATUS, v.vfio_group_status).out.flags).toBe(3);
    const d = must(client.deviceFd(g, EDU));
    expect(client.plain(iommufd, v.VFIO_SET_IOMMU, 3)).toBe(0);
    const vaddr = client.memory(0x1000);
    expect(client.map(iommufd, { vaddr, iova: 0x1000n, size: 0x1000n })).toBe(0);
    expect(client.unmap(iommufd, { iova: 0x1000n, size: 0x1000n })).toEqual({
      rc: 0,
      size: 0x1000n,
    });
    expect(client.plain(g, v.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info).rc).toBe(0);
    client.machine.close();
  });
  test('a group without an IOMMU puts the context into no-iommu mode', () => {
    const client = new CdevClient(machineOf('noiommu'));
    const [group] = [...client.machine.vfio.groups()];
    const g = must(client.open(`/dev/vfio/${group!.nodeName}`));
    const iommufd = client.iommufd();
    expect(client.setContainer(g, iommufd)).toBe(0);
    expect(client.plain(iommufd, v.VFIO_SET_IOMMU, 1)).toBe(EINVAL);
    expect(client.plain(iommufd, v.VFIO_SET_IOMMU, 8)).toBe(0);
    expect(client.deviceFd(g, EDU)).toBeGreaterThan(0);
    client.machine.close();
  });
  test('an IOAS for VFIO in that context makes the open EPERM', () => {
    const client = new CdevClient(machineOf('noiommu'));
    const [group] = [...client.machine.vfio.groups()];
    const g = must(client.open(`/dev/vfio/${group!.nodeName}`));
    const iommufd = client.iommufd();
    expect(client.setContainer(g, iommufd)).toBe(0);
    const values = { size: 12, ioas_id: client.ioas(iommufd), op: 1 };
    expect(client.call(iommufd, i.IOMMU_VFIO_IOAS, i.iommu_vfio_ioas, values).rc).toBe(0);
    expect(client.deviceFd(g, EDU)).toBe(EPERM);
  });
});

describe('a cdev without an IOMMU (vfio.md 3.5)', () => {
  test('the name of a cdev without an IOMMU says so, opening needs CAP_SYS_RAWIO, and it binds and attaches', () => {
    const machine = machineOf('noiommu');
    const weak = new CdevClient(machine, { uid: 0, capabilities: [] });
    const [device] = [...machine.vfio.devices()];
    expect(device!.cdevName).toBe('noiommu-vfio0');
    expect(weak.open('/dev/vfio/devices/noiommu-vfio0')).toBe(EPERM);
    const client = new CdevClient(machine);
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioas = client.ioas(iommufd);
    expect(client.attach(d, ioas).rc).toBe(0);
    expect(client.attach(d, ioas, { flags: 1, pasid: 1 }).rc).toBe(EINVAL);
    expect(client.detach(d)).toBe(0);
    machine.close();
  });
  test('before BIND nothing works but BIND; afterwards it is a device like others', () => {
    const client = new CdevClient(machineOf('noiommu'));
    expect(client.machine.env.tainted).toBe(true);
    const iommufd = client.iommufd();
    const d = client.cdev();
    const info = () => client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info).rc;
    const region = () =>
      client.call(d, v.VFIO_DEVICE_GET_REGION_INFO, v.vfio_region_info, { index: 0 }).rc;
    expect([info(), region(), client.plain(d, v.VFIO_DEVICE_RESET)]).toEqual([
      EINVAL,
      EINVAL,
      EINVAL,
    ]);
    expect(client.attach(d, 1).rc).toBe(EINVAL);
    expect(client.bind(d, iommufd).rc).toBe(0);
    expect(client.bind(d, iommufd).rc).toBe(EINVAL);
    expect([info(), region()]).toEqual([0, 0]);
    client.machine.close();
  });
  test('an attach while attached is a replace, and the old page table goes', () => {
    const client = new CdevClient(machineOf('noiommu'));
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const [one, two] = [client.ioas(iommufd), client.ioas(iommufd)];
    const first = client.attach(d, one).out.pt_id;
    const second = client.attach(d, two).out.pt_id;
    const destroy = (id: number) =>
      client.call(iommufd, i.IOMMU_DESTROY, i.iommu_destroy, { size: 8, id }).rc;
    expect([destroy(first), destroy(second), destroy(one)]).toEqual([ENOENT, EBUSY, 0]);
    expect(client.program.close(d)).toBeUndefined();
    expect([destroy(second), destroy(two)]).toEqual([ENOENT, 0]);
    client.machine.close();
  });
  test('a hot reset without an IOMMU has its own id, and a neighbour that nobody has bound is not owned', () => {
    const client = new CdevClient(twoNoiommuFunctions());
    const iommufd = client.iommufd();
    const d = client.cdev(0);
    const ids = (): [number, ...number[]] => {
      const type = v.vfio_pci_hot_reset_info;
      const { rc, out, all } = client.call(d, v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, type, {
        argsz: 28,
      });
      expect(rc).toBe(0);
      const entry = (n: number) => v.vfio_pci_dependent_device.view(all.subarray(12 + 8 * n)).id;
      return [out.flags, entry(0) | 0, entry(1) | 0];
    };
    const devid = client.bind(d, iommufd).out.out_devid;
    expect(ids()).toEqual([v.VFIO_PCI_HOT_RESET_FLAG_DEV_ID, devid, -1]);
    const other = client.bind(client.cdev(1), iommufd).out.out_devid;
    const owned = v.VFIO_PCI_HOT_RESET_FLAG_DEV_ID | v.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
    expect(ids()).toEqual([owned, devid, other]);
    client.machine.close();
  });
  test('a kernel that cannot bind a device without an IOMMU has no node for it', () => {
    const kernel = { version: '6.12', with: ['unsafe-noiommu-mode' as const] };
    const edu = { type: 'edu', at: '0000:00:04.0' };
    const client = new CdevClient(machineOf({ kernel, iommus: [], devices: [edu] }));
    const nodes = [...client.machine.vfio.nodes()].map((node) => node.path);
    expect(nodes.filter((path) => path.startsWith('vfio/devices/'))).toEqual([]);
    expect(nodes.some((path) => path.startsWith('vfio/noiommu-'))).toBe(true);
    client.machine.close();
  });
});

test('a cdev that is open keeps the driver from letting its device go, bound or not', () => {
  const client = new CdevClient(machineOf());
  const { vfio } = client.machine;
  const [device] = [...vfio.devices()].filter(({ index }) => index === 0);
  const { dev, closed } = device!;
  const d = client.cdev(0);
  const other = client.cdev(0);
  expect(vfio.unregisterDevice(dev)).toBe(closed);
  expect(client.bind(d, client.iommufd()).rc).toBe(0);
  client.program.close(d);
  expect(vfio.unregisterDevice(dev)).toBe(closed);
  let woken = 0;
  closed.add(() => woken++);
  client.program.close(other);
  expect(woken).toBe(1);
  expect(vfio.unregisterDevice(dev)).toBeUndefined();
});

describe('a kernel without groups (001: a NULL group is tolerated everywhere)', () => {
  const kernel = { with: ['vfio-cdev-only' as const, 'unsafe-noiommu-mode' as const] };
  const edu = { type: 'edu', at: EDU };
  const nodes = (client: CdevClient) => [...client.machine.vfio.nodes()].map(({ path }) => path);

  test('a device without an IOMMU has a cdev and nothing else, and everything works', () => {
    const pcie = { ...edu, options: { pcie: true } };
    const client = new CdevClient(machineOf({ kernel, iommus: [], devices: [pcie] }));
    const { machine } = client;
    expect(nodes(client)).toEqual(['vfio/devices/noiommu-vfio0']);
    expect([...machine.vfio.groups()]).toEqual([]);
    const [device] = [...machine.vfio.devices()];
    expect([device!.group, device!.dev.iommuGroup, machine.env.tainted]).toEqual([
      undefined,
      undefined,
      true,
    ]);
    expect(client.program.realpath(`/sys/bus/pci/devices/${EDU}/iommu_group`)).toBe(ENOENT);
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    const ioas_id = client.ioas(iommufd);
    expect(client.attach(d, ioas_id).rc).toBe(0);
    const user_va = client.memory(0x1000);
    const map = { size: 40, flags: 7, ioas_id, user_va, length: 0x1000n, iova: 0x1000n };
    expect(client.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, map).rc).toBe(0);
    const ask = { size: 40, ioas_id, iova: 0x1000n, length: 0x1000n };
    const layout = i.iommu_ioas_noiommu_get_pa;
    const { rc, out } = client.call(iommufd, i.IOMMU_IOAS_NOIOMMU_GET_PA, layout, ask);
    expect([rc, out.length]).toEqual([0, 0x1000n]);
    must(client.pwrite(d, (7n << 40n) + 4n, Uint8Array.of(6, 0)));
    const { dma: port } = machine.pci.device(EDU)!.slot;
    expect(port.write(out.out_phys, Uint8Array.of(42))).toBeUndefined();
    expect([...client.bytes(user_va, 1)]).toEqual([42]);
    const irqs = { flags: v.VFIO_IRQ_SET_DATA_EVENTFD | v.VFIO_IRQ_SET_ACTION_TRIGGER, index: 1 };
    expect(client.setIrqs(d, irqs, [client.eventfd()])).toBe(0);
    expect(client.plain(d, v.VFIO_DEVICE_RESET)).toBe(0);
    expect(client.attach(d, client.ioas(iommufd)).rc).toBe(0);
    expect(client.detach(d)).toBe(0);
    expect(client.program.close(d)).toBeUndefined();
    expect(machine.vfio.unregisterDevice(device!.dev)).toBeUndefined();
    expect(nodes(client)).toEqual([]);
  });
  test('a device with an IOMMU is bound through its cdev', () => {
    const client = new CdevClient(machineOf({ kernel, devices: [edu] }));
    expect(nodes(client)).toEqual(['vfio/devices/vfio0']);
    const iommufd = client.iommufd();
    const d = client.cdev();
    expect(client.bind(d, iommufd).rc).toBe(0);
    expect(client.attach(d, client.ioas(iommufd)).rc).toBe(0);
    expect(client.program.close(d)).toBeUndefined();
    client.machine.close();
  });
  test('without a cdev for it either, vfio does not take a device without an IOMMU', () => {
    const old = { version: '6.12', ...kernel };
    const client = new CdevClient(machineOf({ kernel: old, iommus: [], devices: [edu] }));
    expect([...client.machine.vfio.devices()]).toEqual([]);
    expect(client.machine.env.tainted).toBe(false);
  });
});
