/** What notes say of refused calls: what is there instead, whose it is, and all that is wrong. */
import { describe, expect, test } from 'vitest';
import { must } from '../../testing/base/must.ts';
import { answers, Explained, MAPPED } from '../../testing/insight/explained.ts';
import { EDU } from '../../testing/machine/client.ts';
import * as i from '../../uapi/iommufd.ts';
import * as uapi from '../../uapi/vfio.ts';
import { KeptOrigins } from '../sanitizer/kept-origins.ts';

test('a group with a kernel driver in it: which function has which driver', () => {
  const program = new Explained({
    devices: [
      {
        type: 'pci-bridge',
        at: '0000:00:03.0',
        devices: [
          { type: 'edu', at: '0000:01:01.0' },
          { type: 'edu', at: '0000:01:02.0', driver: 'e1000e' },
        ],
      },
    ],
  });
  const id = program.machine.pci.device('0000:01:01.0')!.dev.iommuGroup!.id;
  const container = must(program.open('/dev/vfio/vfio'));
  answers.push(program.setContainer(must(program.open(`/dev/vfio/${id}`)), container));
  expect(program.lines.join('\n')).toContain(`0000:01:02.0 of group ${id} is bound to e1000e`);
});

test('the same of a device that is bound by its cdev', () => {
  const program = new Explained('not-viable', '0000:01:00.0');
  const iommufd = must(program.open('/dev/iommu'));
  const device = must(program.open('/dev/vfio/devices/vfio0'));
  const type = uapi.vfio_device_bind_iommufd;
  answers.push(program.call(device, uapi.VFIO_DEVICE_BIND_IOMMUFD, type, { iommufd }).rc);
  expect(program.lines.slice(2)).toEqual([
    '0000:01:00.0 of group 1 is bound to vfio-pci',
    '0000:01:00.1 of group 1 is bound to e1000e',
  ]);
});

test('a device of another name than the group has: which it has', () => {
  const program = new Explained();
  const { g } = program.container(uapi.VFIO_TYPE1v2_IOMMU);
  program.put(program.buffer, new TextEncoder().encode('04:00.0\0'));
  answers.push(program.plain(g, uapi.VFIO_GROUP_GET_DEVICE_FD, program.buffer));
  expect(program.lines.slice(1)).toEqual([
    'the group has no device of this name (name=04:00.0)',
    '0000:00:04.0 of group 0 is bound to vfio-pci',
  ]);
});

test('what fails because another call has failed comes behind it', () => {
  const program = new Explained('direct-mapped');
  const container = must(program.open('/dev/vfio/vfio'));
  answers.push(program.setContainer(program.group(), container));
  answers.push(program.plain(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU));
  const calls = program.lines.filter((line) => /^\d/.test(line));
  expect(calls.map((line) => /, (VFIO_\w+)/.exec(line)?.[1])).toEqual([
    'VFIO_GROUP_SET_CONTAINER',
    'VFIO_SET_IOMMU',
    undefined,
  ]);
});

describe('an address that is taken', () => {
  const again = (program: Explained): string[] => {
    const { container } = program.start();
    answers.push(
      program.map(container, { vaddr: program.memory(0x1000), iova: MAPPED, size: 0x1000n }),
    );
    return program.lines.slice(2);
  };
  test('by which call, where that is kept', () => {
    const program = new Explained('default', EDU, {}, new KeptOrigins());
    expect(again(program)).toEqual([
      `mapped by VFIO_IOMMU_MAP_DMA of process ${program.program.pid}`,
    ]);
  });
  test('of an IOAS', () => {
    const program = new Explained('default', EDU, {}, new KeptOrigins());
    const { iommufd, ioas } = program.bound();
    const map = (iova: bigint) =>
      program.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, {
        ...{ size: 40, flags: 7, ioas_id: ioas, iova, length: 0x2000n },
        user_va: program.memory(0x2000),
      }).rc;
    must(map(MAPPED));
    answers.push(map(MAPPED + 0x1000n));
    expect(program.lines.slice(2)).toEqual([
      `mapped by IOMMU_IOAS_MAP of process ${program.program.pid}`,
    ]);
  });
  test('elsewhere how to know it', () => {
    expect(again(new Explained())).toEqual(['`softiommu run --explain` says where it was mapped']);
  });
});

describe('all that is wrong with a call is told at once', () => {
  test('of a map of type1', () => {
    const program = new Explained();
    const { container } = program.start();
    answers.push(program.map(container, { flags: 0x80, vaddr: 3n, iova: 5n, size: 7n }));
    expect(program.lines.slice(1)).toEqual([
      'an unknown flag (flags=128)',
      expect.stringMatching(/^not a multiple of the page size/),
      'either READ or WRITE, or VADDR alone (flags=128)',
    ]);
  });
  test('of a map of an iommufd', () => {
    const program = new Explained();
    const { iommufd, ioas } = program.bound();
    const bad = { size: 40, flags: 0x81, __reserved: 7, ioas_id: ioas };
    answers.push(program.call(iommufd, i.IOMMU_IOAS_MAP, i.iommu_ioas_map, bad).rc);
    expect(program.lines.slice(1)).toEqual([
      expect.stringMatching(/^unknown flag/),
      expect.stringMatching(/^neither READABLE nor WRITEABLE/),
      expect.stringMatching(/^the reserved field is not 0/),
    ]);
  });
});

test('memory that cannot be pinned: which byte, and why', () => {
  const program = new Explained();
  const { container } = program.start();
  const vaddr = program.memory(0x2000); // and nothing behind it
  answers.push(program.map(container, { vaddr, iova: 0x20_0000n, size: 0x4000n }));
  const va = `0x${(vaddr + 0x2000n).toString(16)}`;
  expect(program.lines.slice(1)).toEqual([
    `the address is not mapped, or not writable (va=${va}, offset=0x2000, write=true)`,
    `nothing is mapped at this address (va=${va})`,
  ]);
});
