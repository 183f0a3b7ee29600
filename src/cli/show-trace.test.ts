/** `softiommu trace` on files: every form of one trace, and what is no trace. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { afterAll, describe, expect, test } from 'vitest';
import type { Stamped } from '../base/events.ts';
import { WHOLE_TRACE, type TraceChoice, type TraceForm } from '../insight/trace/choice.ts';
import { eventLine, headerLine } from '../insight/trace/format.ts';
import { must } from '../testing/base/must.ts';
import { MAPPED, TracedGuest } from '../testing/machine/traced-guest.ts';
import { showTrace } from './show-trace.ts';

const folder = mkdtempSync(join(tmpdir(), 'show-trace-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
let count = 0;
const fresh = (): string => join(folder, `t${count++}`);

const FIRST = headerLine({
  ...{ v: 1, trace: 'softiommu', startedUs: 1_700_000_000_000_000, program: ['./edu', '-v'] },
  machine: { devices: [] },
});
/** A mapping, a DMA through it, one beside it, and the end of the mapping; as a run has it, its caller named once. */
function heard(): Stamped[] {
  const guest = new TracedGuest();
  guest.dma(MAPPED + 0x1000n);
  guest.dma(0x90_0000n);
  must(guest.unmap(guest.mappings, { iova: MAPPED, size: 0x2000n }).rc);
  const first = guest.heard.findIndex(({ event }) => event.kind === 'enter');
  return guest.heard.map((each, n) => (n === first ? { ...each, comm: 'edu' } : each));
}
const HEARD = heard();
const LINES = HEARD.map(eventLine);
function file(...lines: readonly string[]): string {
  const name = fresh();
  writeFileSync(name, lines.join('\n'));
  return name;
}
const TRACE = file(FIRST, ...LINES, '');

async function shown(
  form: TraceForm,
  choice: Partial<TraceChoice> = {},
  from = TRACE,
): Promise<Buffer> {
  const output = fresh();
  await showTrace({ file: from, form, output, choice: { ...WHOLE_TRACE, ...choice } });
  return readFileSync(output);
}
const lines = async (...args: Parameters<typeof shown>): Promise<string[]> =>
  (await shown(...args)).toString().trimEnd().split('\n');

test('a file of one endless line is no trace, whatever its size', async () => {
  const name = fresh();
  writeFileSync(name, '');
  truncateSync(name, 600 * 2 ** 20);
  await expect(shown('text', {}, name)).rejects.toThrow(
    /^a line of .* is longer than 67108864 bytes: it is no trace of softiommu$/,
  );
});
test('as JSON it is what it was', async () => {
  const again = await lines('json');
  expect(again.map((line) => JSON.parse(line) as unknown)).toEqual(
    [FIRST, ...LINES].map((line) => JSON.parse(line) as unknown),
  );
});
test('a part of it is a trace again', async () => {
  const part = file(...(await lines('json', { expressions: ['%dma'] })), '');
  expect(await lines('text', {}, part)).toEqual(await lines('text', { expressions: ['%dma'] }));
});
test('a pipe is read as a file is', async () => {
  const pipe = fresh();
  execFileSync('mkfifo', [pipe]);
  const fed = import('node:fs/promises').then((fs) => fs.writeFile(pipe, readFileSync(TRACE)));
  expect(await lines('text', {}, pipe)).toEqual(await lines('text'));
  await fed;
});

