/** Mediated devices: mtty made by sysfs, used through VFIO (vfio.md 1.16, 6.4; devices.md 7). */
import { describe, expect, test } from 'vitest';
import {
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOSPC,
  ENOTTY,
  isErrno,
  type Errno,
} from '../../src/base/errno.ts';
import { must } from '../../src/testing/base/must.ts';
import { machineOf } from '../../src/testing/machine/client.ts';
import { MigrationClient } from '../../src/testing/machine/migration-client.ts';
import * as v from '../../src/uapi/vfio.ts';

const PARENT = '/sys/class/mdev_bus/mtty';
const TYPES = `${PARENT}/mdev_supported_types`;
const uuid = (n: number): string => `00000000-0000-0000-0000-${n.toString(16).padStart(12, '0')}`;
const [A, B] = [uuid(0xa), uuid(0xb)];
const CONFIG = 7n << 40n;

function rig() {
  const client = new MigrationClient(machineOf({ kernel: { with: ['mtty'] } }));
  const { program } = client;
  const write = (path: string, text: string) => {
    const fd = must(program.open(path, { read: false }));
    const rc = program.write(fd, new TextEncoder().encode(text));
    must(program.close(fd) ?? 0);
    return rc;
  };
  const create = (name: string, type = 'mtty-1') => write(`${TYPES}/${type}/create`, name);
  const open = (name: string) => {
    const link = must(program.realpath(`/sys/bus/mdev/devices/${name}/iommu_group`));
    const g = must(client.open(`/dev/vfio/${link.split('/').pop()!}`));
    const c = must(client.open('/dev/vfio/vfio'));
    must(client.setContainer(g, c));
    must(client.plain(c, v.VFIO_SET_IOMMU, v.VFIO_TYPE1v2_IOMMU));
    return must(client.deviceFd(g, name));
  };
  const info = (d: number) => client.call(d, v.VFIO_DEVICE_GET_INFO, v.vfio_device_info);
  const put = (d: number, at: bigint, ...bytes: number[]) =>
    must(client.pwrite(d, at, Uint8Array.from(bytes)));
  const get = (d: number, at: bigint, length = 1) => [...must(client.pread(d, at, length))];
  return { client, program, write, create, open, info, put, get };
}

describe('sysfs', () => {
  test('shows the types of the parent', () => {
    const { client, program } = rig();
    expect(must(program.readdir(TYPES)).toSorted()).toEqual(['mtty-1', 'mtty-2']);
    for (const [type, name, free] of [
      ['mtty-1', 'Single port serial', 24],
      ['mtty-2', 'Dual port serial', 12],
    ] as const) {
      expect(client.text(`${TYPES}/${type}/name`)).toBe(`${name}\n`);
      expect(client.text(`${TYPES}/${type}/device_api`)).toBe('vfio-pci\n');
      expect(client.text(`${TYPES}/${type}/available_instances`)).toBe(`${free}\n`);
    }
    expect(program.realpath('/sys/class/mtty/mtty')).toBe('/sys/devices/virtual/mtty/mtty');
  });
  test('makes a device with its group, its nodes and its links', () => {
    const { client, program, create } = rig();
    expect(create(`${A.toUpperCase()}\n`)).toBe(37);
    const path = `/sys/devices/virtual/mtty/mtty/${A}`;
    expect(program.realpath(`/sys/bus/mdev/devices/${A}`)).toBe(path);
    expect(program.realpath(`${path}/mdev_type`)).toBe(must(program.realpath(`${TYPES}/mtty-1`)));
    expect(program.realpath(`${TYPES}/mtty-1/devices/${A}`)).toBe(path);
    expect(client.text(`${path}/vendor/sample_mdev_dev`)).toBe(`This is MDEV ${A}\n`);
    const group = must(program.realpath(`${path}/iommu_group`));
    expect(client.text(`${group}/name`)).toBe('vfio-noiommu\n');
    const [cdev] = must(program.readdir(`${path}/vfio-dev`));
    expect(program.realpath(`/sys/class/vfio-dev/${cdev}`)).toBe(`${path}/vfio-dev/${cdev}`);
    expect(must(client.open(`/dev/vfio/devices/${cdev}`))).toBeGreaterThan(0);
    expect(client.text(`${TYPES}/mtty-2/available_instances`)).toBe('11\n');
  });
  test.for<[string, string, Errno]>([
    ['no UUID', 'nonsense', EINVAL],
    ['one character less', A.slice(1), EINVAL],
    ['one more', `${A}0`, EINVAL],
    ['a UUID that is taken', B, EEXIST],
  ])('create of %s is refused', ([, text, errno]) => {
    const { create } = rig();
    must(create(B));
    expect(create(text)).toBe(errno);
  });
  test('makes no more devices than there are ports', () => {
    const { create } = rig();
    for (let n = 0; n < 11; n++) must(create(uuid(n), 'mtty-2'));
    must(create(uuid(11), 'mtty-1'));
    expect(create(uuid(12), 'mtty-2')).toBe(ENOSPC);
    must(create(uuid(12), 'mtty-1'));
    expect(create(uuid(13), 'mtty-1')).toBe(ENOSPC);
  });
  test('takes a device away once its user has closed it', () => {
    const { client, program, write, create, open } = rig();
    must(create(A));
    const at = `/sys/bus/mdev/devices/${A}/remove`;
    expect(write(at, '0')).toBe(1);
    const device = client.machine.mtty!.devices[0]!;
    const d = open(A);
    const waits = client.machine.mtty!.remove(device);
    expect(waits !== undefined && !isErrno(waits)).toBe(true);
    must(program.close(d) ?? 0);
    expect(write(at, '1')).toBe(1);
    expect(must(program.readdir('/sys/bus/mdev/devices'))).toEqual([]);
    expect(client.machine.mtty!.remove(device)).toBe(ENODEV);
    must(create(A));
  });
  test('has nothing of it in a kernel without the sample', () => {
    const client = new MigrationClient(machineOf());
    expect(isErrno(client.program.realpath(PARENT))).toBe(true);
  });
});

