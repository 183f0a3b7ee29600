import { describe, expect, test } from 'vitest';
import { EINTR } from '../../base/errno.ts';
import type { CallInfo, Stamped, TraceEvent } from '../../base/events.ts';
import { PLAIN_STYLE, type TextStyle } from '../trace/text-style.ts';
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

test('signals, ends, and a call that sleeps: as they happen', () => {
  const why = { rule: 'the device is in use', facts: { openedBy: '9' } };
  const lines = shown([
    [{ kind: 'enter', ...ioctl }, 0],
    [{ kind: 'sleep', ...ioctl, why }, 0],
    [{ kind: 'signal', pid: 8, tid: 9, signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: 16n }],
    [{ kind: 'signal', pid: 8, signal: 'SIGUSR1', code: 'SI_USER' }],
    [{ kind: 'exit', pid: 8, status: 1 }],
    [{ kind: 'leave', ...ioctl, result: 0, refusals: [], remarks: [why] }, 0],
    [{ kind: 'exit', pid: 7, signal: 'SIGBUS' }],
  ]);
  expect(lines).toEqual([
    '[pid     7] ioctl(</dev/iommu>) sleeps: the device is in use (openedBy=9)',
    '[pid     9] --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---',
    '[pid     8] --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER} ---',
    '[pid     8] +++ exited with 1 +++',
    '[pid     7] ioctl(</dev/iommu>) = 0  ! the device is in use (openedBy=9)',
    '[pid     7] +++ killed by SIGBUS +++',
  ]);
});
describe('in another style', () => {
  const exit: TraceEvent = { kind: 'exit', pid: 7, status: 0 };
  const born: TraceEvent = { kind: 'object-born', object: domain };
  const events: readonly TraceEvent[] = [born, map, map, dma, exit];
  const as = (style: Partial<TextStyle>): string[] => {
    const lines: string[] = [];
    const view = textView((line) => lines.push(line), {
      footnotes: ({ event }) => (event.kind === 'dma' ? ['  how it got there'] : []),
      style: { ...PLAIN_STYLE, ...style },
    });
    for (const [seq, event] of events.entries()) view.take({ seq, timeNs: 0, event });
    view.flush();
    return lines.map((line) => line.trim());
  };
  const [MAP, DMA] = ['paging#1: map 0x1000 +0x1000 → 0x8000', '⇄ D: DMA write 0x1000 +0x4'];
  test.each<[string, Partial<TextStyle>, readonly string[]]>([
    ['plain', {}, [MAP, 'x 2', DMA, 'how it got there', '[pid     7] +++ exited with 0 +++']],
    ['-q', { quiet: 1 }, [MAP, 'x 2', DMA, '[pid     7] +++ exited with 0 +++']],
    ['-qq', { quiet: 2 }, [MAP, 'x 2', DMA]],
    [
      '-v, of one process',
      { whole: true, pids: false },
      ['+ domain paging#1', MAP, MAP, DMA, 'how it got there', '+++ exited with 0 +++'],
    ],
  ])('%s', (_name, style, lines) => {
    expect(as(style)).toEqual(lines);
  });
});
