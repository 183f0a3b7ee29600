import { expect, test } from 'vitest';
import type { LeaveEvent } from '../../base/events.ts';
import { MappedSizes } from './mapped-sizes.ts';

const call: LeaveEvent = {
  ...{ kind: 'leave', what: 'syscall', pid: 7, name: 'ioctl', file: '/dev/iommu' },
  ...{ result: 0, refusals: [] },
};
type Args = Readonly<Record<string, unknown>>;
const command = (command: string, args: Args = {}, after = args): LeaveEvent => ({
  ...call,
  ...{ fd: 3, command, args, after },
});
const alloc = command('IOMMU_IOAS_ALLOC', { out_ioas_id: 0 }, { out_ioas_id: 1 });
const map = command('IOMMU_IOAS_MAP', { ioas_id: 1, iova: 0n, length: 0x3000n });
const setIommu = command('VFIO_SET_IOMMU');
const mapDma = (flags = '') =>
  command('VFIO_IOMMU_MAP_DMA', { flags, vaddr: 0n, iova: 0n, size: 0x2000n });
// A run tells of a close without its descriptor.
const close: LeaveEvent = { ...call, pid: 1, name: 'close' };

const CASES: [string, LeaveEvent[], (bigint | undefined)[]][] = [
  ['an IOAS', [alloc, map, map], [undefined, 0x3000n, 0x6000n]],
  [
    'what was asked is not what was unmapped',
    [map, command('IOMMU_IOAS_UNMAP', { ioas_id: 1, length: 1n << 63n }, { length: 0x1000n })],
    [0x3000n, 0x2000n],
  ],
  [
    'an IOAS with the id of one that was destroyed begins anew',
    [alloc, map, command('IOMMU_DESTROY', { id: 1 }), alloc, map],
    [undefined, 0x3000n, undefined, undefined, 0x3000n],
  ],
  [
    'and so does one of a file that was closed and opened again',
    [alloc, map, close, alloc, map],
    [undefined, 0x3000n, undefined, undefined, 0x3000n],
  ],
  [
    'a container whose file was closed and opened again begins anew',
    [setIommu, mapDma(), close, setIommu, mapDma()],
    [undefined, 0x2000n, undefined, undefined, 0x2000n],
  ],
  [
    'one whose type is set again has what it had',
    [setIommu, mapDma(), setIommu, mapDma()],
    [undefined, 0x2000n, undefined, 0x4000n],
  ],
  [
    'a mapping that is told where its memory is now is the one it was',
    [mapDma(), mapDma('VFIO_DMA_MAP_FLAG_VADDR')],
    [0x2000n, undefined],
  ],
];
test.each(CASES)('%s', (_name, events, bytes) => {
  const sizes = new MappedSizes();
  expect(events.map((event) => sizes.leave(event)?.bytes)).toEqual(bytes);
});
