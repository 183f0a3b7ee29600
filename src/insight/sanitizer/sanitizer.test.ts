/** What the sanitizer finds in a machine of the library: no program of the host, so no places. */
import { describe, expect, test } from 'vitest';
import type { TraceEvent } from '../../base/events.ts';
import { EFAULT } from '../../base/errno.ts';
import { done, must } from '../../testing/base/must.ts';
import { Client, EDU, machineOf } from '../../testing/machine/client.ts';
import * as uapi from '../../uapi/vfio.ts';
import { ALL_FINDINGS, DEFAULT_FINDINGS, type Finding, type FindingKind } from './finding.ts';
import { TOLD_BY_FAULT } from '../explain/journal.ts';
import { earlierSite, type CallSite } from '../sites/call-site.ts';
import { findingLines } from './report.ts';
import { DmaSanitizer } from './sanitizer.ts';

const IOVA = 0x10_0000n;
const PAGE = 0x1000n;
const READ = uapi.VFIO_DMA_MAP_FLAG_READ;
const WRITE = uapi.VFIO_DMA_MAP_FLAG_WRITE;

/**
 * What is built for it: what it has chosen, and what is mapped it asks of the tables; or all, because somebody else listens to
 * everything, and it follows what is mapped from the start. The second is the oracle of the first.
 */
type Heard = 'its choice' | 'everything';
/** A program with a device, whose DMA is asked for as a model does. */
class Sanitized extends Client {
  readonly findings: Finding[] = [];
  readonly c: number;
  constructor(heard: Heard = 'its choice', kinds: readonly FindingKind[] = ALL_FINDINGS) {
    super(machineOf('default'));
    const { trace } = this.machine.env;
    const sanitizer = new DmaSanitizer({
      kinds: new Set(kinds),
      sites: undefined,
      ...(heard === 'its choice' && { core: this.machine.core }),
      found: (finding) => this.findings.push(finding),
    });
    trace.listenTo(sanitizer.choice, sanitizer.take);
    if (heard === 'everything') trace.listen(() => undefined);
    const { c, d } = this.device(uapi.VFIO_TYPE1v2_IOMMU, EDU);
    this.c = c;
    must(this.pwrite(d, (7n << 40n) + 4n, Uint8Array.of(6, 0)));
  }
  mapped(iova: bigint, size: bigint, flags = READ | WRITE, vaddr = this.memory(Number(size))) {
    return this.map(this.c, { vaddr, iova, size, flags });
  }
  write(iova: bigint, length = 4): unknown {
    return this.machine.pci.device(EDU)!.slot.dma.write(iova, new Uint8Array(length));
  }
  read(iova: bigint): unknown {
    return this.machine.pci.device(EDU)!.slot.dma.read(iova, new Uint8Array(4));
  }
  get kinds(): string[] {
    return this.findings.map(({ kind, about }) => `${kind} ${about}`);
  }
}

