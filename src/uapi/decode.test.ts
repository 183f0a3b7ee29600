import { expect, test } from 'vitest';
import { EFAULT } from '../base/errno.ts';
import { OpenFile } from '../base/file.ts';
import { joined } from '../base/struct.ts';
import type { Task } from '../base/task.ts';
import { IOMMU_IOAS_MAP, iommu_ioas_map } from './iommufd.ts';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DEVICE_SET_IRQS,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_SET_IOMMU,
  vfio_irq_set,
} from './vfio.ts';
import { decodeIoctl, IoctlLook, setField } from './decode.ts';
import { namedValue } from './field-names.ts';

/** A task with these bytes at address 0. */
function taskWith(bytes: Uint8Array): Task {
  const read = (at: bigint, into: Uint8Array) => {
    if (Number(at) + into.length > bytes.length) return EFAULT;
    into.set(bytes.subarray(Number(at), Number(at) + into.length));
    return undefined;
  };
  return { mem: { read, write: () => EFAULT } } as unknown as Task;
}
const file = (name: string) => new OpenFile(name, {}, {});

test('a struct is shown by the names of its header, its flags by theirs', () => {
  const cmd = iommu_ioas_map.view(new Uint8Array(40));
  Object.assign(cmd, { size: 40, flags: 0x46, ioas_id: 1, iova: 0x1000n });
  expect(decodeIoctl(file('/dev/iommu'), taskWith(cmd.bytes), IOMMU_IOAS_MAP, 0n)).toEqual({
    command: 'IOMMU_IOAS_MAP',
    args: {
      size: 40,
      flags: 'IOMMU_IOAS_MAP_WRITEABLE|IOMMU_IOAS_MAP_READABLE|0x40',
      ioas_id: 1,
      user_va: 0n,
      length: 0n,
      iova: 0x1000n,
    },
  });
});
test('of a struct that says it is shorter what lies behind it is not shown', () => {
  const cmd = iommu_ioas_map.view(new Uint8Array(40).fill(0xff));
  Object.assign(cmd, { size: 32, flags: 0, ioas_id: 1, user_va: 2n, length: 3n });
  const { args } = decodeIoctl(file('/dev/iommu'), taskWith(cmd.bytes), IOMMU_IOAS_MAP, 0n)!;
  expect(args).toMatchObject({ size: 32, user_va: 2n, length: 3n, iova: 0n });
  const short = taskWith(cmd.bytes.subarray(0, 32));
  expect(decodeIoctl(file('/dev/iommu'), short, IOMMU_IOAS_MAP, 0n)?.args).toEqual(args);
});
test('a struct that ends behind its page is shown as any other', () => {
  const memory = new Uint8Array(4096 + 40);
  const at = 4096 - 16;
  const cmd = iommu_ioas_map.view(memory.subarray(at, at + 40));
  Object.assign(cmd, { size: 40, ioas_id: 1, iova: 0x1000n });
  const look = decodeIoctl(file('/dev/iommu'), taskWith(memory), IOMMU_IOAS_MAP, BigInt(at));
  expect(look?.args).toMatchObject({ size: 40, ioas_id: 1, iova: 0x1000n });
});
test('a second look shows what has changed, and what has not is the same', () => {
  const cmd = iommu_ioas_map.view(new Uint8Array(40));
  Object.assign(cmd, { size: 40, ioas_id: 1 });
  const look = new IoctlLook(file('/dev/iommu'), taskWith(cmd.bytes), IOMMU_IOAS_MAP, 0n);
  const before = look.before()!.args;
  expect(look.after()).toBe(before);
  cmd.iova = 0x7000n;
  expect(look.after()).toEqual({ ...before, iova: 0x7000n });
  expect(before).toMatchObject({ iova: 0n });
});
test('one number means different things on different files', () => {
  const task = taskWith(new Uint8Array(64).fill(0));
  expect(decodeIoctl(file('/dev/vfio/vfio'), task, VFIO_IOMMU_MAP_DMA, 0n)?.command).toBe(
    'VFIO_IOMMU_MAP_DMA',
  );
  expect(decodeIoctl(file('anon_inode:[vfio-device]'), task, VFIO_IOMMU_MAP_DMA, 0n)?.command).toBe(
    'VFIO_DEVICE_PCI_HOT_RESET',
  );
});
test('an fd and a name behind a pointer are shown, not the pointer', () => {
  const container = taskWith(new Uint8Array([0, 7, 0, 0, 0]));
  expect(decodeIoctl(file('/dev/vfio/0'), container, VFIO_GROUP_SET_CONTAINER, 1n)?.args).toEqual({
    arg: 7,
  });
  const name = taskWith(new TextEncoder().encode(' 0000:00:04.0\0'));
  expect(decodeIoctl(file('/dev/vfio/0'), name, VFIO_GROUP_GET_DEVICE_FD, 1n)?.args).toEqual({
    arg: '0000:00:04.0',
  });
});
test('a struct that cannot be read is left out, an unknown command is undefined', () => {
  const none = taskWith(new Uint8Array(0));
  expect(decodeIoctl(file('/dev/iommu'), none, IOMMU_IOAS_MAP, 0n)).toEqual({
    command: 'IOMMU_IOAS_MAP',
  });
  expect(decodeIoctl(file('/dev/iommu'), none, 0x1234, 0n)).toBeUndefined();
});

