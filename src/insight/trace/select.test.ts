import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../base/errno.ts';
import type { CallInfo, Stamped, TraceEvent } from '../../base/events.ts';
import { parseSelection, type Selection } from './expression.ts';
import { selected } from './select.ts';

const device = { kind: 'device', id: '0000:00:04.0', born: undefined };
const other = { ...device, id: '0000:00:05.0' };
const domain = { kind: 'domain', id: 'paging#1', born: undefined };
const ioctl = (command: string, args = {}): CallInfo => {
  return { what: 'syscall', pid: 7, name: 'ioctl', file: '/dev/iommu', command, args };
};
const attach: CallInfo = {
  ...{
    what: 'syscall',
    pid: 7,
    name: 'ioctl',
    file: 'anon_inode:[vfio-device]',
    device: device.id,
  },
  ...{ command: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', args: { pt_id: 1 } },
};
const alloc = ioctl('IOMMU_IOAS_ALLOC', { out_ioas_id: 0 });
const map = ioctl('IOMMU_IOAS_MAP', { ioas_id: 1 });
const mapOther = ioctl('IOMMU_IOAS_MAP', { ioas_id: 2 });
const dma = (of: typeof device, ok: boolean): TraceEvent => {
  return { kind: 'dma', device: of, write: true, iova: 0n, length: 4, pieces: [], ok };
};
const mapped: TraceEvent = { kind: 'map', domain, iova: 0n, length: 1n };
const attached: TraceEvent = {
  ...{ kind: 'driver', op: 'attach_dev', driver: 'intel', device, domain, result: undefined },
};

/** A program in a few events; each with the letter it is known by, and the call it is in. */
const STORY: readonly (readonly [letter: string, event: TraceEvent, call?: number])[] = [
  ['a', { kind: 'enter', ...alloc }, 0],
  ['b', { kind: 'leave', ...alloc, after: { out_ioas_id: 1 }, result: 0, refusals: [] }, 0],
  ['c', { kind: 'enter', ...attach }, 2],
  ['d', attached, 2],
  ['e', { kind: 'leave', ...attach, result: 0, refusals: [] }, 2],
  ['f', { kind: 'enter', ...map }, 5],
  ['g', mapped, 5],
  ['h', { kind: 'leave', ...map, result: 0, refusals: [] }, 5],
  ['i', dma(device, true)],
  ['j', dma(other, false)],
  ['k', { kind: 'enter', ...mapOther }, 10],
  ['l', { kind: 'leave', ...mapOther, result: EINVAL, refusals: [] }, 10],
  [
    'm',
    {
      kind: 'leave',
      what: 'syscall',
      pid: 7,
      name: 'openat',
      file: '/x',
      result: EINVAL,
      refusals: [],
    },
  ],
  ['n', { kind: 'enter', ...map }, 13],
  ['o', mapped, 13],
];
const STAMPED: readonly Stamped[] = STORY.map(([, event, call], seq) => ({
  ...{ seq, timeNs: 0, event },
  ...(call !== undefined && { call }),
}));
function letters(selection: Selection): string {
  let shown = '';
  const sink = selected(selection, {
    take: ({ seq }) => (shown += STORY[seq]![0]),
    flush: () => (shown += '.'),
  });
  for (const stamped of STAMPED) sink.take(stamped);
  sink.flush();
  return shown;
}
function of(...expressions: string[]): Selection {
  const parsed = parseSelection(expressions);
  if ('problem' in parsed) throw new Error(parsed.problem);
  return parsed;
}

describe('what is shown', () => {
  test.for<[string, Selection, string]>([
    ['everything', {}, 'abcdefghijklmno.'],
    ['calls with what happened in them', of('IOMMU_IOAS_MAP'), 'fghklno.'],
    ['events by themselves', of('dma,map'), 'gijo.'],
    ['everything but calls, and what happened in them', of('!ioctl'), 'ijm.'],
    ['everything but a kind of event', of('!dma,map'), 'abcdefhklmn.'],
    ['nothing', of('none'), '.'],
    ['calls on a path', { paths: ['/x'] }, 'm.'],
    ['calls on one of several paths', { paths: ['/x', 'anon_inode:[vfio-device]'] }, 'cdem.'],
    ['what a device does, and what is done with it', of('bdf=0000:00:04.0'), 'cdei.'],
    ['an IOAS, its domains, and their devices', of('ioas=1'), 'bcdefghino.'],
    ['another IOAS', of('ioas=2'), 'kl.'],
    ['what succeeded', of('status=successful'), 'abcdefghi.'],
    ['what failed', of('status=failed'), 'jklm.'],
    ['what was never answered', of('status=unfinished'), 'no.'],
    ['several wishes at once', of('IOMMU_IOAS_MAP', 'status=successful', 'ioas=1'), 'fgh.'],
  ])('%s', ([, selection, shown]) => {
    expect(letters(selection)).toBe(shown);
  });
});
test('a set and its negation share no event, and leave none out that is in no set', () => {
  const names = fc.subarray(['ioctl', 'dma', 'map', 'IOMMU_IOAS_MAP', 'openat', 'driver'], {
    minLength: 1,
  });
  fc.assert(
    fc.property(names, (set) => {
      const yes = letters(of(set.join(',')));
      const no = letters(of(`!${set.join(',')}`));
      expect(
        Array.from(yes + no)
          .filter((each) => each !== '.')
          .sort()
          .join(''),
      ).toBe(STORY.map(([letter]) => letter).join(''));
    }),
  );
});
