/** A program's trace as a story: the way from a mapping to what devices did through it, to its end. */
import { describe, expect, test } from 'vitest';
import type { Stamped, TraceEvent } from '../../base/events.ts';
import { Client, EDU, machineOf } from '../../testing/machine/client.ts';
import { must } from '../../testing/base/must.ts';
import * as uapi from '../../uapi/vfio.ts';
import { Story } from './story.ts';
import { sliceAt, tracksOf } from './tracks.ts';
import { waysOf } from './ways.ts';

const CONFIG = 7n << 40n;
const MAPPED = 0x10_0000n;

/** Maps four pages, has the device write into them and behind them, unmaps, and has it write once more. */
function told(): Story {
  const story = new Story();
  const program = new Client(machineOf('default'));
  program.machine.env.trace.listen(story.take);
  const { c, d } = program.device(uapi.VFIO_TYPE1v2_IOMMU, EDU);
  must(program.map(c, { vaddr: program.memory(0x4000), iova: MAPPED, size: 0x4000n }));
  must(program.pwrite(d, CONFIG + 4n, Uint8Array.of(6, 0)));
  const { dma } = program.machine.pci.device(EDU)!.slot;
  const outcomes = [MAPPED + 8n, MAPPED + 0x4000n].map((iova) =>
    dma.write(iova, new Uint8Array(4)),
  );
  must(program.unmap(c, { iova: MAPPED, size: 0x4000n }).rc);
  outcomes.push(dma.write(MAPPED, new Uint8Array(4)));
  expect(outcomes.map((outcome) => outcome === undefined)).toEqual([true, false, false]);
  return story;
}

function kinds(story: Story, kind: TraceEvent['kind']): Stamped[] {
  return story.events.filter(({ event }) => event.kind === kind);
}

describe('a program that maps, and whose device goes beyond', () => {
  const story = told();
  const [through, behind, after] = kinds(story, 'dma').map(({ seq }) => story.dmas.get(seq)!);
  const domain = through!.domain!;

  test('a transfer went through the mapping, which knows of it', () => {
    const { mapping } = through!;
    expect(mapping).toMatchObject({ iova: MAPPED, last: MAPPED + 0x3fffn, dmas: [through!.seq] });
    expect(story.event(mapping!.from)?.event.kind).toBe('map');
    expect(story.event(mapping!.to!)?.event.kind).toBe('unmap');
    expect([...domain.devices]).toEqual([EDU]);
  });
  test.each([
    ['behind the mapping', () => behind!],
    ['after its end', () => after!],
  ])('one %s has none, but a fault', (_what, dma) => {
    expect(dma()).toMatchObject({ domain, mapping: undefined });
    expect(story.event(dma().fault!)?.event).toMatchObject({ kind: 'fault', device: { id: EDU } });
  });
  test('the mapping came to be in a call, which is its cause', () => {
    const map = story.event(through!.mapping!.from)!;
    const [cause] = story.causesOf(map);
    expect(cause?.event).toMatchObject({ kind: 'enter', command: 'VFIO_IOMMU_MAP_DMA' });
    const call = story.calls.get(map.call!)!;
    expect(call.inside).toContain(map.seq);
    expect(call.leave?.event.result).toBe(0);
  });
});

describe('the ways of it', () => {
  const story = told();
  const [through, behind, after] = kinds(story, 'dma').map(({ seq }) => story.dmas.get(seq)!);

  test.each([
    ['one that went through: from its mapping', () => through!, ['map dma']],
    ['one behind the mapping: to its fault', () => behind!, ['dma fault']],
    [
      'one after its end: from what was there',
      () => after!,
      ['map unmap', 'unmap dma', 'dma fault'],
    ],
  ])('of %s', (_what, dma, expected) => {
    const kindsOf = (seq: number): string[] =>
      waysOf(story, seq).map(({ from, to }) =>
        [from, to].map((each) => story.event(each)!.event.kind).join(' '),
      );
    expect(kindsOf(dma().seq)).toEqual(expected);
    const { fault } = dma();
    if (fault !== undefined) expect(kindsOf(fault)).toEqual(expected);
  });
  test('of a mapping: the call that made it, what went through, its end', () => {
    const { from, to } = through!.mapping!;
    expect(waysOf(story, from)).toEqual([
      { from: story.event(from)!.cause, to: from },
      { from, to: through!.seq },
      { from, to },
    ]);
  });
});

test('every event stands on one track, with its end and whether it went well', () => {
  const tracks = tracksOf(told());

  expect(tracks.map(({ name }) => name.replace(/\d+$/, 'N'))).toEqual([
    'process N',
    'domains',
    'unit dmarN',
    'device 0000:00:04.N',
    'kernel log',
  ]);
  const slices = tracks.flatMap(({ slices: all }) => all);
  expect(new Set(slices.map(({ seq }) => seq)).size).toBe(slices.length);
  const bad = slices.filter(({ isBad }) => isBad).map(({ kind }) => kind);
  expect(bad.sort()).toEqual(['dma', 'dma', 'fault', 'fault']);
});

test('a slice is found at its moment, and near it', () => {
  const slice = (begin: number, end: number) =>
    ({ seq: begin, kind: 'enter', begin, end, isBad: false }) as const;
  const track = { name: 'process 1', slices: [slice(10, 20), slice(30, 30), slice(40, 90)] };
  const at = (ns: number, within = 0): number | undefined => sliceAt(track, ns, within)?.seq;
  expect([at(5), at(10), at(15), at(25), at(30), at(60), at(95)]).toEqual([
    ...[undefined, 10, 10, undefined, 30, 40, undefined],
  ]);
  expect([at(8, 3), at(28, 3), at(93, 3)]).toEqual([10, 30, 40]);
});
