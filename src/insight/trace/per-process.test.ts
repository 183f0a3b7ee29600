import { expect, test } from 'vitest';
import type { CallInfo, Stamped, TraceEvent } from '../../base/events.ts';
import { perProcess } from './per-process.ts';

const call: CallInfo = { what: 'syscall', pid: 7, name: 'ioctl' };
const warn: TraceEvent = { kind: 'warn', id: 'w', text: 't' };
const turn: CallInfo = { what: 'turn', name: 'timer' };

test('a part has the calls of a process, what happened in them, and what they have set going', () => {
  const parts = new Map<string, number[]>();
  const flushed: string[] = [];
  const sink = perProcess((part) => ({
    take: ({ seq }) => parts.set(part, [...(parts.get(part) ?? []), seq]),
    flush: () => flushed.push(part),
  }));
  const told: readonly Omit<Stamped, 'seq' | 'timeNs'>[] = [
    { event: warn },
    { event: { kind: 'enter', ...call }, call: 1 },
    { event: warn, call: 1, cause: 1 },
    { event: { kind: 'leave', ...call, refusals: [] }, call: 1 },
    { event: { kind: 'enter', ...turn }, call: 4, cause: 1 },
    { event: warn, call: 4 },
    { event: { kind: 'enter', ...call, pid: 8 }, call: 6 },
    { event: { kind: 'exit', pid: 7, status: 0 } },
    { event: warn, cause: 99 },
  ];
  for (const [seq, stamped] of told.entries()) sink.take({ seq, timeNs: 0, ...stamped });
  sink.flush();
  expect(Object.fromEntries(parts)).toEqual({ machine: [0, 8], 7: [1, 2, 3, 4, 5, 7], 8: [6] });
  expect(flushed.sort()).toEqual(['7', '8', 'machine']);
});