describe('what is no trace, or only a part of one', () => {
  const cut = LINES[0]!.slice(0, 30);
  test.for<[string, () => string, string]>([
    [
      'a file that is not there',
      () => join(folder, 'none'),
      'cannot be read: there is no such file',
    ],
    ['a folder', () => folder, 'cannot be read: it is a directory'],
    ['an empty file', () => file(), 'no trace of softiommu'],
    [
      'a trace of a version to come',
      () => file(FIRST.replace('1', '9'), ''),
      'a trace of version 9',
    ],
    ['a trace that is cut off', () => file(FIRST, LINES[0]!, cut), ':3: the trace is cut off here'],
    ['a damaged line', () => file(FIRST, cut, LINES[0]!), ':2: the line is damaged: no JSON'],
  ])('%s', async ([, make, problem]) => {
    await expect(shown('text', {}, make())).rejects.toThrow(problem);
  });
  test('what stands before the damage is shown all the same', async () => {
    const output = fresh();
    const damaged = file(FIRST, ...LINES, cut);
    const request = { file: damaged, form: 'text', output, choice: WHOLE_TRACE } as const;
    await expect(showTrace(request)).rejects.toThrow('the trace is cut off here');
    expect(readFileSync(output, 'utf8').trimEnd().split('\n')).toEqual(await lines('text'));
  });
});
test.for<[string, Partial<TraceChoice>, TraceForm, string]>([
  [
    'an expression that cannot be understood',
    { expressions: ['foo'] },
    'text',
    "-e foo: column 1: there is no call, command or event 'foo'",
  ],
  [
    'a status twice',
    { expressions: ['status=failed'], status: 'failed' },
    'text',
    'which say the same',
  ],
  ['a table of what is no text', { summary: 'only' }, 'perfetto', '--as perfetto is none'],
])('%s is refused', async ([, choice, form, problem]) => {
  await expect(shown(form, choice)).rejects.toThrow(problem);
});
test('a file that is there is not overwritten', async () => {
  const output = file('mine');
  const request = { file: TRACE, form: 'text', output, choice: WHOLE_TRACE } as const;
  await expect(showTrace(request)).rejects.toThrow('cannot be made: it is there already');
  expect(readFileSync(output, 'utf8')).toBe('mine');
});