test.for<[string, Uint8Array, object]>([
  [
    'an index and an action of interrupts, and the eventfds behind them',
    joined(vfio_irq_set.make({ argsz: 28, flags: 0x24, index: 2, start: 0, count: 2 }), {
      bytes: Uint8Array.of(9, 0, 0, 0, 255, 255, 255, 255),
    }),
    {
      flags: 'VFIO_IRQ_SET_DATA_EVENTFD|VFIO_IRQ_SET_ACTION_TRIGGER',
      index: 'VFIO_PCI_MSIX_IRQ_INDEX',
      data: [9, -1],
    },
  ],
  [
    'truth values behind an action',
    joined(vfio_irq_set.make({ flags: 0x12, index: 9, count: 1 }), { bytes: Uint8Array.of(1) }),
    {
      flags: 'VFIO_IRQ_SET_DATA_BOOL|VFIO_IRQ_SET_ACTION_UNMASK',
      index: 9,
      data: [1],
    },
  ],
])('%s are named', ([, bytes, expected]) => {
  const decoded = decodeIoctl(
    file('anon_inode:[vfio-device]'),
    taskWith(bytes),
    VFIO_DEVICE_SET_IRQS,
    0n,
  );
  expect(decoded?.args).toMatchObject(expected);
});
test.for<[number, string, bigint, unknown]>([
  [VFIO_SET_IOMMU, '/dev/vfio/vfio', 3n, { arg: 'VFIO_TYPE1v2_IOMMU' }],
  [VFIO_CHECK_EXTENSION, '/dev/vfio/vfio', 9n, { arg: 'VFIO_UNMAP_ALL' }],
  [VFIO_CHECK_EXTENSION, '/dev/vfio/vfio', 77n, { arg: 77n }],
])('a number that is the argument itself is named: %#', ([cmd, name, arg, args]) => {
  expect(decodeIoctl(file(name), taskWith(new Uint8Array(0)), cmd, arg)?.args).toEqual(args);
});
test.for<[string, string, number | bigint, unknown]>([
  ['iommu_option', 'op', 1, 'IOMMU_OPTION_OP_GET'],
  ['iommu_option', 'option_id', 1, 'IOMMU_OPTION_HUGE_PAGES'],
  ['iommu_option', 'option_id', 7, 7],
  ['iommu_hw_info', 'out_data_type', 1, 'IOMMU_HW_INFO_TYPE_INTEL_VTD'],
  [
    'iommu_hw_info',
    'out_capabilities',
    3n,
    'IOMMU_HW_CAP_DIRTY_TRACKING|IOMMU_HW_CAP_PCI_PASID_EXEC',
  ],
  ['vfio_region_info', 'index', 7, 'VFIO_PCI_CONFIG_REGION_INDEX'],
  ['vfio_region_info', 'index', 3, 'VFIO_PCI_BAR3_REGION_INDEX'],
  ['vfio_region_info', 'index', 12, 12],
  [
    'vfio_device_feature',
    'flags',
    0x2_0002,
    'VFIO_DEVICE_FEATURE_SET|VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE',
  ],
  ['vfio_device_feature', 'flags', 0x1_0063, 'VFIO_DEVICE_FEATURE_GET|0x63'],
  ['vfio_iommu_type1_dma_map', 'flags', 3, 'VFIO_DMA_MAP_FLAG_READ|VFIO_DMA_MAP_FLAG_WRITE'],
  ['vfio_iommu_type1_dma_map', 'flags', 0, 0],
  ['vfio_iommu_type1_dma_map', 'iova', 3n, 3n],
])('%s.%s %d', ([type, field, value, named]) => {
  expect(namedValue(type, field, value)).toBe(named);
});

test('no field is set of a struct that is not in memory', () => {
  const task = taskWith(new Uint8Array(0));
  const call = { file: file('/dev/iommu'), task, cmd: IOMMU_IOAS_MAP, arg: 0n };
  expect(setField(call, 'ioas_id', 7n)).toBe(EFAULT);
});
