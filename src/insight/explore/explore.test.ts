/** What is read from the trace of a run, what is tried then, and what counts as a finding. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseReference } from '../explain/reference.ts';
import { judge, keyOf, unsteady, type EndedRun } from './judge.ts';
import { lawfulErrnos } from './lawful.ts';
import { recordOf, type RunRecord } from './run-record.ts';
import { trialsOf } from './trials.ts';

const enter = (call: number, name: string, command?: string) =>
  JSON.stringify({ seq: call, call, event: { kind: 'enter', what: 'syscall', name, command } });
const gone = (call: number, kind: string) =>
  JSON.stringify({ call, event: { kind: 'object-gone', object: { kind, id: '1' } } });
const TRACE = [
  '{"trace":"softiommu"}',
  enter(0, 'openat'),
  enter(1, 'ioctl', 'IOMMU_IOAS_ALLOC'),
  enter(2, 'ioctl', 'IOMMU_IOAS_ALLOC'),
  enter(3, 'ioctl', '0x3bff'),
  JSON.stringify({ event: { kind: 'dma', device: { id: '0000:00:04.0' } } }),
  JSON.stringify({ event: { kind: 'interrupt', device: { id: '0000:00:04.0' } } }),
  JSON.stringify({ event: { kind: 'fault', device: { id: '0000:00:04.0' } } }),
  enter(4, 'ioctl', 'IOMMU_DESTROY'),
  gone(4, 'IOAS'),
  enter(5, 'close'),
  gone(5, 'IOAS'),
  gone(5, 'iommufd'),
  '{"seq":9,"call":5,"ev',
];

test('a record has the calls by name and number, what a close took, devices and faults', () => {
  expect(recordOf(TRACE)).toEqual({
    calls: [
      { name: 'openat', nth: 1 },
      { name: 'IOMMU_IOAS_ALLOC', nth: 1 },
      { name: 'IOMMU_IOAS_ALLOC', nth: 2 },
      { name: 'ioctl', nth: 1 },
      { name: 'IOMMU_DESTROY', nth: 1 },
    ],
    left: ['IOAS'],
    faults: 1,
    devices: new Map([['0000:00:04.0', { dma: true, interrupts: true }]]),
  });
});

/** As the refusals are. */
const lawful = lawfulErrnos(parseReference(readFileSync('docs/errno.md', 'utf8')));

describe('trials', () => {
  const record = recordOf(TRACE);
  test('are every lawful failure of every call, then those of the devices', () => {
    expect(
      trialsOf(record, { kinds: ['calls', 'devices'], lawful }).map(({ expression }) => expression),
    ).toEqual([
      'inject=openat:error=ENODEV:per=run:when=1',
      'inject=openat:error=EINTR:per=run:when=1',
      'inject=IOMMU_IOAS_ALLOC:error=ENOMEM:per=run:when=1',
      'inject=IOMMU_IOAS_ALLOC:error=ENOMEM:per=run:when=2',
      'inject=IOMMU_DESTROY:error=EBUSY:per=run:when=1',
      'device=0000:00:04.0:drop:when=1',
      'device=0000:00:04.0:unplug:when=1',
      'device=0000:00:04.0:irq-drop:when=1',
      'device=0000:00:04.0:irq-delay=20ms:when=1',
      'device=0000:00:04.0:irq-duplicate:when=1',
    ]);
  });
  test('may begin behind a call', () => {
    expect(trialsOf(record, { kinds: ['calls'], lawful }, 2).map(({ place }) => place)).toEqual([
      2, 4,
    ]);
  });
  test('an unmap may also remove nothing and say so', () => {
    const calls = [{ name: 'VFIO_IOMMU_UNMAP_DMA', nth: 1 }];
    expect(trialsOf({ ...record, calls }, { kinds: ['calls'], lawful }).at(-1)?.expression).toBe(
      'inject=VFIO_IOMMU_UNMAP_DMA:retval=0:field=size=0:per=run:when=1',
    );
  });
});

describe('a run is held against the undisturbed one', () => {
  const empty: RunRecord = { calls: [], left: [], faults: 0, devices: new Map() };
  const well: EndedRun = {
    ...{ status: 0, signal: undefined, hung: false, check: undefined },
    ...{ record: empty, sanitizer: [] },
  };
  const leaving = (...left: string[]): RunRecord => ({ ...empty, left });
  test.each<[string, Partial<EndedRun>, string | undefined]>([
    ['the same', {}, undefined],
    ['another status', { status: 1 }, undefined],
    ['a signal', { signal: 'SIGABRT', status: undefined }, 'crash: it ends by SIGABRT'],
    ['no end', { hung: true, status: undefined }, 'hang: it does not end'],
    ['a check that is content', { check: 0 }, undefined],
    ['a check that is not', { check: 3 }, 'check: the check ends with 3'],
    ['DMA to nowhere', { record: { ...empty, faults: 1 } }, 'fault: a device is let loose'],
    [
      'a finding of the sanitizer',
      { sanitizer: ['failed-map-used'] },
      'sanitizer: the DMA sanitizer finds failed-map-used',
    ],
    ['something left', { record: leaving('IOAS', 'IOAS') }, 'left: it leaves behind IOAS'],
    ['something left by one that gives up', { status: 1, record: leaving('IOAS') }, undefined],
  ])('%s', (_name, now, expected) => {
    const finding = judge(well, { ...well, ...now }, ['x']);
    const said = finding && `${finding.kind}: ${finding.text}`;
    if (expected === undefined) expect(said).toBeUndefined();
    else expect(said).toContain(expected);
  });
  test('what the sanitizer finds undisturbed is no finding', () => {
    const base = { ...well, sanitizer: ['rights-differ'] };
    expect(judge(base, base, [])).toBeUndefined();
    const more = judge(base, { ...base, sanitizer: ['rights-differ', 'unmap-short'] }, []);
    expect(more?.text).toBe('the DMA sanitizer finds unmap-short');
  });
  test('what it leaves undisturbed is no finding', () => {
    const base = { ...well, record: leaving('IOAS') };
    expect(judge(base, { ...well, record: leaving('IOAS') }, [])).toBeUndefined();
    expect(judge(base, { ...well, record: leaving('HWPT', 'IOAS') }, [])?.text).toContain('HWPT');
  });
  test('findings are the same when kind, text and what failed are', () => {
    const crash = (target: string) => judge(well, { ...well, signal: 'SIGABRT' }, [target])!;
    expect(keyOf(crash('a'))).toBe(keyOf(crash('a')));
    expect(keyOf(crash('a'))).not.toBe(keyOf(crash('b')));
  });
  test('two undisturbed runs may not differ', () => {
    const calls = [{ name: 'openat', nth: 1 }];
    expect(unsteady(well, well)).toBeUndefined();
    expect(unsteady(well, { ...well, status: 1 })).toBe('how it ends');
    expect(unsteady(well, { ...well, record: { ...empty, calls } })).toBe('the calls it makes');
  });
});