const CASES: [string, (program: Sanitized) => unknown, string[]][] = [
  ['DMA to what is mapped', (p) => [p.mapped(IOVA, PAGE), p.write(IOVA), p.read(IOVA)], []],
  ['DMA to nothing', (p) => p.write(IOVA), ['dma-never-mapped on iova 0x100000']],
  [
    'DMA over the end of a mapping: the address behind it',
    (p) => [p.mapped(IOVA, PAGE), p.write(IOVA + PAGE - 2n)],
    ['dma-never-mapped on iova 0x101000'],
  ],
  [
    'DMA to what was unmapped',
    (p) => [p.mapped(IOVA, PAGE), p.unmap(p.c, { iova: IOVA, size: PAGE }), p.write(IOVA)],
    ['dma-after-unmap on iova 0x100000'],
  ],
  [
    'DMA to what was unmapped with all else',
    (p) => [
      p.mapped(IOVA, PAGE),
      p.unmap(p.c, { flags: uapi.VFIO_DMA_UNMAP_FLAG_ALL, iova: 0n, size: 0n }),
      p.write(IOVA),
    ],
    ['dma-after-unmap on iova 0x100000'],
  ],
  [
    'DMA to what was unmapped and mapped again',
    (p) => [
      p.mapped(IOVA, PAGE),
      p.unmap(p.c, { iova: IOVA, size: PAGE }),
      p.mapped(IOVA, PAGE),
      p.write(IOVA),
    ],
    [],
  ],
  [
    'a write to what is mapped for reading',
    (p) => [p.mapped(IOVA, PAGE, READ), p.read(IOVA), p.write(IOVA)],
    ['wrong-direction on iova 0x100000'],
  ],
  [
    'DMA to where a mapping failed',
    (p) => [p.mapped(IOVA, PAGE), p.mapped(IOVA, PAGE), p.write(IOVA)],
    ['failed-map-used on iova 0x100000'],
  ],
  [
    'DMA to where a mapping failed first and then was made',
    (p) => [p.mapped(IOVA, PAGE, READ, 0x666n << 12n), p.mapped(IOVA, PAGE), p.write(IOVA)],
    [],
  ],
  [
    'an unmap of nothing',
    (p) => p.unmap(p.c, { iova: IOVA, size: PAGE }),
    ['unmap-short of 0x100000 +0x1000'],
  ],
  [
    'an unmap with a hole in it',
    (p) => [
      p.mapped(IOVA, PAGE),
      p.mapped(IOVA + 2n * PAGE, PAGE),
      p.unmap(p.c, { iova: IOVA, size: 3n * PAGE }),
    ],
    [],
  ],
  [
    'an unmap of two mappings at once',
    (p) => [
      p.mapped(IOVA, PAGE),
      p.mapped(IOVA + PAGE, PAGE),
      p.unmap(p.c, { iova: IOVA, size: 2n * PAGE }),
    ],
    [],
  ],
  [
    'an unmap that is refused: its errno says so',
    (p) => p.unmap(p.c, { iova: IOVA + 1n, size: PAGE }).rc,
    [],
  ],
  [
    'one page with two rights',
    (p) => {
      const vaddr = p.memory(0x1000);
      return [p.mapped(IOVA, PAGE, READ, vaddr), p.mapped(2n * IOVA, PAGE, WRITE, vaddr)];
    },
    ['rights-differ of memory 0x'],
  ],
  [
    'one page twice with the same rights',
    (p) => {
      const vaddr = p.memory(0x1000);
      return [p.mapped(IOVA, PAGE, READ, vaddr), p.mapped(2n * IOVA, PAGE, READ, vaddr)];
    },
    [],
  ],
  [
    'a page of many with two rights: of the one it shares memory with',
    (p) => {
      const vaddr = p.memory(0x3000);
      for (const n of [0n, 1n, 2n]) must(p.mapped(IOVA + n * PAGE, PAGE, READ, vaddr + n * PAGE));
      return p.mapped(2n * IOVA, PAGE, WRITE, vaddr + PAGE);
    },
    ['rights-differ of memory 0x'],
  ],
  [
    'one page with other rights when the first mapping is gone',
    (p) => {
      const vaddr = p.memory(0x1000);
      must(p.mapped(IOVA, PAGE, READ, vaddr));
      must(p.unmap(p.c, { iova: IOVA, size: PAGE }).rc);
      return p.mapped(2n * IOVA, PAGE, WRITE, vaddr);
    },
    [],
  ],
  [
    'DMA over two mappings of memory in a row',
    (p) => {
      const vaddr = p.memory(0x2000);
      must(p.mapped(IOVA, PAGE, WRITE, vaddr));
      must(p.mapped(IOVA + PAGE, PAGE, WRITE, vaddr + PAGE));
      return p.write(IOVA + PAGE - 2n);
    },
    [],
  ],
  [
    'DMA over two mappings of other memory',
    (p) => {
      const vaddr = p.memory(0x3000);
      must(p.mapped(IOVA, PAGE, WRITE, vaddr));
      must(p.mapped(IOVA + PAGE, PAGE, WRITE, vaddr + 2n * PAGE));
      return p.write(IOVA + PAGE - 2n);
    },
    ['transfer-overruns on iova 0x101000'],
  ],
  [
    'memory that goes before its mapping, and DMA to what is left and to what went',
    (p) => {
      const lost = p.memory(0x1000);
      must(p.mapped(IOVA, PAGE));
      must(p.mapped(IOVA + PAGE, PAGE, WRITE, lost));
      done(p.program.munmap(lost, 0x1000));
      expect(p.write(IOVA + 16n)).toBeUndefined();
      return p.write(IOVA + PAGE + 16n);
    },
    ['memory-lost of 4096 byte(s) at iova 0x101000', 'lost-memory-used on iova 0x101010'],
  ],
  [
    'memory that went is forgotten with its mapping: the address is used again',
    (p) => {
      const vaddr = p.memory(0x1000);
      must(p.mapped(IOVA, PAGE, WRITE, vaddr));
      done(p.program.munmap(vaddr, 0x1000));
      must(p.unmap(p.c, { iova: IOVA, size: PAGE }).rc);
      must(p.mapped(IOVA, PAGE));
      return p.write(IOVA);
    },
    ['memory-lost of 4096 byte(s) at iova 0x100000'],
  ],
  [
    'memory that goes from mappings of before the first loss, after it, and from one that is used again',
    (p) => {
      const [first, later, again] = [p.memory(0x3000), p.memory(0x1000), p.memory(0x1000)];
      must(p.mapped(IOVA, 3n * PAGE, WRITE, first));
      must(p.mapped(2n * IOVA, PAGE, WRITE, p.memory(0x1000)));
      done(p.program.munmap(first, 0x3000));
      must(p.mapped(3n * IOVA, PAGE, WRITE, later));
      done(p.program.munmap(later, 0x1000));
      must(p.unmap(p.c, { iova: 2n * IOVA, size: PAGE }).rc);
      must(p.mapped(2n * IOVA, PAGE, WRITE, again));
      done(p.program.munmap(again, 0x1000));
      return p.write(2n * IOVA + 8n);
    },
    [
      'memory-lost of 12288 byte(s) at iova 0x100000',
      'memory-lost of 4096 byte(s) at iova 0x300000',
      'memory-lost of 4096 byte(s) at iova 0x200000',
      'lost-memory-used on iova 0x200008',
    ],
  ],
  [
    'memory that goes when nothing is mapped',
    (p) => p.program.munmap(p.memory(0x1000), 0x1000) ?? 'gone',
    [],
  ],
];

