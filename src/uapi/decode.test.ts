import { expect, test } from 'vitest';
import { EFAULT } from '../base/errno.ts';
import { OpenFile } from '../base/file.ts';
import type { Task } from '../base/task.ts';
import { IOMMU_IOAS_MAP, iommu_ioas_map } from './iommufd.ts';
import { VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_IOMMU_MAP_DMA } from './vfio.ts';
import { decodeIoctl } from './decode.ts';

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
      flags: 'WRITEABLE|READABLE|0x40',
      ioas_id: 1,
      user_va: 0n,
      length: 0n,
      iova: 0x1000n,
    },
  });
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
