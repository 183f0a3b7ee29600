/** Packets before they are bytes; the bytes are checked in cli/show-trace.test.ts. */
import { expect, test } from 'vitest';
import type { Stamped, TraceEvent } from '../../base/events.ts';
import type { TrackEvent } from './perfetto-packets.ts';
import { must } from '../../testing/base/must.ts';
import { TracedGuest } from '../../testing/machine/traced-guest.ts';
import { perfettoView } from './perfetto.ts';

const device = { kind: 'device', id: '0000:00:04.0', born: undefined };
const store: TraceEvent = {
  ...{ kind: 'mmio', device, region: 0, register: 'dmaCommand', offset: 0x98, width: 4 },
  ...{ write: true, value: 5n },
};
const dma: TraceEvent = {
  ...{ kind: 'dma', device, write: true, iova: 0x1000n, length: 4, pieces: [], ok: true },
};
const interrupt: TraceEvent = {
  ...{ kind: 'interrupt', device, index: 'msi', vector: 0, delivered: true },
};

function eventsOf(told: readonly Omit<Stamped, 'seq' | 'timeNs'>[]): TrackEvent[] {
  const events: TrackEvent[] = [];
  const header = { v: 1, trace: 'softiommu', startedUs: 0, program: [], machine: {} } as const;
  const view = perfettoView(({ track_event }) => {
    if (track_event) events.push(track_event);
  }, header);
  for (const [seq, stamped] of told.entries()) view.take({ seq, timeNs: seq, ...stamped });
  view.flush();
  return events;
}

test('an arrow leads from a store over the DMA it sets going to the interrupt at its end, and to no other', () => {
  const events = eventsOf([
    { event: store },
    { event: store },
    { event: dma, cause: 0 },
    { event: interrupt, cause: 0 },
    { event: interrupt, cause: 1 },
    { event: interrupt },
  ]);
  const [first, second] = events.map(({ flow_ids }) => flow_ids?.[0]);
  expect(first).not.toBe(second);
  expect(events.map(({ flow_ids }) => flow_ids)).toEqual([
    [first],
    [second],
    [first],
    [first],
    [second],
    undefined,
  ]);
});
test('bytes of an IOAS are counted from the commands that worked', () => {
  const call = { what: 'syscall', pid: 7, name: 'ioctl', fd: 3, refusals: [] } as const;
  const command = (name: string, args: Record<string, unknown>, result = 0): TraceEvent => ({
    ...{ kind: 'leave', ...call, command: name, args, after: args, result },
  });
  const events = eventsOf([
    { event: command('IOMMU_IOAS_MAP', { ioas_id: 1, length: 0x3000n }) },
    { event: command('IOMMU_IOAS_COPY', { dst_ioas_id: 2, length: 0x1000n }) },
    { event: command('IOMMU_IOAS_UNMAP', { ioas_id: 1, length: 0x2000n }) },
    { event: command('IOMMU_IOAS_MAP', { ioas_id: 1, length: 0x9000n }, -1) },
  ]);
  const counted = events.flatMap(({ counter_value }) => counter_value ?? []);
  expect(counted).toEqual([0x3000n, 0x1000n, 0x1000n]);
});
test('a signal and the end of a process are on the track of its thread', () => {
  const events = eventsOf([
    { event: { kind: 'signal', pid: 7, signal: 'SIGBUS', address: 4n } },
    { event: { kind: 'exit', pid: 7, signal: 'SIGBUS' } },
  ]);
  expect(events.map(({ name }) => name)).toEqual(['SIGBUS', 'exit']);
  expect(new Set(events.map(({ track_uuid }) => track_uuid)).size).toBe(1);
});
test('pinned pages are counted as each call leaves them, also by two mappings of the same', () => {
  const guest = new TracedGuest();
  const vaddr = guest.memory(0x3000);
  const far = { vaddr, iova: 0x80_0000n, size: 0x3000n };
  must(guest.map(guest.mappings, far));
  must(guest.map(guest.mappings, { ...far, iova: 0x90_0000n }));
  must(guest.unmap(guest.mappings, { iova: 0x80_0000n, size: 0x3000n }).rc);
  must(guest.unmap(guest.mappings, { iova: 0x90_0000n, size: 0x3000n }).rc);
  const told = guest.heard.flatMap(({ event }) =>
    event.kind === 'leave' && event.pinned !== undefined ? [event.pinned] : [],
  );
  const [before = 0] = told;
  expect(before).toBeGreaterThan(0);
  expect(told).toEqual([before, before + 3, before]);
  expect(guest.machine.memory.pinnedFrames).toBe(before);
  const counters = new Map<bigint, string>();
  const counted: (string | bigint)[] = [];
  const header = { v: 1, trace: 'softiommu', startedUs: 0, program: [], machine: {} } as const;
  const view = perfettoView(({ track_descriptor, track_event }) => {
    const { uuid, name } = track_descriptor ?? {};
    if (uuid !== undefined && name !== undefined) counters.set(uuid, name);
    const value = track_event?.counter_value;
    if (value !== undefined && counters.get(track_event!.track_uuid) === 'pinned pages') {
      counted.push(value);
    }
  }, header);
  for (const stamped of guest.heard) view.take(stamped);
  expect(counted).toEqual(told.map(BigInt));
});