/** A field as it is on the wire: bytes, or a number. */
type Wire = Uint8Array | bigint;
/** By their numbers, in order. */
type Fields = ReadonlyMap<number, readonly Wire[]>;
function decoded(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Wire[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const value =
      type === WireType.LengthDelimited
        ? reader.bytes()
        : BigInt(type === WireType.Bit64 ? reader.fixed64() : reader.uint64());
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}
const inner = (fields: Fields, number: number): Fields | undefined => {
  const [bytes] = fields.get(number) ?? [];
  return bytes instanceof Uint8Array ? decoded(bytes) : undefined;
};
const num = (fields: Fields | undefined, number: number): bigint | undefined => {
  const [value] = fields?.get(number) ?? [];
  return typeof value === 'bigint' ? value : undefined;
};
const texts = (fields: Fields | undefined, number: number): string[] =>
  (fields?.get(number) ?? []).map((value) => Buffer.from(value as Uint8Array).toString());

// --- perfetto, field by field ---

async function packets(): Promise<Fields[]> {
  const trace = decoded(await shown('perfetto'));
  expect([...trace.keys()]).toEqual([1]);
  return trace.get(1)!.map((bytes) => decoded(bytes as Uint8Array));
}
const tracksOf = (all: readonly Fields[]) => all.flatMap((each) => inner(each, 60) ?? []);
const eventsOf = (all: readonly Fields[]) => all.flatMap((each) => inner(each, 11) ?? []);
const named = (all: readonly Fields[], name: string) =>
  eventsOf(all).filter((event) => texts(event, 23)[0] === name);

describe('the tracks of a Perfetto trace', () => {
  test('one sequence, whose state begins with the first packet; times do not go back', async () => {
    const all = await packets();
    expect(new Set(all.map((packet) => num(packet, 10)))).toEqual(new Set([1n]));
    expect(all.map((packet) => num(packet, 13))).toEqual([
      1n,
      ...all.slice(1).map(() => undefined),
    ]);
    const times = all.flatMap((packet) => num(packet, 8) ?? []);
    expect(times).toHaveLength(eventsOf(all).length);
    expect(times.every((time, n) => n === 0 || times[n - 1]! <= time)).toBe(true);
  });
  test('tracks: unique, declared before they are used, below each other', async () => {
    const all = await packets();
    const tracks = tracksOf(all);
    const uuids = tracks.map((track) => num(track, 1)!);
    expect(new Set(uuids).size).toBe(uuids.length);
    const known = new Set<bigint>();
    for (const packet of all) {
      const track = inner(packet, 60);
      const parent = num(track, 5);
      if (parent !== undefined) expect(known).toContain(parent);
      if (track) known.add(num(track, 1)!);
      const event = inner(packet, 11);
      if (event) expect(known).toContain(num(event, 11));
    }
    const process = tracks.flatMap((track) => inner(track, 3) ?? [])[0];
    expect([num(process, 1), texts(process, 2), texts(process, 6)]).toEqual([
      1000n,
      ['./edu', '-v'],
      ['edu'],
    ]);
    const thread = tracks.flatMap((track) => inner(track, 4) ?? [])[0];
    expect([num(thread, 1), num(thread, 2), texts(thread, 5)]).toEqual([1000n, 1000n, ['edu']]);
    const names = tracks.flatMap((track) => texts(track, 2));
    expect(names).toEqual(
      expect.arrayContaining(['machine', 'IOMMU dmar0', 'device 0000:00:04.0']),
    );
    expect(tracks.flatMap((track) => inner(track, 8) ?? []).map((c) => num(c, 3))).toContain(3n);
  });
});

describe('what is on them', () => {
  test('calls are slices that end, with what they were asked and what came of it', async () => {
    const all = await packets();
    const begins = eventsOf(all).filter((event) => num(event, 9) === 1n);
    const ends = eventsOf(all).filter((event) => num(event, 9) === 2n);
    const calls = HEARD.filter(({ event }) => event.kind === 'enter' && event.what === 'syscall');
    expect([begins.length, ends.length]).toEqual([calls.length, calls.length]);
    const [map] = named(all, 'VFIO_IOMMU_MAP_DMA');
    expect(texts(map, 22)).toEqual(['syscall']);
    const values = map!.get(4)!.map((bytes) => decoded(bytes as Uint8Array));
    const value = (name: string) => values.find((each) => texts(each, 10)[0] === name);
    expect(num(value('iova'), 7)).toBe(MAPPED);
    expect(texts(value('flags'), 6)).toEqual(['VFIO_DMA_MAP_FLAG_READ|VFIO_DMA_MAP_FLAG_WRITE']);
    expect(num(value('fd'), 3)).toBeGreaterThan(2n);
  });
  test('arrows: from a mapping over its DMA to its end, and from a DMA to its fault', async () => {
    const all = await packets();
    const map = named(all, 'map').find((event) => event.has(47))!;
    const [id] = map.get(47)!;
    const [through, beside] = named(all, 'DMA write');
    expect(through!.get(47)).toEqual([id]);
    const unmap = named(all, 'unmap').at(-1)!;
    expect(unmap.get(48)).toEqual([id]);
    const [fault] = named(all, 'fault');
    expect(beside!.get(47)).toHaveLength(1);
    expect(fault!.get(48)).toEqual(beside!.get(47));
    expect([map, through!, beside!, fault!, unmap].map((event) => num(event, 9))).toEqual(
      Array<bigint>(5).fill(3n),
    );
    const order = eventsOf(all).map((event) => texts(event, 23)[0]);
    expect(order.indexOf('fault')).toBeGreaterThan(order.lastIndexOf('DMA write'));
  });
  test.each<[RegExp, bigint, readonly bigint[]]>([
    [/^mapped by paging#\d+$/, 3n, [0x2000n, 0n]],
    [/^mappings of paging#\d+$/, 2n, [1n, 0n]],
    [/^mapped in container \(process 1000, fd \d+\)$/, 3n, [0x2000n, 0n]],
  ])('the counter %s', async (name, unit, values) => {
    const all = await packets();
    const track = tracksOf(all).find((each) => name.test(texts(each, 2)[0] ?? ''));
    expect(num(inner(track!, 8), 3)).toBe(unit);
    const counted = eventsOf(all).filter((event) => num(event, 11) === num(track, 1));
    expect(counted.map((event) => [num(event, 9), num(event, 30)])).toEqual(
      values.map((value) => [4n, value]),
    );
  });
});
