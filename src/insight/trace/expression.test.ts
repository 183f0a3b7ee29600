import { describe, expect, test } from 'vitest';
import { parseSelection, type Selection } from './expression.ts';

const NAMES = ['ioctl', 'openat', 'IOMMU_IOAS_MAP', 'VFIO_IOMMU_MAP_DMA', 'dma', 'fault', 'map'];
function parsed(...expressions: string[]): Selection {
  const selection = parseSelection(expressions);
  if ('problem' in selection) throw new Error(selection.problem);
  return selection;
}

describe('a set of names', () => {
  test.for<[string, readonly string[]]>([
    ['ioctl', ['ioctl']],
    ['trace=ioctl', ['ioctl']],
    ['trace=open', ['openat']],
    ['IOMMU_IOAS_MAP,dma', ['IOMMU_IOAS_MAP', 'dma']],
    ['%dma', ['dma', 'fault']],
    ['%map', ['IOMMU_IOAS_MAP', 'VFIO_IOMMU_MAP_DMA', 'map']],
    ['%vfio,%file', ['openat', 'VFIO_IOMMU_MAP_DMA']],
    ['/^(IOMMU|VFIO)_.*MAP', ['IOMMU_IOAS_MAP', 'VFIO_IOMMU_MAP_DMA']],
    ['?io_uring_enter,dma', ['dma']],
    ['all', NAMES],
    ['none', []],
  ])('%s', ([text, names]) => {
    const { names: has, negated } = parsed(text);
    expect(NAMES.filter((name) => has?.(name))).toEqual(names);
    expect(negated).toBe(false);
  });
  test('an exclamation mark before all of them', () => {
    const { names: has, negated } = parsed('trace=!ioctl,dma');
    expect([NAMES.filter((name) => has?.(name)), negated]).toEqual([['ioctl', 'dma'], true]);
  });
});
test('several expressions hold together', () => {
  const { status, bdf, ioas } = parsed('status=failed', 'bdf=01:00.0', 'ioas=3');
  expect([status, bdf, ioas]).toEqual(['failed', '0000:01:00.0', 3]);
});
test.for<[readonly string[], string]>([
  [
    ['trace=ioctl,foo'],
    "-e trace=ioctl,foo: column 13: there is no call, command or event 'foo' (?foo tolerates that)",
  ],
  [['!ioctl,%foo'], "-e !ioctl,%foo: column 8: there is no class '%foo': %desc, %dma, "],
  [['ioctl,,dma'], '-e ioctl,,dma: column 7: a name is missing'],
  [['trace='], '-e trace=: column 7: a name is missing'],
  [['/('], '-e /(: column 2: no regular expression: '],
  [
    ['status=good'],
    "-e status=good: column 8: there is no status 'good': successful, failed, unfinished",
  ],
  [['bdf=4'], "-e bdf=4: column 5: '4' is no address of a device"],
  [['ioas=one'], "-e ioas=one: column 6: 'one' is no id of an IOAS"],
  [
    ['colour=red'],
    '-e colour=red: column 1: there is no colour=; there are bdf=, ioas=, status=, trace=',
  ],
  [['ioctl', 'trace=dma'], '-e trace=dma: column 7: trace= is given twice'],
])('%j is a mistake, with its column', ([texts, problem]) => {
  expect(parseSelection(texts)).toEqual({ problem: expect.stringContaining(problem) as string });
});
