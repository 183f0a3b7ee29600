import { expect, test } from 'vitest';
import { EINTR } from '../../base/errno.ts';
import type { CallInfo, Stamped, TraceEvent } from '../../base/events.ts';
import { textView } from './text.ts';

const ioctl: CallInfo = { what: 'syscall', pid: 7, name: 'ioctl', file: '/dev/iommu' };
const read: CallInfo = { what: 'syscall', pid: 8, name: 'read', file: '/dev/test' };
const device = { kind: 'device', id: 'D', born: undefined };
const domain = { kind: 'domain', id: 'paging#1', born: undefined };
const map: TraceEvent = { kind: 'map', domain, iova: 0x1000n, pa: 0x8000n, length: 0x1000n };
const dma: TraceEvent = {
  ...{ kind: 'dma', device, write: true, iova: 0x1000n, length: 4, pieces: [], ok: true },
};

/** The lines of a stream: each event with the call it happened in. */
function shown(events: readonly [TraceEvent, call?: number][], ends = true): string[] {
  const lines: string[] = [];
  const view = textView((line) => lines.push(line), {
    footnotes: ({ event }) => (event.kind === 'dma' ? ['  how it got there'] : []),
  });
  for (const [seq, [event, call]] of events.entries()) {
    const stamped: Stamped = { seq, timeNs: 0, ...(call !== undefined && { call }), event };
    view.take(stamped);
  }
  if (ends) view.flush();
  return lines;
}

test('a call comes first, then what it made happen, also while another sleeps', () => {
  const lines = shown([
    [{ kind: 'enter', ...read }, 0],
    [{ kind: 'enter', ...ioctl }, 1],
    [{ kind: 'object-born', object: domain }, 1],
    [map, 1],
    [{ kind: 'leave', ...ioctl, result: 0, refusals: [] }, 1],
    [{ kind: 'log', level: 'info', text: 'awake' }, 0],
    [{ kind: 'leave', ...read, result: EINTR, refusals: [] }, 0],
  ]);
  expect(lines).toEqual([
    '[pid     7] ioctl(</dev/iommu>) = 0',
    '    paging#1: map 0x1000 +0x1000 → 0x8000',
    '[pid     8] read(</dev/test>) = -1 EINTR (Interrupted system call)',
    '  # awake',
  ]);
});
test('what a timer or a store does is shown at once, its footnotes below it', () => {
  const store: CallInfo = { what: 'access', pid: 7, name: 'store', file: 'D BAR 0' };
  const lines = shown(
    [
      [{ kind: 'enter', ...store }, 0],
      [{ kind: 'leave', ...store, result: 0, refusals: [] }, 0],
      [{ kind: 'enter', what: 'turn', name: 'timer' }, 2],
      [dma, 2],
    ],
    false,
  );
  expect(lines).toEqual(['  ⇄ D: DMA write 0x1000 +0x4', '  how it got there']);
});
test('a call that is never answered is shown at the end as unfinished', () => {
  const lines = shown([
    [{ kind: 'enter', ...ioctl, command: 'IOMMU_DESTROY' }, 0],
    [dma, 0],
  ]);
  expect(lines).toEqual([
    '[pid     7] ioctl(</dev/iommu>, IOMMU_DESTROY) <unfinished ...>',
    ...['  ⇄ D: DMA write 0x1000 +0x4', '  how it got there'],
  ]);
});
