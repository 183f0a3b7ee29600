import { expect, test } from 'vitest';
import { EINVAL, ENOENT } from '../../base/errno.ts';
import type { LeaveEvent, Stamped, TraceEvent } from '../../base/events.ts';
import { eventText, formatEvent } from './event-text.ts';
import { eventLine } from '../trace/format.ts';

const stamp = (event: TraceEvent): Stamped => ({ seq: 1, timeNs: 2, event });

test('a failed call reads as strace would show it, with the reason behind it', () => {
  const text = formatEvent(
    stamp({
      kind: 'leave',
      what: 'syscall',
      pid: 7,
      name: 'ioctl',
      fd: 3,
      file: '/dev/iommu',
      command: 'IOMMU_IOAS_MAP',
      args: { size: 40, flags: 'WRITEABLE', iova: 0x123n },
      result: EINVAL,
      refusals: [{ errno: EINVAL, rule: 'iova is not aligned', facts: { iova: 0x123n } }],
    }),
  );
  expect(text).toBe(
    '[pid     7] ioctl(3</dev/iommu>, IOMMU_IOAS_MAP, {size=40, flags=WRITEABLE, iova=0x123}) = -1 EINVAL (Invalid argument)  ✗ iova is not aligned (iova=0x123)',
  );
});
test('a call shows what the kernel wrote back', () => {
  const args = { size: 12, flags: 0, out_ioas_id: 0 };
  const event = stamp({
    kind: 'leave',
    what: 'syscall',
    pid: 7,
    name: 'ioctl',
    fd: 3,
    file: '/dev/iommu',
    command: 'IOMMU_IOAS_ALLOC',
    args,
    after: { ...args, out_ioas_id: 1 },
    result: 0,
    refusals: [],
  });
  expect(formatEvent(event)).toBe(
    '[pid     7] ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, {size=12, flags=0, out_ioas_id=0 => 1}) = 0',
  );
});
test.for<[string, string | undefined, string]>([
  ['by the name its model gives it', 'eims', '+0x1524 eims'],
  ['by its offset alone where it has none', undefined, '+0x1524'],
])('an access shows a register %s', ([, register, shown]) => {
  const text = formatEvent(
    stamp({
      kind: 'mmio',
      device: { kind: 'device', id: '0000:00:04.0', born: undefined },
      ...{ region: 0, offset: 0x1524, width: 4, write: true, value: 3n },
      ...(register !== undefined && { register }),
    }),
  );
  expect(text).toBe(`  · 0000:00:04.0 BAR 0 write ${shown} 32 bit ← 0x3`);
});
test('JSON lines carry u64 values as hex and errno values by name', () => {
  const line = eventLine(
    stamp({ kind: 'driver', op: 'attach_dev', driver: 'mock', result: EINVAL }),
  );
  expect(JSON.parse(line)).toMatchObject({ seq: 1, event: { result: 'EINVAL' } });
  expect(
    eventLine(
      stamp({
        kind: 'unmap',
        domain: { kind: 'domain', id: 'd', born: undefined },
        iova: 0x10n,
        length: 1n,
      }),
    ),
  ).toContain('"iova":"0x10"');
});

test('a name that a program has chosen moves no cursor and begins no line', () => {
  const name = '/dev/vfio/\x1b[2J\nsoftiommu: all is well';
  const opened = { kind: 'leave', what: 'syscall', name: 'openat', file: name, result: ENOENT };
  const line = eventText({ ...opened, refusals: [] } as LeaveEvent);
  expect(line).toContain('/dev/vfio/\\33[2J\\nsoftiommu: all is well');
  expect(line).not.toMatch(/[\x00-\x1f]/);
});
