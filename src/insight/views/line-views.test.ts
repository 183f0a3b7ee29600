/** Views that others' tools read, and times: byte for byte. */
import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../base/errno.ts';
import type { CallInfo, Stamped, TraceEvent } from '../../base/events.ts';
import { must } from '../../testing/base/must.ts';
import { MAPPED, TracedGuest } from '../../testing/machine/traced-guest.ts';
import { WHOLE_TRACE, type LineForm, type TraceChoice } from '../trace/choice.ts';
import type { TraceHeader } from '../trace/format.ts';
import { chosenView } from './chosen-view.ts';
import { summaryView } from './summary.ts';

const HEADER: TraceHeader = {
  ...{ v: 1, trace: 'softiommu', startedUs: 1_700_000_000_000_005, program: [] },
  machine: {
    devices: [
      { type: 'edu', at: '0000:00:04.0' },
      {
        type: 'root-port',
        at: '0000:00:02.0',
        driver: 'pcieport',
        devices: [{ at: '0000:01:00.0', driver: 'none' }],
      },
    ],
  },
};
const device = { kind: 'device', id: '0000:00:04.0', born: undefined };
const behind = { ...device, id: '0000:01:00.0' };
const domain = { kind: 'domain', id: 'paging#4', born: undefined };
const call: CallInfo = {
  what: 'syscall',
  pid: 437,
  tid: 440,
  name: 'ioctl',
  fd: 3,
  file: '/dev/iommu',
  command: 'IOMMU_IOAS_MAP',
};
const open: CallInfo = { what: 'syscall', pid: 437, name: 'openat', file: '/x' };
const fault = {
  kind: 'fault',
  unit: 'dmar0',
  iova: 0x90_0000n,
  code: 0x71,
  reason: 'r',
  text: 't',
} as const;

type Told = readonly [timeUs: number, event: TraceEvent, more?: Partial<Stamped>];
function shown(form: LineForm, told: readonly Told[], choice: Partial<TraceChoice> = {}): string[] {
  const lines: string[] = [];
  const print = (line: string): void => void lines.push(...line.split('\n'));
  const view = chosenView(form, { ...WHOLE_TRACE, ...choice }, {}, { print, header: HEADER });
  for (const [seq, [us, event, more]] of told.entries()) {
    view.take({ seq, timeNs: us * 1000, ...more, event });
  }
  view.flush();
  return lines;
}

const STORY: readonly Told[] = [
  [1_000_000, { kind: 'life', what: 'group-add', who: device, detail: '3' }],
  [1_000_001, { kind: 'enter', ...call }, { call: 1, comm: 'a-very-long-name-of-a-program' }],
  [
    1_000_001,
    { kind: 'driver', op: 'test_dev', driver: 'intel', device, result: undefined },
    { call: 1 },
  ],
  [
    1_000_001,
    { kind: 'driver', op: 'attach_dev', driver: 'intel', device, result: undefined },
    { call: 1 },
  ],
  [
    1_000_001,
    { kind: 'driver', op: 'attach_dev', driver: 'intel', device, result: EINVAL },
    { call: 1 },
  ],
  [
    1_000_002,
    { kind: 'map', domain, iova: 0x10_0000n, pa: 0x40_0b80_e000n, length: 0x2000n },
    { call: 1 },
  ],
  [1_000_030, { kind: 'leave', ...call, result: 0, refusals: [] }, { call: 1 }],
  [1_000_031, { kind: 'log', level: 'err', text: 'DMAR: [DMA Write NO_PASID] …' }],
  [1_000_032, { ...fault, device, write: true }],
  [1_000_033, { ...fault, device: behind, write: false }],
  [123_456_000_034, { kind: 'life', what: 'device-bind', who: device, detail: 'uio' }],
  [123_456_000_035, { ...fault, device, write: true }],
  [123_456_000_036, { kind: 'warn', id: 'w', text: 'odd' }],
  [123_456_000_037, { kind: 'unmap', domain, iova: 0x10_0000n, length: 0x1000n, asked: 0x2000n }],
  [123_456_000_038, { kind: 'life', what: 'group-remove', who: device, detail: '3' }],
];