describe.each<Heard>(['its choice', 'everything'])('heard is %s', (heard) => {
  test.each(CASES)('%s', (_name, act, wanted) => {
    const program = new Sanitized(heard);
    const result = act(program);
    expect(result).not.toBe(program);
    expect(program.kinds.map((text, n) => text.slice(0, wanted[n]?.length))).toEqual(wanted);
  });
});
test.each<[FindingKind[], 'whole' | 'end']>([
  [[], 'end'],
  [['leak'], 'whole'],
])('of %j the %s of calls is heard that it looks at, and of no others', (kinds, how) => {
  const { trace } = new Client(machineOf('default')).machine.env;
  const parts = { kinds: new Set(kinds), sites: undefined, found: () => undefined };
  const { choice, take } = new DmaSanitizer(parts);
  using _ = trace.listenTo(choice, take);
  const requests = [uapi.VFIO_IOMMU_MAP_DMA, uapi.VFIO_GROUP_GET_STATUS];
  expect(requests.map((request) => trace.hearsCall('ioctl', request))).toEqual([how, undefined]);
  expect(['close', 'read'].map((name) => trace.hearsCall(name, undefined))).toEqual([
    ...[how, undefined],
  ]);
  expect(trace.on).toBe(false);
});
test('defaults find the same by the ends of calls alone', () => {
  const found: string[][] = [];
  for (const kinds of [DEFAULT_FINDINGS, ALL_FINDINGS]) {
    const program = new Sanitized('its choice', kinds);
    must(program.mapped(IOVA, PAGE, READ));
    program.write(IOVA);
    program.unmap(program.c, { iova: IOVA, size: PAGE });
    program.unmap(program.c, { iova: IOVA, size: PAGE });
    program.read(IOVA);
    found.push(program.kinds);
  }
  expect(found[0]).toEqual([
    'wrong-direction on iova 0x100000',
    'unmap-short of 0x100000 +0x1000',
    'dma-after-unmap on iova 0x100000',
  ]);
  expect(found[0]).toEqual(found[1]);
});
/** Calls of an iommufd, as they are told. */
function told(...calls: [command: string, args: Readonly<Record<string, unknown>>][]): string[] {
  const kinds: string[] = [];
  const { take } = new DmaSanitizer({
    kinds: new Set(ALL_FINDINGS),
    sites: undefined,
    found: ({ kind }) => kinds.push(kind),
  });
  const call = { kind: 'leave', what: 'syscall', name: 'ioctl', file: '/dev/iommu' } as const;
  for (const [command, args] of calls) {
    const event = { ...call, pid: 7, command, args, after: args, result: 0, refusals: [] };
    take({ seq: 1, timeNs: 0, event });
  }
  take({
    ...{ seq: 2, timeNs: 0 },
    event: { ...call, name: 'close', result: 0, refusals: [] },
  });
  return kinds;
}
const FIXED = 'IOMMU_IOAS_MAP_FIXED_IOVA|IOMMU_IOAS_MAP_READABLE';
const MAPPED = { flags: FIXED, ioas_id: 1, user_va: PAGE, length: PAGE, iova: IOVA };
const copied = (rights: string) => ({
  ...{ flags: `${FIXED}${rights}`, src_ioas_id: 1, dst_ioas_id: 1, src_iova: IOVA },
  ...{ length: PAGE, dst_iova: 2n * IOVA },
});
test('a copy with other rights is meant so, and a mapping of what it shows is not', () => {
  const copy = copied('|IOMMU_IOAS_MAP_WRITEABLE');
  const map = ['IOMMU_IOAS_MAP', MAPPED] as [string, typeof MAPPED];
  expect(told(map, ['IOMMU_IOAS_COPY', copy])).not.toContain('rights-differ');
  const third = { ...MAPPED, iova: 3n * IOVA };
  expect(told(map, ['IOMMU_IOAS_COPY', copy], ['IOMMU_IOAS_MAP', third])).toContain(
    'rights-differ',
  );
});
test('the mappings of an IOAS that is destroyed are not left', () => {
  const calls: Parameters<typeof told> = [
    ['IOMMU_IOAS_MAP', MAPPED],
    ['IOMMU_IOAS_COPY', copied('')],
  ];
  expect(told(...calls)).toContain('leak');
  expect(told(...calls, ['IOMMU_DESTROY', { id: 1 }])).toEqual([]);
});
test('a container that is closed leaves its mappings', () => {
  const program = new Sanitized();
  must(program.mapped(IOVA, PAGE));
  program.program.exit();
  expect(program.kinds).toEqual(['leak of 4096 byte(s) in 1 mapping(s)']);
});
test.each<[FindingKind[], number]>([
  [[], 1],
  [['leak'], 3],
  [['memory-lost'], 2],
])('of %j the places that belong to it are asked for, and no others', (kinds, wanted) => {
  let asked = 0;
  const { take } = new DmaSanitizer({
    kinds: new Set(kinds),
    sites: {
      here() {
        asked++;
        return undefined;
      },
    },
    found: () => undefined,
  });
  const call = (seq: number, command: string): [number, TraceEvent][] => {
    const info = { what: 'syscall', name: 'ioctl', command } as const;
    return [
      [seq, { kind: 'enter', ...info }],
      [seq, { kind: 'leave', ...info, result: 0, refusals: [] }],
    ];
  };
  const lost: TraceEvent = {
    ...{ kind: 'pages-lost', by: 'munmap', pid: 7, ranges: [{ pa: 0n, length: PAGE }] },
  };
  const events = [
    ...call(0, 'IOMMU_IOAS_MAP'),
    ...call(1, 'IOMMU_IOAS_ALLOC'),
    ...call(2, 'VFIO_DEVICE_SET_IRQS'),
  ];
  for (const [n, event] of events) take({ seq: n, call: n, timeNs: 0, event });
  take({ seq: 3, timeNs: 0, event: lost });
  expect(asked).toBe(wanted);
});
test.each<[string, CallSite]>([
  ['started by a store here:', { frames: [] }],
  [
    'started by a store to a doorbell that no longer stops the program; it was stopped last here:',
    earlierSite({ frames: [] }),
  ],
])('a store that sets DMA going: %s', (title, site) => {
  const titles: string[] = [];
  const { take } = new DmaSanitizer({
    kinds: new Set(['dma-never-mapped']),
    sites: { here: () => site },
    found: ({ places }) => titles.push(...places.map((place) => place.title)),
  });
  const device = { kind: 'device', id: EDU, born: undefined };
  const mmio = { device, region: 0, offset: 0, width: 4, write: true, value: 1n } as const;
  take({ seq: 1, timeNs: 0, event: { kind: 'mmio', ...mmio } });
  const refusal = { errno: EFAULT, rule: TOLD_BY_FAULT, facts: { iova: '0x1000' } };
  const dma = { device, write: true, iova: PAGE, length: 4, pieces: [], ok: false, refusal };
  take({ seq: 2, cause: 1, timeNs: 0, event: { kind: 'dma', ...dma } });
  expect(titles).toEqual([title]);
});
test('a report without places says so', () => {
  const program = new Sanitized();
  program.unmap(program.c, { iova: IOVA, size: PAGE });
  const lines = findingLines(program.findings[0]!);
  expect(lines[1]).toMatch(/^==\d+==ERROR: DMA sanitizer: unmap-short of 0x100000 \+0x1000$/);
  expect(lines.slice(2)).toEqual([
    'the call succeeded and removed nothing',
    'unmapped by VFIO_IOMMU_UNMAP_DMA here:',
    '    (not known)',
    'SUMMARY: DMA sanitizer: unmap-short of 0x100000 +0x1000',
  ]);
});