describe('the device', () => {
  test('says what it is in sixteen bytes', () => {
    const { create, open, info } = rig();
    must(create(A));
    const { rc, out } = info(open(A));
    expect([rc, out.flags, out.num_regions, out.num_irqs, out.cap_offset]).toEqual([0, 2, 9, 5, 0]);
  });
  test.for<[number, number | Errno, number | Errno]>([
    [0, 8, 8],
    [1, 0, 8],
    [2, 0, 0],
    [6, 0, 0],
    [7, 255, 255],
    [8, 0, 0],
    [9, EINVAL, EINVAL],
  ])('region %i has %o bytes, with two ports %o', ([index, one, two]) => {
    const { client, create, open } = rig();
    must(create(A));
    must(create(B, 'mtty-2'));
    for (const [name, size] of [
      [A, one],
      [B, two],
    ] as const) {
      const type = v.vfio_region_info;
      const { rc, out } = client.call(open(name), v.VFIO_DEVICE_GET_REGION_INFO, type, { index });
      expect(rc === 0 ? [Number(out.size), out.flags] : rc).toEqual(
        typeof size === 'number' ? [size, 3] : size,
      );
    }
  });
  test.for<[number, number[] | Errno]>([
    [0, [7, 1]],
    [1, [9, 1]],
    [2, EINVAL],
    [3, EINVAL],
    [4, EINVAL],
  ])('interrupt %i is %o, once GET_INFO was called', ([index, expected]) => {
    const { client, create, open, info } = rig();
    must(create(A));
    const d = open(A);
    const ask = () => {
      const { rc, out } = client.call(d, v.VFIO_DEVICE_GET_IRQ_INFO, v.vfio_irq_info, { index });
      return rc === 0 ? [out.flags, out.count] : rc;
    };
    expect([ask(), client.setIrqs(d, { flags: 0x21, index: 0, count: 0 })]).toEqual([
      EINVAL,
      EINVAL,
    ]);
    info(d);
    expect(ask()).toEqual(expected);
  });
  test('V12: its configuration space', () => {
    const { create, open, put, get } = rig();
    must(create(A));
    const d = open(A);
    expect(get(d, CONFIG, 4)).toEqual([0x48, 0x43, 0x53, 0x32]);
    put(d, CONFIG + 0x10n, 0xff, 0xff, 0xff, 0xff);
    expect(get(d, CONFIG + 0x10n, 4)).toEqual([0xf9, 0xff, 0xff, 0xff]);
    put(d, CONFIG + 4n, 0, 0);
    expect(get(d, CONFIG + 4n, 4)).toEqual([1, 0, 0, 2]);
    put(d, CONFIG + 0x3cn, 9);
    expect(get(d, CONFIG + 0x3cn, 2)).toEqual([9, 1]);
    expect(String.fromCharCode(...get(d, CONFIG + 0x60n, 15))).toBe('PCI Serial/UART');
    expect(get(d, CONFIG + 0x14n, 4)).toEqual([0, 0, 0, 0]);
  });
  test('V13: nothing is in the other regions', () => {
    const { client, create, open } = rig();
    must(create(A));
    const d = open(A);
    expect(client.pread(d, 8n << 40n, 1)).toBe(EFAULT);
    expect(client.pwrite(d, 6n << 40n, Uint8Array.of(1))).toBe(EFAULT);
    expect(client.pread(d, 1n << 40n, 1)).toEqual(Uint8Array.of(0));
    expect(client.plain(d, 0x3b7f)).toBe(ENOTTY);
    expect(client.plain(d, v.VFIO_DEVICE_RESET)).toBe(0);
  });
  test('V11: the pin is heard once, and again when it was unmasked', () => {
    const { client, create, open, info, put } = rig();
    must(create(A));
    const d = open(A);
    info(d);
    const fd = client.eventfd();
    must(client.setIrqs(d, { flags: 0x24, index: 0 }, [fd]));
    const byte = () => {
      put(d, 2n, 3);
      put(d, 0n, 0x41);
    };
    put(d, 1n, 1);
    byte();
    byte();
    expect(client.counter(fd)).toBe(1n);
    must(client.setIrqs(d, { flags: 0x11, index: 0, count: 1 }));
    byte();
    expect(client.counter(fd)).toBe(1n);
    must(client.setIrqs(d, { flags: 0x24, index: 0 }, [-1]));
    must(client.setIrqs(d, { flags: 0x11, index: 0, count: 1 }));
    byte();
    expect(client.counter(fd)).toBe(0n);
    expect(client.setIrqs(d, { flags: 0x24, index: 2 }, [fd])).toBe(ENOTTY);
    expect(client.setIrqs(d, { flags: 0x09, index: 1, count: 1 })).toBe(ENOTTY);
  });
  test('a message is heard each time', () => {
    const { client, create, open, info, put } = rig();
    must(create(A));
    const d = open(A);
    info(d);
    const fd = client.eventfd();
    must(client.setIrqs(d, { flags: 0x24, index: 1 }, [fd]));
    put(d, 1n, 8);
    put(d, 4n, 8);
    put(d, 4n, 3);
    expect(client.counter(fd)).toBe(2n);
  });
  test('accesses are cut into pieces, each of one register', () => {
    const { create, open, put, get } = rig();
    must(create(A));
    const d = open(A);
    put(d, 7n, 0x5a);
    expect(get(d, 7n, 1)).toEqual([0x5a]);
    expect(get(d, 4n, 4)).toEqual([0, 0, 0, 0]);
    expect(get(d, 5n, 3)).toEqual([0x60, 0xb3, 0]);
  });
});

