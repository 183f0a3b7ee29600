import { expect, test } from 'vitest';
import { EEXIST } from '../../base/errno.ts';
import type { Stamped, TraceEvent } from '../../base/events.ts';
import { must } from '../../testing/base/must.ts';
import { MAPPED, TracedGuest } from '../../testing/machine/traced-guest.ts';
import { eventLine, headerLine, type TraceHeader } from './format.ts';
import { readEvent, readHeader } from './read-trace.ts';

const HEADER: TraceHeader = {
  v: 1,
  trace: 'softiommu',
  startedUs: 1_700_000_000_000_000,
  program: ['./edu'],
  machine: { name: 'm' },
};
const device = { kind: 'device', id: '0000:00:04.0', born: 3 };
const refusal = { errno: EEXIST, rule: 'it is there', facts: { iova: 0x1000n, n: 3, who: 'us' } };
const call = {
  ...({ what: 'syscall', pid: 7, tid: 8, name: 'ioctl', fd: 3, file: '/dev/iommu' } as const),
  device: device.id,
  command: 'IOMMU_IOAS_MAP',
  args: { size: 40, iova: 0x1000n, below: -5n, data: Uint8Array.of(0, 255), list: [1, 2n] },
};
/** Every field of every kind. */
const EVERY: readonly TraceEvent[] = [
  { kind: 'enter', ...call },
  {
    kind: 'leave',
    ...call,
    after: { iova: 2n },
    result: EEXIST,
    injected: true,
    delayed: true,
    refusals: [refusal],
  },
  { kind: 'leave', what: 'access', name: 'load', result: 4, refusals: [] },
  { kind: 'driver', op: 'attach_dev', driver: 'intel', device, pasid: 1, result: undefined },
  {
    kind: 'driver',
    op: 'attach_dev',
    driver: 'intel',
    domain: device,
    old: device,
    result: EEXIST,
  },
  { kind: 'map', domain: device, iova: 1n, pa: 2n, length: 3n, prot: 3 },
  { kind: 'unmap', domain: device, iova: 1n, length: 3n, asked: 4n },
  {
    ...({ kind: 'dma', device, pasid: 5, write: true, iova: 1n, length: 2, ok: false } as const),
    list: [{ at: 1n, length: 2 }],
    pieces: [{ iova: 1n, pa: 2n, length: 2 }],
    refusal,
  },
  {
    ...({ kind: 'fault', unit: 'dmar0', device, pasid: 1, write: false, iova: 1n } as const),
    ...{ code: 5, reason: 'r', text: 't' },
  },
  { kind: 'pages-lost', by: 'munmap', pid: 7, ranges: [{ pa: 1n, length: 2n }] },
  { kind: 'invalidate', unit: 'dmar0', cache: 'iotlb', facts: { did: 2, all: true, iova: 1n } },
  { kind: 'interrupt', device, index: 'msi', vector: 0, delivered: true },
  {
    ...({ kind: 'mmio', device, region: 0, register: 'id', offset: 4 } as const),
    ...{ width: 4, write: true, value: 0xffff_ffff_ffff_ffffn },
  },
  { kind: 'warn', id: 'w', text: 't' },
  { kind: 'log', level: 'err', text: 't' },
  { kind: 'life', what: 'group-add', who: device, detail: '3' },
  { kind: 'object-born', object: { kind: 'IOAS', id: '1.1' } },
  { kind: 'object-gone', object: { ...device, born: undefined } },
];

test.for(EVERY.map((event, n) => [event.kind, n, event] as const))(
  'an event comes back as it was written: %s %d',
  ([, seq, event]) => {
    const stamped: Stamped = {
      ...{ seq, timeNs: 5, hostNs: 6.5, comm: 'edu', call: 1, cause: 0, event },
    };
    expect(readEvent(eventLine(stamped), false)).toEqual(stamped);
  },
);
test('so does everything that is heard of a program', () => {
  const guest = new TracedGuest();
  guest.dma(MAPPED);
  guest.dma(0x90_0000n);
  must(guest.unmap(guest.mappings, { iova: MAPPED, size: 0x2000n }).rc);
  const kinds = new Set(guest.heard.map(({ event }) => event.kind));
  for (const kind of ['leave', 'driver', 'map', 'dma', 'fault', 'unmap', 'log'] as const) {
    expect(kinds).toContain(kind);
  }
  // A fact that is hex as text comes back as a number: it is written the same again.
  const lines = guest.heard.map(eventLine);
  for (const line of lines) {
    const back = readEvent(line, false);
    if ('problem' in back) throw new Error(`${back.problem}: ${line}`);
    expect(JSON.parse(eventLine(back))).toEqual(JSON.parse(line));
  }
});
test('the first line comes back as it was written', () => {
  expect(readHeader(headerLine(HEADER))).toEqual(HEADER);
});

const FIRST = headerLine(HEADER);
test.for<[string, string, string]>([
  ['an empty file', '', 'no trace of softiommu: the first line does not say so'],
  ['notes', 'my notes', 'no trace of softiommu'],
  ['other JSON', '{"a":1}', 'no trace of softiommu'],
  ['a trace as text', '# trace of softiommu', 'a trace as text is for people'],
  ['a trace without a version', '{"trace":"softiommu"}', 'a trace of an older softiommu'],
  [
    'one of a version to come',
    FIRST.replace('"v":1', '"v":2'),
    'a trace of version 2; this softiommu reads version 1',
  ],
  ['half a first line', FIRST.slice(0, 60), 'no trace of softiommu'],
  [
    'a first line that lacks something',
    '{"v":1,"trace":"softiommu"}',
    'the first line is damaged: startedUs',
  ],
])('%s is refused in one sentence', ([, line, problem]) => {
  expect(readHeader(line)).toEqual({ problem: expect.stringContaining(problem) as string });
});

const LINE = eventLine({ seq: 0, timeNs: 0, event: { kind: 'warn', id: 'w', text: 't' } });
test.for<[string, string, boolean, string]>([
  ['the last line is cut off', LINE.slice(0, 20), true, 'the trace is cut off here'],
  ['a line is cut off', LINE.slice(0, 20), false, 'the line is damaged: no JSON'],
  ['a kind is unknown', LINE.replace('"warn"', '"wasp"'), false, 'the line is damaged: event.kind'],
  ['a field is unknown', LINE.replace('"id"', '"ld"'), false, 'the line is damaged: event'],
  ['a number is none', LINE.replace('"seq":0', '"seq":"0"'), true, 'the line is damaged: seq'],
])('%s', ([, line, last, problem]) => {
  expect(readEvent(line, last)).toEqual({ problem: expect.stringContaining(problem) as string });
});
