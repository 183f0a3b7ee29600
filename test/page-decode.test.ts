/** The page reads a trace as the checked reader does: every event has the same line, and the numbers it calculates with. */
import { expect, test } from 'vitest';
import { eventLine, headerLine } from '../src/insight/trace/format.ts';
import { readEvent } from '../src/insight/trace/read-trace.ts';
import { formatEvent } from '../src/insight/views/event-text.ts';
import { lineOf } from '../src/page/decode.ts';
import type { Stamped } from '../src/base/events.ts';
import { Client, EDU, machineOf } from '../src/testing/machine/client.ts';
import { must } from '../src/testing/base/must.ts';
import * as uapi from '../src/uapi/vfio.ts';

const MAPPED = 0x10_0000n;

function linesOfProgram(): string[] {
  const lines: string[] = [];
  const program = new Client(machineOf('default'));
  program.machine.env.trace.listen((stamped) => lines.push(eventLine(stamped)));
  const { c, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU, EDU);
  must(program.map(c, { vaddr: program.memory(0x4000), iova: MAPPED, size: 0x4000n }));
  program.map(c, { vaddr: program.memory(0x1000), iova: MAPPED, size: 0x1000n });
  must(program.pwrite(d, (7n << 40n) + 4n, Uint8Array.of(6, 0)));
  must(program.pread(d, 7n << 40n, 4));
  must(program.pread(d, 0n, 4));
  const { dma } = program.machine.pci.device(EDU)!.slot;
  for (const iova of [MAPPED, MAPPED + 0x3ffen, 0n]) dma.write(iova, new Uint8Array(4));
  must(program.unmap(c, { iova: MAPPED, size: 0x4000n }).rc);
  return lines;
}

test('every event as the checked reader reads it', () => {
  const lines = linesOfProgram();
  const kinds = new Set<string>();
  for (const line of lines) {
    const fast = lineOf(line) as Stamped;
    const checked = readEvent(line, false) as Stamped;
    kinds.add(checked.event.kind);
    expect(formatEvent(fast)).toBe(formatEvent(checked));
    const numbers = ({ event }: Stamped): unknown =>
      'iova' in event || 'value' in event ? { ...event, refusal: undefined } : event.kind;
    expect(numbers(fast)).toEqual(numbers(checked));
  }
  expect([...kinds]).toEqual(
    expect.arrayContaining(['enter', 'leave', 'map', 'unmap', 'dma', 'fault', 'driver', 'mmio']),
  );
});

test('what is no event is the head, a walk, or nothing', () => {
  const header = { v: 1, trace: 'softiommu', startedUs: 0, program: ['a'], machine: {} } as const;
  expect(lineOf(headerLine(header))).toMatchObject({ trace: 'softiommu' });
  expect(lineOf('{"walk":{"seq":1,"lines":["x"]}}')).toEqual({ walk: { seq: 1, lines: ['x'] } });
  for (const line of ['', '{', 'null', '7', '{"event":null}', '[]']) {
    expect(lineOf(line)).toBeUndefined();
  }
});