describe('its migration', () => {
  test.for<['mtty-1' | 'mtty-2', number]>([
    ['mtty-1', 60],
    ['mtty-2', 96],
  ])('of %s is %i bytes, and the other one goes on', ([type, length]) => {
    const { client, create, open, put, get } = rig();
    for (const name of [A, B]) must(create(name, type));
    const [a, b] = [open(A), open(B)];
    put(a, 2n, 1);
    put(a, 0n, 0x41);
    put(a, 0n, 0x42);
    const fd = must(client.setState(a, v.VFIO_DEVICE_STATE_PRE_COPY));
    const early = client.drain(fd).bytes;
    expect(early).toHaveLength(24);
    must(client.setState(a, v.VFIO_DEVICE_STATE_STOP_COPY));
    put(a, 7n, 1);
    const bytes = Uint8Array.of(...early, ...client.drain(fd).bytes);
    expect(bytes).toHaveLength(length);
    const to = must(client.setState(b, v.VFIO_DEVICE_STATE_RESUMING));
    must(client.feed(to, bytes.subarray(0, -1)));
    expect(client.setState(b, v.VFIO_DEVICE_STATE_STOP)).toBe(EINVAL);
    must(client.feed(to, bytes.subarray(-1)));
    must(client.setState(b, v.VFIO_DEVICE_STATE_RUNNING));
    expect([get(b, 0n), get(b, 0n), get(b, 7n)]).toEqual([[0x41], [0x42], [0]]);
    expect(client.plain(a, v.VFIO_DEVICE_RESET)).toBe(0);
    expect(client.state(a)).toBe(v.VFIO_DEVICE_STATE_RUNNING);
  });
  test('logs no DMA, and knows no feature of a PCI function', () => {
    const { client, create, open } = rig();
    must(create(A));
    const d = open(A);
    const stop = v.VFIO_DEVICE_FEATURE_SET | v.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
    expect(client.plainFeature(d, stop)).toBe(0);
    const low = v.VFIO_DEVICE_FEATURE_SET | v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
    expect(client.plainFeature(d, low)).toBe(ENOTTY);
  });
});