test('ftrace: the head, and the events of group iommu', () => {
  expect(shown('ftrace', STORY)).toEqual([
    '# tracer: nop',
    '#',
    '# entries-in-buffer/entries-written: 8/8   #P:1',
    '#',
    '#                                _-----=> irqs-off/BH-disabled',
    '#                               / _----=> need-resched',
    '#                              | / _---=> hardirq/softirq',
    '#                              || / _--=> preempt-depth',
    '#                              ||| / _-=> migrate-disable',
    '#                              |||| /     delay',
    '#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION',
    '#              | |         |   |||||     |         |',
    '          <idle>-0       [000] .....     1.000000: add_device_to_group: IOMMU: groupID=3 device=0000:00:04.0',
    ' a-very-long-nam-440     [000] .....     1.000001: attach_device_to_domain: IOMMU: device=0000:00:04.0',
    ' a-very-long-nam-440     [000] .....     1.000002: map: IOMMU: iova=0x0000000000100000 - 0x0000000000102000 paddr=0x000000400b80e000 size=8192',
    '          <idle>-0       [000] .....     1.000032: io_page_fault: IOMMU:vfio-pci 0000:00:04.0 iova=0x0000000000900000 flags=0x0001',
    '          <idle>-0       [000] .....     1.000033: io_page_fault: IOMMU:none 0000:01:00.0 iova=0x0000000000900000 flags=0x0000',
    '          <idle>-0       [000] ..... 123456.000035: io_page_fault: IOMMU:uio 0000:00:04.0 iova=0x0000000000900000 flags=0x0001',
    '          <idle>-0       [000] ..... 123456.000037: unmap: IOMMU: iova=0x0000000000100000 - 0x0000000000102000 size=8192 unmapped_size=4096',
    '          <idle>-0       [000] ..... 123456.000038: remove_device_from_group: IOMMU: groupID=3 device=0000:00:04.0',
  ]);
});
test('a process nobody has named is <...>', () => {
  const told: readonly Told[] = [
    [1, { kind: 'enter', ...call }, { call: 0 }],
    [1, { kind: 'map', domain, iova: 0n, pa: 0n, length: 1n }, { call: 0 }],
  ];
  expect(shown('ftrace', told).at(-1)).toMatch(
    /^ {11}<\.\.\.>-440 {5}\[000\] \.{5} {5}0\.000001: map: IOMMU: /,
  );
});
test('dmesg: the log and the warnings, with seconds and microseconds', () => {
  expect(shown('dmesg', STORY)).toEqual([
    '[    1.000031] DMAR: [DMA Write NO_PASID] …',
    '[123456.000036] WARNING: w: odd',
  ]);
});
test('the line of a fault of a unit of Intel, as the kernel writes it', () => {
  const guest = new TracedGuest();
  guest.dma(0x90_0000n);
  must(guest.unmap(guest.mappings, { iova: MAPPED, size: 0x2000n }).rc);
  const told = guest.heard.map((stamped): Told => [0, stamped.event, stamped]);
  expect(shown('dmesg', told)).toEqual([
    expect.stringMatching(
      /^\[ {4}0\.\d{6}\] DMAR: \[DMA Write NO_PASID\] Request device \[00:04\.0\] fault addr 0x900000 \[fault reason 0x71\] /,
    ),
  ]);
});

const TIMED: readonly Told[] = [
  [0, { kind: 'enter', ...call }, { call: 0, hostNs: 10_000 }],
  [0, { kind: 'map', domain, iova: 0n, length: 1n }, { call: 0, hostNs: 12_000 }],
  [0, { kind: 'leave', ...call, result: 0, refusals: [] }, { call: 0, hostNs: 22_400 }],
  [0, { kind: 'warn', id: 'w', text: 't' }, { hostNs: 2_000_022_000 }],
];
describe('times', () => {
  test.for<[TraceChoice['times'], readonly string[]]>([
    ['epoch', ['1700000000.000015', '1700000000.000017', '1700000002.000027']],
    ['relative', ['    0.000000', '    0.000002', '    2.000010']],
  ])('%s', ([times, prefixes]) => {
    const lines = shown('text', TIMED, { times: times! });
    expect(lines.map((line) => /^ *[\d.]+/.exec(line)?.[0])).toEqual(prefixes);
  });
  test('of day, wherever that is', () => {
    const date = new Date(1_700_000_000_000);
    const day = [date.getHours(), date.getMinutes()]
      .map((n) => String(n).padStart(2, '0'))
      .join(':');
    expect(shown('text', TIMED, { times: 'time' })[0]).toMatch(new RegExp(`^${day}:20 \\[pid`));
    expect(shown('text', TIMED, { times: 'micros' })[0]).toMatch(
      new RegExp(`^${day}:20.000015 \\[pid`),
    );
  });
  test('that calls took', () => {
    const [first, second] = shown('text', TIMED, { spent: true });
    expect(first).toMatch(/ = 0 <0\.000012>$/);
    expect(second).toBe('    paging#4: map 0x0 +0x1');
  });
});

test('the same again and again is shown once, and how often it was', () => {
  const again = (n: number): Told[] => [
    [n, { kind: 'enter', ...open }, { call: n }],
    [n, { kind: 'warn', id: 'w', text: 't' }, { call: n }],
    [n, { kind: 'leave', ...open, result: 3, refusals: [] }, { call: n }],
  ];
  const told = [...Array.from({ length: 500 }, (_, n) => again(n)).flat(), STORY[0]!];
  const block = ['[pid   437] openat(AT_FDCWD, "/x") = 3</x>', '  ! WARNING w: t'];
  expect(shown('text', told)).toEqual([...block, '  x 500', '  - group-add 0000:00:04.0 (3)']);
  expect(shown('text', told.slice(0, 6))).toEqual([...block, '  x 2']);
  expect(shown('text', told.slice(0, 6), { times: 'epoch' })).toHaveLength(4);
});

describe('a summary', () => {
  const told: readonly Told[] = [
    ...TIMED,
    [0, { kind: 'enter', ...open }, { call: 4, hostNs: 30_000 }],
    [0, { kind: 'leave', ...open, result: EINVAL, refusals: [] }, { call: 4, hostNs: 67_600 }],
    [0, { kind: 'enter', ...call }, { call: 6, hostNs: 70_000 }],
    [0, { kind: 'leave', ...call, result: 0, refusals: [] }, { call: 6, hostNs: 71_000 }],
    [0, { kind: 'enter', what: 'turn', name: 'timer' }, { call: 8 }],
    [0, { kind: 'leave', what: 'turn', name: 'timer', result: 0, refusals: [] }, { call: 8 }],
  ];
  const OPENED = ' 73.73    0.000038          37         1         1 openat';
  const MAPPING = ' 26.27    0.000013           6         2           IOMMU_IOAS_MAP';
  const RULE = '------ ----------- ----------- --------- --------- ----------------';
  const table = (...rows: string[]): string[] => [
    '% time     seconds  usecs/call     calls    errors syscall',
    RULE,
    ...rows,
    RULE,
    '100.00    0.000051          17         3         1 total',
  ];
  test.for<[TraceChoice['sortBy'], readonly string[]]>([
    ['time', [OPENED, MAPPING]],
    ['calls', [MAPPING, OPENED]],
    ['errors', [OPENED, MAPPING]],
    ['name', [MAPPING, OPENED]],
  ])('by %s', ([sortBy, rows]) => {
    expect(shown('text', told, { summary: 'only', sortBy })).toEqual(table(...rows));
  });
  test('of a call that slept: until it fell asleep, or with -w until its answer', () => {
    const why = { rule: 'r', facts: {} };
    const slept: readonly Told[] = [
      [0, { kind: 'enter', ...open }, { call: 0, hostNs: 0 }],
      [0, { kind: 'sleep', ...open, why }, { call: 0, hostNs: 5_000 }],
      [0, { kind: 'leave', ...open, result: 3, refusals: [] }, { call: 0, hostNs: 9_000_000 }],
    ];
    const seconds = (wallClock: boolean) =>
      /[\d.]+ +([\d.]+)/.exec(shown('text', slept, { summary: 'only', wallClock })[2]!)?.[1];
    expect([seconds(false), seconds(true)]).toEqual(['0.000005', '0.009000']);
  });
  test('below the trace', () => {
    const lines = shown('text', told, { summary: 'too' });
    expect(lines[0]).toMatch(/^\[pid/);
    expect(lines.slice(-6)).toEqual(table(OPENED, MAPPING));
  });
  test('of nothing', () => {
    const lines: string[] = [];
    summaryView((line) => lines.push(line), 'time').flush();
    expect(lines).toEqual([
      ...table().slice(0, 3),
      '  0.00    0.000000           0         0           total',
    ]);
  });
});
